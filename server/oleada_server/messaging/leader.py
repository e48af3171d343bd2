"""One of many: a row with a lease decides which process does what must be done once.

The *epoch* rises whenever the owner changes. A process that was paused and has lost its
lease without knowing can not commit: :func:`only_as` checks the epoch inside every
transaction, just before its commit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import case, event, or_, select, update
from sqlalchemy.orm import Session

from oleada_server.db import db, insert
from oleada_server.errors import ConflictError
from oleada_server.messaging.models import Leader

LEASE: Final = timedelta(seconds=6)
RENEW_S: Final = 2
NOBODY: Final = ""
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HELD: Final = "oleada_lease"


class LeaseLostError(ConflictError):
    """Another process leads now; what this one was about to write is rolled back."""

    code = "lease-lost"

    def __init__(self, role: str) -> None:
        super().__init__(f"Another process took over as {role}; this one stands by.")


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of *owner* to act as *role* while the row still says *epoch*."""

    role: str
    owner: str
    epoch: int


def take(role: str, owner: str, now: datetime, lease: timedelta = LEASE) -> Lease | None:
    """Return the lease of *role* for *owner*, taken or renewed; None while another holds it.

    A lease that ends later than one taken now could is of a clock that was set back since:
    its owner may be gone, so it counts for nothing. The epoch keeps an owner that is not
    gone from committing.
    """
    set_back = Leader.expires_at > now + 2 * lease
    statement = insert(Leader).values(role=role, owner=owner, epoch=1, expires_at=now + lease)
    taken = db.session.scalar(
        statement.on_conflict_do_update(
            index_elements=["role"],
            set_={
                "owner": owner,
                "epoch": case((Leader.owner == owner, Leader.epoch), else_=Leader.epoch + 1),
                "expires_at": now + lease,
            },
            where=or_(Leader.owner == owner, Leader.expires_at < now, set_back),
        ).returning(Leader.epoch)
    )
    db.session.commit()
    return None if taken is None else Lease(role, owner, taken)


def give_up(lease: Lease) -> None:
    """Let another process lead at once; does nothing if one already does.

    The row stays: an epoch that began anew could be taken for one that was lost.
    """
    mine = (Leader.role == lease.role) & (Leader.owner == lease.owner)
    free = update(Leader).where(mine, Leader.epoch == lease.epoch)
    db.session.execute(free.values(owner=NOBODY, expires_at=LONG_AGO))
    db.session.commit()


@contextmanager
def only_as(lease: Lease) -> Iterator[None]:
    """Let the transactions of this block commit only while *lease* holds.

    Raises:
        LeaseLostError: at a commit, which is then rolled back.
    """
    session = db.session()
    session.info[_HELD] = lease
    try:
        yield
    finally:
        session.info.pop(_HELD, None)


@event.listens_for(db.session, "before_commit")
def _check_lease(session: Session) -> None:
    lease: Lease | None = session.info.get(_HELD)
    if lease is None or session.in_nested_transaction():
        return
    row = select(Leader.owner, Leader.epoch).where(Leader.role == lease.role)
    found = session.execute(row.with_for_update(read=True)).one_or_none()
    if found is None or (found.owner, found.epoch) != (lease.owner, lease.epoch):
        raise LeaseLostError(lease.role)
