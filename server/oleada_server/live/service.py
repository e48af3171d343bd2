"""What has changed, for pages that are open: appended at the end of a transaction.

``touch`` only notes; the rows are written just before the commit, under a lock on
PostgreSQL, so that ids become visible in their order and no reader skips one that
was given earlier and committed later.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, event, func, insert, select, text
from sqlalchemy.orm import Session, SessionTransaction

from oleada_server.db import db
from oleada_server.live.models import Change

KEEP: Final = timedelta(hours=1)
CHANGES_MAX: Final = 1000
CHANNEL: Final = "oleada_change"
"""PostgreSQL NOTIFY channel that wakes whoever waits for changes."""
_LOCK: Final = 0x01EADA01
_NOTED: Final = "oleada_touched"


@dataclass(frozen=True, slots=True)
class Changed:
    """One change: *id* only rises."""

    id: int
    object_ref: str


def touch(object_ref: str, now: datetime) -> None:
    """Announce that *object_ref* (``R-107``, ``device:<id>``, ``devices``) changes at *now*.

    Takes part in the caller's transaction; the same reference twice counts once.
    """
    session = db.session()
    session.info.setdefault(_NOTED, {})[object_ref] = now
    if not session.in_transaction():
        session.begin()


def latest_id() -> int:
    """Return the id of the newest change; 0 when there is none."""
    return db.session.scalar(select(func.max(Change.id))) or 0


def changes_since(change_id: int, refs: Iterable[str] | None = None) -> list[Changed]:
    """Return the changes after *change_id*, oldest first, at most ``CHANGES_MAX``.

    Args:
        change_id: The last one the asker knows.
        refs: Only these references; None for all.
    """
    query = select(Change.id, Change.object_ref).where(Change.id > change_id)
    if refs is not None:
        query = query.where(Change.object_ref.in_(list(refs)))
    rows = db.session.execute(query.order_by(Change.id).limit(CHANGES_MAX))
    return [Changed(row.id, row.object_ref) for row in rows]


def prune(now: datetime) -> int:
    """Delete what nobody who is still connected can have missed; return how many."""
    found: Any = db.session.execute(delete(Change).where(Change.at < now - KEEP))
    db.session.commit()
    return int(found.rowcount)


@event.listens_for(db.session, "before_commit")
def _append_changes(session: Session) -> None:
    if session.in_nested_transaction():
        return
    noted = session.info.pop(_NOTED, None)
    if not noted:
        return
    on_postgresql = session.get_bind().dialect.name == "postgresql"
    if on_postgresql:
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    rows = [{"object_ref": ref, "at": at} for ref, at in noted.items()]
    session.execute(insert(Change), rows)
    if on_postgresql:
        session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})


@event.listens_for(db.session, "after_soft_rollback")
def _forget_changes(session: Session, ended: SessionTransaction) -> None:
    if not ended.nested:  # a savepoint that failed leaves what was noted outside it
        session.info.pop(_NOTED, None)
