"""Beats of our processes, and the one clock that they all go by: the database's.

Machines disagree about the time; rows that one writes and another judges (leases,
deadlines, expiry) need one. Each process measures how far its clock is off whenever it
beats, and corrects what ``clock.now_utc`` says by that (docs/adr/0014).
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, select, text

from oleada_server import clock
from oleada_server.db import db, insert, read_only
from oleada_server.system.models import ProcessBeat

log = logging.getLogger(__name__)

BEAT_S: Final = 10.0
FORGOTTEN_AFTER: Final = timedelta(days=1)
"""A process that was not heard for so long was taken away on purpose."""
WORKER: Final = "worker"
SCHEDULER: Final = "scheduler"


def database_now() -> datetime:
    """Return the database's clock, aware; part of the caller's transaction."""
    if db.session.get_bind().dialect.name == "postgresql":
        found: datetime = db.session.execute(text("SELECT clock_timestamp()")).scalar_one()
        return found.astimezone(UTC)
    said = db.session.execute(text("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')")).scalar_one()
    return datetime.fromisoformat(f"{said}+00:00")


def follow_database_clock() -> timedelta:
    """Go by the database's clock from now on; return how far this machine's is ahead of it.

    Ends whatever transaction the session had.
    """
    read_only()
    there, here = database_now(), clock.machine_now_utc()
    db.session.rollback()
    ahead = here - there
    if clock.follow(ahead):
        log.warning(
            "this machine's clock is %.0f s ahead of the database's, which counts",
            ahead.total_seconds(),
        )
    return ahead


def beat(name: str, role: str, facts: dict[str, Any]) -> None:
    """Write that process *name* is alive, and correct its clock; one transaction."""
    ahead = follow_database_clock()
    heard_at = clock.machine_now_utc() - ahead
    row = {"role": role, "said_at": heard_at + ahead, "heard_at": heard_at, "facts": facts}
    statement = insert(ProcessBeat).values(name=name, **row)
    db.session.execute(statement.on_conflict_do_update(index_elements=["name"], set_=row))
    old = ProcessBeat.heard_at < heard_at - FORGOTTEN_AFTER
    db.session.execute(delete(ProcessBeat).where(ProcessBeat.role == role, old))
    db.session.commit()


def beats() -> Sequence[ProcessBeat]:
    """Return what every process said last, in the caller's transaction."""
    return db.session.scalars(select(ProcessBeat).order_by(ProcessBeat.name)).all()
