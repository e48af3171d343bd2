"""Idempotency keys: a request that is sent again after a lost answer is done once.

The key is stored in the transaction of the deed, so that neither can be there alone.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import IntegrityError

from oleada_server.db import db
from oleada_server.rollouts.errors import KeyReusedError
from oleada_server.rollouts.models import DoneOnce


class DoneMeanwhileError(Exception):
    """The same request, sent twice at once, was carried out by another transaction.

    Attributes:
        rollout_id: The rollout on which it was.
    """

    def __init__(self, rollout_id: int) -> None:
        super().__init__(f"done meanwhile on R-{rollout_id}")
        self.rollout_id = rollout_id


@dataclass(frozen=True, slots=True)
class Once:
    """An idempotency key and the request that it stands for.

    Attributes:
        key: As the program chose it; 1 to 80 characters.
        request_sha256: Of what was asked; 64 hex digits.
    """

    key: str
    request_sha256: str

    @classmethod
    def of(cls, key: str, *request: bytes) -> "Once":
        """Return the key with the digest of the parts of *request*."""
        digest = hashlib.sha256(b"\x00".join(request)).hexdigest()
        return cls(key, digest)


def done_before(actor: str, once: Once) -> int | None:
    """Return the rollout on which *actor* had this request carried out; None if never.

    Raises:
        KeyReusedError: The key stands for another request.
    """
    found = db.session.get(DoneOnce, (actor, once.key))
    if found is None:
        return None
    if found.request_sha256 != once.request_sha256:
        raise KeyReusedError(once.key)
    return found.rollout_id


def record_done(actor: str, once: Once, rollout_id: int, now: datetime) -> None:
    """Note in the caller's transaction that the request is being carried out.

    Raises:
        DoneMeanwhileError: Another transaction was first; this one is rolled back.
        KeyReusedError: That one was another request.
    """
    db.session.add(
        DoneOnce(
            actor=actor,
            key=once.key,
            request_sha256=once.request_sha256,
            rollout_id=rollout_id,
            at=now,
        )
    )
    try:
        db.session.flush()
    except IntegrityError as error:
        db.session.rollback()
        if (done := done_before(actor, once)) is not None:
            raise DoneMeanwhileError(done) from error
        raise
