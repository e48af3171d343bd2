"""The audit trail: who did what, in the transaction of the deed, in a chain of hashes.

Each row carries the SHA-256 of its fields and of the row before, so that a row that
was changed, removed or put in between is found by :func:`first_broken`.
"""

import hashlib
import json
from datetime import datetime
from typing import Any, Final

from flask import g, has_request_context, request
from sqlalchemy import select, text

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
    _one_at_a_time()
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
    entry.entry_sha256 = _digest(entry)
    db.session.add(entry)
    db.session.flush()


def first_broken() -> int | None:
    """Return the id of the first entry that does not fit the chain; None if all do."""
    previous = BEGINNING
    for entry in db.session.scalars(select(AuditEvent).order_by(AuditEvent.id)).yield_per(500):
        if entry.previous_sha256 != previous or entry.entry_sha256 != _digest(entry):
            return entry.id
        previous = entry.entry_sha256
    return None


def events_about(object_ref: str, limit: int = 50) -> list[AuditEvent]:
    """Return the newest entries about *object_ref*, newest first, at most *limit*."""
    query = select(AuditEvent).where(AuditEvent.object_ref == object_ref)
    return list(db.session.scalars(query.order_by(AuditEvent.id.desc()).limit(limit)))


def _digest(entry: AuditEvent) -> str:
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


def _one_at_a_time() -> None:
    """Let no other transaction extend the chain before this one ends.

    SQLite's writers are alone anyway (BEGIN IMMEDIATE).
    """
    if db.session.get_bind().dialect.name == "postgresql":
        db.session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
