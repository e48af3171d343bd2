"""Which boxes of a rollout are due for what: asked so that an index has the answer in order.

In a rollout of a million boxes nearly all are in the state that is asked for and hardly any
is due. A planner that knows the shares of both columns, but not that they go together, then
expects a hit after a few rows and reads all of them. An order that one index alone has
leaves it no choice; so each question is one range of one index, and finds ids, nothing
more. Who changes rows locks them and asks again (:func:`ticks`).
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from oleada_server.db import db
from oleada_server.rollouts import authorise
from oleada_server.rollouts.evidence import ledger, trials
from oleada_server.rollouts.models import BoxInWave, Rollout, Wave
from oleada_server.rollouts.states import (
    OPEN_ROLLOUTS,
    PENDING,
    VERDICTS,
    BoxState,
    RolloutState,
    WaveState,
)

ADDRESSED: Final = (PENDING | {BoxState.SILENT}) - {BoxState.QUEUED}
"""Boxes that should hold an assignment: it is renewed before it runs out."""
OPENED: Final = (WaveState.OPEN, WaveState.SOAKING, WaveState.HELD, WaveState.PASSED)

Ask = Callable[[Rollout, datetime], Iterator[Select[int]]]
"""Yields selects of ids, each of them one range of an index in its order."""


def found(ask: Ask, rollout: Rollout, now: datetime, most: int) -> list[int]:
    """Return the ids of at most *most* boxes that *ask* finds."""
    ids: list[int] = []
    for query in ask(rollout, now):
        ids += db.session.scalars(query.limit(most - len(ids)))
        if len(ids) >= most:
            break
    return ids


def is_any(rollout: Rollout, now: datetime) -> bool:
    """Return whether any box is due for anything."""
    asks = (silent, ripe, queued, running_out, over)
    return any(found(ask, rollout, now, 1) for ask in asks)


def silent(rollout: Rollout, now: datetime) -> Iterator[Select[int]]:
    """Select boxes that have let their deadline pass."""
    if rollout.state != RolloutState.PAUSED:
        yield _of(rollout).where(is_silent(now)).order_by(BoxInWave.deadline_at)


def ripe(rollout: Rollout, now: datetime) -> Iterator[Select[int]]:
    """Select updated boxes whose trial is old enough to count."""
    yield _of(rollout).where(trials.is_ripe(now)).order_by(BoxInWave.ripe_at)


def queued(rollout: Rollout, now: datetime) -> Iterator[Select[int]]:  # noqa: ARG001 - as the others are asked
    """Select boxes that wait for an assignment in waves that are open."""
    if rollout.state != RolloutState.RUNNING:
        return
    for wave in rollout.waves:
        if wave.state in OPENED:
            mine = and_(BoxInWave.wave_id == wave.id, BoxInWave.state == BoxState.QUEUED)
            yield select(BoxInWave.id).where(mine, *_going(rollout)).order_by(BoxInWave.id)


def running_out(rollout: Rollout, now: datetime) -> Iterator[Select[int]]:
    """Select boxes whose assignment would run out before they have an outcome."""
    if rollout.state in OPEN_ROLLOUTS:
        before = max(now + authorise.ASSIGNMENT_RENEW, rollout.reissue_before or now)
        soon = BoxInWave.assignment_expires_at < before
        for state in sorted(ADDRESSED):
            yield _assigned(rollout, state).where(soon)


def over(rollout: Rollout, now: datetime) -> Iterator[Select[int]]:  # noqa: ARG001 - as the others are asked
    """Select boxes that still hold an assignment, but have a verdict or no open rollout."""
    is_open = rollout.state in OPEN_ROLLOUTS
    for state in sorted(VERDICTS if is_open else BoxState):
        yield _assigned(rollout, state)
    if is_open and (halted := ledger.halted_versions(rollout.id)):
        for state in sorted(ADDRESSED):
            yield _assigned(rollout, state).where(
                func.coalesce(BoxInWave.version_before, "").in_(halted)
            )


def is_silent(now: datetime) -> ColumnElement[bool]:
    """Return :func:`plan_box.fell_silent` in SQL; nobody falls silent in a pause."""
    return and_(
        BoxInWave.state.in_(PENDING),
        BoxInWave.deadline_at <= now,
        _state_of_rollout() != RolloutState.PAUSED,
    )


def is_queued() -> ColumnElement[bool]:
    """Return whether a box waits for an assignment, in SQL."""
    query = select(Wave.state).where(Wave.id == BoxInWave.wave_id)
    state_of_wave = query.correlate(BoxInWave).scalar_subquery()
    return and_(
        BoxInWave.state == BoxState.QUEUED,
        _state_of_rollout() == RolloutState.RUNNING,
        state_of_wave.in_(OPENED),
        ~ledger.is_halted(),
    )


def is_running_out(now: datetime) -> ColumnElement[bool]:
    """Return whether an assignment would run out before its box has an outcome, in SQL.

    Or whether it was issued before a person forced the rollout, or took that back.
    """
    again = select(Rollout.reissue_before).where(Rollout.id == BoxInWave.rollout_id)
    return and_(
        BoxInWave.state.in_(ADDRESSED),
        or_(
            BoxInWave.assignment_expires_at < now + authorise.ASSIGNMENT_RENEW,
            BoxInWave.assignment_expires_at < again.correlate(BoxInWave).scalar_subquery(),
        ),
        _state_of_rollout().in_(OPEN_ROLLOUTS),
    )


def is_over() -> ColumnElement[bool]:
    """Return whether a box holds an assignment that it should not hold any more, in SQL."""
    return and_(
        BoxInWave.assignment_expires_at.is_not(None),
        or_(
            BoxInWave.state.in_(VERDICTS),
            _state_of_rollout().not_in(OPEN_ROLLOUTS),
            ledger.is_halted(),
        ),
    )


def untold() -> ColumnElement[bool]:
    """Select rollouts of which a box still has a deadline or holds an assignment."""
    waits = select(BoxInWave.id).where(
        BoxInWave.rollout_id == Rollout.id, BoxInWave.deadline_at.is_not(None)
    )
    holds = select(BoxInWave.id).where(
        BoxInWave.rollout_id == Rollout.id,
        BoxInWave.state.in_(list(BoxState)),  # so that the index of held assignments serves
        BoxInWave.assignment_expires_at.is_not(None),
    )
    return or_(waits.exists(), holds.exists())


def _of(rollout: Rollout) -> Select[int]:
    return select(BoxInWave.id).where(BoxInWave.rollout_id == rollout.id)


def _assigned(rollout: Rollout, state: BoxState) -> Select[int]:
    holds = and_(BoxInWave.state == state, BoxInWave.assignment_expires_at.is_not(None))
    return _of(rollout).where(holds).order_by(BoxInWave.assignment_expires_at)


def _going(rollout: Rollout) -> list[ColumnElement[bool]]:
    """Return what keeps boxes of halted strata out; nothing where none has halted."""
    return [~ledger.is_halted()] if ledger.halted_versions(rollout.id) else []


def _state_of_rollout() -> Any:
    query = select(Rollout.state).where(Rollout.id == BoxInWave.rollout_id)
    return query.correlate(BoxInWave).scalar_subquery()
