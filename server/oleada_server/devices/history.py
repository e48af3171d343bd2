"""The fleet over time: counted every quarter of an hour, kept for five weeks.

A count is what was true when it was made; where no count was made (the server was off)
nothing is made up, and whoever draws it leaves a gap.
"""

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, func, select

from oleada_server import config as settings
from oleada_server.db import db, insert, read_only
from oleada_server.devices import counts
from oleada_server.devices.models import FleetCount
from oleada_server.live import service as live
from oleada_server.rollouts.models import BoxInWave, Rollout
from oleada_server.rollouts.states import IN_FLIGHT, OPEN_ROLLOUTS

EVERY: Final = timedelta(minutes=15)
KEEP: Final = timedelta(days=36)
"""Five weeks and the day that is drawn beside them."""


def tick(now: datetime) -> bool:
    """Count the fleet if a quarter of an hour has begun since the last count.

    One transaction; returns whether it counted. What is older than ``KEEP`` goes.
    """
    read_only()
    last = db.session.scalar(select(func.max(FleetCount.at)))
    if last is not None and slot(last) == slot(now):
        db.session.rollback()
        return False
    silent_before = now - timedelta(seconds=settings.current().silent_after_s)
    row = _count(silent_before) | {"at": now}
    db.session.rollback()  # the count is long, the write is short
    db.session.execute(insert(FleetCount).values(row).on_conflict_do_nothing())
    db.session.execute(delete(FleetCount).where(FleetCount.at < now - KEEP))
    live.touch("devices", now)
    db.session.commit()
    return True


def slot(at: datetime) -> datetime:
    """Return the beginning of the quarter of an hour of *at*."""
    return at - timedelta(minutes=at.minute % 15, seconds=at.second, microseconds=at.microsecond)


def between(start: datetime, end: datetime) -> list[FleetCount]:
    """Return the counts from *start* to *end*, oldest first."""
    query = select(FleetCount).where(FleetCount.at >= start, FleetCount.at <= end)
    return list(db.session.scalars(query.order_by(FleetCount.at)))


def kept_since() -> datetime | None:
    """Return when the oldest count that is kept was made, None without one."""
    return db.session.scalar(select(func.min(FleetCount.at)))


def _count(silent_before: datetime) -> dict[str, Any]:
    groups = counts.fleet(silent_before)
    updating = db.session.scalar(
        select(func.count())
        .select_from(BoxInWave)
        .join(Rollout, Rollout.id == BoxInWave.rollout_id)
        .where(Rollout.state.in_(OPEN_ROLLOUTS), BoxInWave.state.in_(IN_FLIGHT))
    )
    return {
        "boxes": sum(group.boxes for group in groups),
        "heard": sum(group.heard for group in groups),
        "never": sum(group.never for group in groups),
        "updating": updating or 0,
    }
