"""Signed heads of the audit trail: what it was, said once an hour and never taken back.

A head says how many entries there are and the root of the tree over them (``tree.py``),
signed by the director's key. It is kept here, appended to a file in a second place where
the setting names one, and sent to every box: whoever rewrites the trail would have to
rewrite all of those.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from oleada_store import keys
from oleada_store.errors import StoreError
from oleada_wire import messages
from oleada_wire.envelope import RoleKeys, keyid_of
from oleada_wire.errors import WireError
from sqlalchemy import select

from oleada_server import config
from oleada_server.audit import service
from oleada_server.audit.models import AuditEvent, AuditHead
from oleada_server.audit.tree import Tree
from oleada_server.clock import to_ms
from oleada_server.db import db
from oleada_server.errors import BadInputError
from oleada_server.messaging import service as messaging

EVERY: Final = timedelta(hours=1)
RESTORED: Final = "server.restore"


def newest() -> AuditHead | None:
    """Return the newest head, None before the first."""
    return db.session.scalar(select(AuditHead).order_by(AuditHead.id.desc()).limit(1))


def list_heads(limit: int | None = None) -> Sequence[AuditHead]:
    """Return heads, newest first, at most *limit*."""
    return db.session.scalars(select(AuditHead).order_by(AuditHead.id.desc()).limit(limit)).all()


def tick(now: datetime) -> bool:
    """Sign a head if the newest is an hour old and something was added; export it."""
    before = newest()
    made = before is None or now - before.at >= EVERY
    if made:
        made = sign(now) is not None
    db.session.rollback()
    if config.current().audit_heads_file:
        append(Path(config.current().audit_heads_file))
    return made


def sign(now: datetime) -> AuditHead | None:
    """Sign what the trail is now; None when nothing was added since the newest head."""
    db.session.rollback()
    service.one_at_a_time()
    before = newest()
    tree = Tree(before.size, before.edge) if before is not None else Tree()
    after_id = before.last_id if before is not None else 0
    query = select(AuditEvent.id, AuditEvent.entry_sha256).where(AuditEvent.id > after_id)
    last = None
    for last in db.session.execute(query.order_by(AuditEvent.id)).yield_per(5000):
        tree.add(last.entry_sha256)
    if last is None:
        db.session.rollback()
        return None
    message = messages.AuditHead(
        header=messaging.next_header(now),
        size=tree.size,
        root_sha256=tree.root_sha256(),
        entry_sha256=last.entry_sha256,
        epoch=epoch(),
        signed_ms=to_ms(now),
    )
    head = AuditHead(
        at=now,
        size=tree.size,
        last_id=last.id,
        entry_sha256=last.entry_sha256,
        root_sha256=message.root_sha256,
        epoch=message.epoch,
        edge=tree.edge,
        envelope=messages.seal(message, [messaging.director()]).decode(),
    )
    db.session.add(head)
    db.session.commit()
    return head


def append(path: Path) -> int:
    """Append the heads that *path* lacks, one a line, and see them on its disk; return how many.

    A line that is there is never touched, so *path* may lie on a medium that only adds.

    Raises:
        OSError: The place can not be written.
    """
    held = set(path.read_text(errors="replace").splitlines()) if path.exists() else set()
    lines = [line_of(head) for head in reversed(list_heads())]
    db.session.rollback()
    new = [line for line in lines if line not in held]
    if new:
        with path.open("a") as file:
            file.writelines(f"{line}\n" for line in new)
            file.flush()
            os.fsync(file.fileno())
    return len(new)


def line_of(head: AuditHead) -> str:
    """Return *head* as a line of an exported file: the envelope, which is JSON without ends."""
    return head.envelope


def read(lines: Iterable[str], role: RoleKeys) -> Iterator[messages.AuditHead]:
    """Yield the heads in *lines*, each checked against the keys of *role*.

    Raises:
        BadInputError: A line is no head, or is not signed by such a key.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield messages.open_message(messages.AuditHead, line.strip().encode(), role)
        except WireError as error:
            raise BadInputError(
                f"Line {number} is no head that this server has signed. {error}"
            ) from error


def director_role() -> RoleKeys:
    """Return the key that signs heads, as this server's data directory has it."""
    return public_key(config.current().keys_dir / keys.ONLINE_PUBLIC_NAME)


def public_key(path: Path) -> RoleKeys:
    """Return the director's key of ``online-public.json``, for who checks elsewhere.

    Raises:
        BadInputError: It is no such file.
    """
    try:
        key = keys.read_public(path)["director"]
    except (StoreError, KeyError) as error:
        raise BadInputError(f"{path} does not hold the director's public key.") from error
    return RoleKeys({keyid_of(key): key}, 1)


def epoch() -> int:
    """Return when the server was last restored, milliseconds since 1970; 0 for never."""
    query = select(AuditEvent.at).where(AuditEvent.action == RESTORED)
    last = db.session.scalar(query.order_by(AuditEvent.id.desc()).limit(1))
    return to_ms(last) if last is not None else 0
