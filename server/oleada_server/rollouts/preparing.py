"""Rollouts whose boxes are too many for one transaction: the scheduler writes them down.

A job of its own, so that the tick that watches over other rollouts never waits for it. Each
part is a transaction; who is killed between two goes on with the next (:mod:`freezing`).
"""

from datetime import datetime
from typing import Final

from sqlalchemy import select

from oleada_server.db import db, read_only
from oleada_server.messaging.leader import LeaseLostError
from oleada_server.rollouts import deeds, freezing, rows
from oleada_server.rollouts.advance import ACTOR, end
from oleada_server.rollouts.errors import BadPlanError, EmptyWaveError, NoSuchGroupError
from oleada_server.rollouts.models import Rollout
from oleada_server.rollouts.plan import ImpossibleFactsError
from oleada_server.rollouts.states import OPEN_ROLLOUTS, RolloutState

PARTS_A_TICK: Final = 10
UNREADABLE: Final = (BadPlanError, NoSuchGroupError, ImpossibleFactsError)
"""A plan, or a group of it, that cannot be read any more: that does not pass by itself."""


def tick(now: datetime) -> int:
    """Write down the next parts of each rollout that is being prepared; return how many.

    One that crashes does not keep the others waiting.

    Raises:
        LeaseLostError: Another process leads now.
        ExceptionGroup: What crashed, after every rollout has had its turn.
    """
    read_only()
    waits = (Rollout.state.in_(OPEN_ROLLOUTS), Rollout.preparing.is_not(None))
    found = list(db.session.scalars(select(Rollout.id).where(*waits).order_by(Rollout.id)))
    db.session.rollback()
    parts, crashed = 0, []
    for rollout_id in found:
        try:
            parts += _parts(rollout_id, now)
        except UNREADABLE as error:
            db.session.rollback()
            _halt(rollout_id, f"its boxes can not be chosen any more: {error}", now)
        except LeaseLostError:
            raise
        except Exception as error:
            crashed.append(error)
            db.session.rollback()
    if crashed:
        raise ExceptionGroup("rollouts that could not be prepared", crashed)
    return parts


def _parts(rollout_id: int, now: datetime) -> int:
    for number in range(1, PARTS_A_TICK + 1):
        if not _part(rollout_id, now):
            return number
    return PARTS_A_TICK


def _part(rollout_id: int, now: datetime) -> bool:
    """Write down one part; return whether there is another. Commits."""
    rollout = rows.locked(rollout_id)
    if rollout.preparing is None or rollout.state not in OPEN_ROLLOUTS:
        db.session.rollback()  # somebody has stopped it meanwhile
        return False
    rows.lock_model(rollout.release.hardware_model)
    is_last = freezing.write_part(rollout, now)
    if not is_last:
        rows.touch(rollout_id, now)
        db.session.commit()
        return True
    _complete(rollout, now)
    return False


def _halt(rollout_id: int, reason: str, now: datetime) -> None:
    """End a rollout whose plan can not be read any more, and free its model. Commits."""
    rollout = rows.locked(rollout_id)
    if rollout.preparing is None or rollout.state not in OPEN_ROLLOUTS:
        db.session.rollback()
        return
    was = RolloutState(rollout.state)
    end(rollout, RolloutState.HALTED, reason, now)
    deeds.record(rollout, "rollout.halt", actor=ACTOR, reason=reason, was=was, now=now)
    deeds.settled(rollout, now)


def _complete(rollout: Rollout, now: datetime) -> None:
    """Let the rollout begin, or end it where a wave has lost its last box. Commits."""
    was = RolloutState(rollout.state)
    try:
        freezing.complete(rollout, now)
    except EmptyWaveError as error:
        end(rollout, RolloutState.STOPPED, str(error), now)
    else:
        deeds.let_go(rollout, now)
    why = rollout.state_reason
    deeds.record(rollout, "rollout.prepare", actor=ACTOR, reason=why, was=was, now=now)
    deeds.settled(rollout, now)
