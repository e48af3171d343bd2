"""How a wave has gone on so far, for a curve: counted by the database, in equal steps."""

from datetime import datetime

from sqlalchemy import BigInteger, cast, extract, func, select

from oleada_server.db import db
from oleada_server.rollouts.models import BoxInWave
from oleada_server.rollouts.states import BoxState


def updated_by_time(wave_id: int, start: datetime, end: datetime, steps: int) -> list[int]:
    """Return how many boxes of a wave were updated at *steps* + 1 moments, evenly apart.

    Args:
        wave_id: The wave.
        start: The first moment; aware.
        end: The last moment; every box that is updated now counts there.
        steps: At least 1.
    """
    width_s = max(1, int((end - start).total_seconds()) // steps)
    since_start = cast(extract("epoch", BoxInWave.ended_at), BigInteger) - int(start.timestamp())
    step = since_start // width_s
    rows = db.session.execute(
        select(step, func.count())
        .where(BoxInWave.wave_id == wave_id, BoxInWave.state == BoxState.UPDATED)
        .where(BoxInWave.ended_at.is_not(None))
        .group_by(step)
    )
    at = [0] * (steps + 1)
    for number, boxes in rows:
        at[min(max(int(number) + 1, 0), steps)] += boxes
    for index in range(1, steps + 1):
        at[index] += at[index - 1]
    return at


def ended_by_day(start: datetime, days: int) -> list[tuple[int, int]]:
    """Return (updated, ended otherwise) of each of *days* days from *start* on.

    Args:
        start: The first midnight, as the reader counts days; aware.
        days: At least 1.
    """
    since_start = cast(extract("epoch", BoxInWave.ended_at), BigInteger) - int(start.timestamp())
    day = since_start // 86_400
    rows = db.session.execute(
        select(day, BoxInWave.state, func.count())
        .where(BoxInWave.ended_at >= start)
        .group_by(day, BoxInWave.state)
    )
    at = [[0, 0] for _ in range(days)]
    for number, state, boxes in rows:
        place = at[min(max(int(number), 0), days - 1)]
        place[0 if state == BoxState.UPDATED else 1] += boxes
    return [(updated, other) for updated, other in at]
