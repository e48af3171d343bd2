"""Rollouts after a restore: none goes on by itself, and no number is given twice.

What became of them after the backup is lost: verdicts, and perhaps a halt. So every
rollout that could act is paused until a person resumes or stops it.
"""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import InstrumentedAttribute

from oleada_server import restored
from oleada_server.db import db
from oleada_server.devices.models import HardwareModel
from oleada_server.rollouts import deeds, rows
from oleada_server.rollouts.authorise import queue_waves
from oleada_server.rollouts.models import BoxInWave, Rollout, Wave
from oleada_server.rollouts.states import OPEN_ROLLOUTS, RolloutState

ACTOR: Final = "system:restore"


def record_restore(made_at: datetime, next_wave: int, gap: int, now: datetime) -> list[int]:
    """Pause what would act, have every assignment signed again, and raise every number.

    Part of the caller's transaction.

    Args:
        made_at: When the backup was made.
        next_wave: The least number of the next wave.
        gap: So many numbers of rollouts are left out.
        now: Aware time.

    Returns:
        The numbers of the rollouts that were paused.
    """
    _raise_next(Rollout.id, gap=gap)
    _raise_next(Wave.id, at_least=next_wave)
    restored.begin_tag((db.session.scalar(select(func.max(BoxInWave.id))) or 0) + 1)
    opened = select(Rollout.id).where(Rollout.state.in_(OPEN_ROLLOUTS))
    numbers = db.session.scalars(opened.order_by(Rollout.id)).all()
    paused = [number for number in numbers if _pause(number, made_at, now)]
    # The tick signs them again, under numbers that are news to the boxes.
    held = BoxInWave.assignment_expires_at.is_not(None)
    db.session.execute(
        update(BoxInWave)
        .where(BoxInWave.rollout_id.in_(opened), held)
        .values(assignment_expires_at=now - timedelta(seconds=1)),
        execution_options={"synchronize_session": False},
    )
    for name in db.session.scalars(select(HardwareModel.name).order_by(HardwareModel.name)).all():
        queue_waves(name, now)
    return paused


def _pause(rollout_id: int, made_at: datetime, now: datetime) -> bool:
    """Pause one rollout unless it is; return whether it was not."""
    rollout = rows.locked(rollout_id)
    was = RolloutState(rollout.state)
    if was is RolloutState.PAUSED:
        return False
    rollout.state = RolloutState.PAUSED
    rollout.state_reason = (
        f"the server was restored from the backup of {made_at:%Y-%m-%d %H:%M} UTC; what came "
        "after it is not known here, so a person decides whether this goes on"
    )
    deeds.record(
        rollout, "rollout.pause", actor=ACTOR, reason=rollout.state_reason, was=was, now=now
    )
    rows.touch(rollout_id, now)
    return True


def _raise_next(column: InstrumentedAttribute[int], *, at_least: int = 0, gap: int = 0) -> None:
    """Let the next number of *column* be *at_least*, and *gap* above the highest one."""
    table = column.class_.__tablename__
    highest = db.session.scalar(select(func.max(column))) or 0
    value = max(highest + gap, at_least - 1, 1)
    if db.session.get_bind().dialect.name == "postgresql":
        sequence = func.pg_get_serial_sequence(table, column.key)
        db.session.execute(select(func.setval(sequence, value)))
        return
    named = {"name": table, "value": value}
    db.session.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), named)
    db.session.execute(text("INSERT INTO sqlite_sequence VALUES (:name, :value)"), named)
