"""The audit trail: who did what, in the transaction of the deed, in a chain of hashes.

Each row carries the SHA-256 of its fields and of the row before, so that a row that
was changed, removed or put in between is found (``verify.py``); one whose followers were
all written anew is found by a signed head (``heads.py``).
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from flask import g, has_request_context, request
from sqlalchemy import Row, select, text

from oleada_server.audit.models import AuditEvent
from oleada_server.db import db

BEGINNING: Final = "0" * 64
_LOCK: Final = 0x01EADA02


def record(
    actor: str,
    action: str,
    object_ref: str,
    *,
    now: datetime,
    reason: str | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Add an entry in the caller's transaction.

    Args:
        actor: ``user:<name>``, ``device:<id>`` or ``system:<process>``.
        action: A verb and its object, such as ``rollout.pause``.
        object_ref: The id that people see, such as ``R-107``.
        now: Aware time of the deed.
        reason: What the person gave as the reason.
        before: The fields that changed, as JSON can spell them.
        after: The same fields afterwards.
    """
    one_at_a_time()
    db.session.flush()
    newest = select(AuditEvent.entry_sha256).order_by(AuditEvent.id.desc()).limit(1)
    entry = AuditEvent(
        at=now,
        actor=actor,
        action=action,
        object_ref=object_ref,
        reason=reason,
        before=before,
        after=after,
        request_id=g.get("request_id") if has_request_context() else None,
        address=request.remote_addr if has_request_context() else None,
        previous_sha256=db.session.scalar(newest) or BEGINNING,
    )
    entry.entry_sha256 = digest_of(entry)
    db.session.add(entry)
    db.session.flush()


def events_about(object_ref: str, limit: int = 50) -> list[AuditEvent]:
    """Return the newest entries about *object_ref*, newest first, at most *limit*."""
    query = select(AuditEvent).where(AuditEvent.object_ref == object_ref)
    return list(db.session.scalars(query.order_by(AuditEvent.id.desc()).limit(limit)))


def rows_after(entry_id: int = 0, until_id: int | None = None) -> Iterator[Row[Any]]:
    """Yield every entry after *entry_id* in order, as plain rows, a few thousand at a time."""
    query = select(*AuditEvent.__table__.columns).where(AuditEvent.id > entry_id)
    if until_id is not None:
        query = query.where(AuditEvent.id <= until_id)
    yield from db.session.execute(query.order_by(AuditEvent.id)).yield_per(2000)


def first_broken() -> int | None:
    """Return the id of the first entry that does not fit the chain; None if all do."""
    previous = BEGINNING
    for entry in rows_after():
        if entry.previous_sha256 != previous or entry.entry_sha256 != digest_of(entry):
            return int(entry.id)
        previous = entry.entry_sha256
    return None


def digest_of(entry: AuditEvent | Row[Any]) -> str:
    """Return what *entry_sha256* of an entry has to be: over its fields and the one before."""
    fields = [
        entry.previous_sha256,
        entry.at.isoformat(),
        entry.actor,
        entry.action,
        entry.object_ref,
        entry.reason,
        entry.before,
        entry.after,
        entry.request_id,
        entry.address,
    ]
    spelt = json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(spelt.encode()).hexdigest()


def one_at_a_time() -> None:
    """Let no other transaction extend the chain before this one ends.

    SQLite's writers are alone anyway (BEGIN IMMEDIATE).
    """
    if db.session.get_bind().dialect.name == "postgresql":
        db.session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
