"""Somebody who owns the database, and not only a login of it: what they could do to the trail."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from oleada_server.audit import service
from oleada_server.audit.models import APPEND_ONLY, AuditEvent
from oleada_server.db import db
from sqlalchemy import text


@contextmanager
def unguarded() -> Iterator[None]:
    """Yield with the triggers dropped, as only the owner of the tables can; commits."""
    is_sqlite = db.session.get_bind().dialect.name == "sqlite"
    for table in APPEND_ONLY:
        for name in ("update", "delete") if is_sqlite else ("change", "truncate"):
            on = "" if is_sqlite else f" ON {table}"
            db.session.execute(text(f"DROP TRIGGER IF EXISTS {table}_no_{name}{on}"))
    yield
    db.session.commit()
    db.session.expire_all()


def chain_anew() -> None:
    """Write every hash anew, so that the chain holds again after whatever was done to it."""
    previous = service.BEGINNING
    for entry in db.session.scalars(db.select(AuditEvent).order_by(AuditEvent.id)):
        entry.previous_sha256 = previous
        entry.entry_sha256 = previous = service.digest_of(entry)
        db.session.flush()


def add_deeds(count: int, now: datetime, **more: Any) -> None:
    """Add *count* entries to the trail."""
    for number in range(count):
        service.record("user:nora", "rollout.pause", f"R-{number}", now=now, **more)
    db.session.commit()
