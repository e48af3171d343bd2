"""Runs what the plan decides, in the caller's transaction, until it says to wait."""

from datetime import datetime
from typing import Final, assert_never

from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.rollouts import aborts, permits, plan, reading, rows
from oleada_server.rollouts.authorise import queue_waves
from oleada_server.rollouts.errors import BadPlanError
from oleada_server.rollouts.evidence import halting, ledger
from oleada_server.rollouts.evidence.eprocess import NoSuchCountError
from oleada_server.rollouts.evidence.judge import Evidence
from oleada_server.rollouts.models import Rollout, Wave
from oleada_server.rollouts.states import RolloutState, WaveState

ACTOR: Final = "system:rollouts"


def advance(rollout: Rollout, now: datetime) -> plan.Wait:
    """Store decision after decision of a locked *rollout*; return what it waits for.

    Facts that contradict each other halt the rollout: nothing may go on from them.
    """
    for _ in range(4 * len(rollout.waves) + 4):
        decision = next_decision(rollout, now)
        if isinstance(decision, plan.Wait):
            return decision
        _store(rollout, decision, now)
        rows.touch(rollout.id, now)
        db.session.flush()
    raise AssertionError(f"R-{rollout.id} decides without end")


def next_decision(rollout: Rollout, now: datetime) -> plan.Decision:
    """Return what the plan says of *rollout* at *now*; changes nothing.

    One that has ended is not judged: a wave that halts keeps since when it has soaked, and
    those in front of it keep their state, which no rollout that moves may have.
    """
    if RolloutState(rollout.state) not in plan.MOVING:
        return plan.Wait(f"is {rollout.state}")
    try:
        permits.times_of(rollout)
        if rollout.preparing is not None:
            reading.spec_of(rollout)  # what it will go by; boxes that are not written yet wait
            return plan.Wait("is being prepared")
        decision, broken = plan.decide(rows.facts(rollout), now), aborts.reason(rollout)
        if broken is not None and not isinstance(decision, plan.Halt):
            return plan.Halt(0, broken)
        return decision
    except (plan.ImpossibleFactsError, BadPlanError) as error:
        return plan.Halt(0, f"the facts contradict each other: {error}")


def end(rollout: Rollout, state: RolloutState, reason: str | None, now: datetime) -> None:
    """End *rollout*: its waves are withdrawn and its boxes free; the tick tells them."""
    was_open = RolloutState(rollout.state) in plan.MOVING
    rollout.state, rollout.state_reason, rollout.ended_at = state, reason, now
    rollout.preparing = None
    if was_open:
        db.session.flush()
        queue_waves(rollout.release.hardware_model, now)


def _store(rollout: Rollout, decision: plan.Decision, now: datetime) -> None:
    match decision:
        case plan.OpenWave(position):
            _open(rollout, rollout.waves[position - 1], now)
        case plan.StartSoak(position):
            wave = rollout.waves[position - 1]
            wave.state, wave.state_reason, wave.soak_from = WaveState.SOAKING, None, now
            _log(rollout, "wave.soak", f"wave {position} has met its limits", now)
        case plan.PassWave(position):
            wave = rollout.waves[position - 1]
            wave.state, wave.passed_at = WaveState.PASSED, now
            _log(rollout, "wave.pass", f"wave {position} has passed", now)
        case plan.HoldWave(position, reason):
            wave = rollout.waves[position - 1]
            wave.state, wave.state_reason, wave.soak_from = WaveState.HELD, reason, None
            _log(rollout, "wave.hold", reason, now)
        case plan.Halt() | plan.HaltStrata():
            _halt(rollout, decision, now)
        case plan.Finish():
            end(rollout, RolloutState.FINISHED, None, now)
            _log(rollout, "rollout.finish", "every wave has passed", now)
        case plan.Wait():
            pass
        case _:
            assert_never(decision)


def _open(rollout: Rollout, wave: Wave, now: datetime) -> None:
    if wave.state != WaveState.WAITING:
        wave.state, wave.state_reason = WaveState.OPEN, None
        _log(rollout, "wave.go_on", f"wave {wave.position} can be judged again", now)
        return
    if rollout.state == RolloutState.SCHEDULED:
        rollout.state, rollout.started_at = RolloutState.RUNNING, now
    wave.state, wave.opened_at = WaveState.OPEN, now
    db.session.flush()
    queue_waves(rollout.release.hardware_model, now)
    _log(rollout, "wave.open", f"wave {wave.position} opens for {wave.boxes} boxes", now)


def _halt(rollout: Rollout, decision: plan.Halt | plan.HaltStrata, now: datetime) -> None:
    reason, evidence = decision.reason, _evidence(rollout)
    if isinstance(decision, plan.HaltStrata):
        assert evidence is not None, "nothing else halts strata"  # noqa: S101
        halting.record_strata_halt(rollout, evidence, decision.names, reason, now)
        _log(rollout, "rollout.halt_stratum", reason, now)
        return
    for wave in rollout.waves:
        if wave.position == decision.position:
            wave.state, wave.state_reason = WaveState.HALTED, reason
    halting.record_halt(rollout, evidence, reason, now)
    end(rollout, RolloutState.HALTED, reason, now)
    _log(rollout, "rollout.halt", reason, now)


def _evidence(rollout: Rollout) -> Evidence | None:
    """Return what is known; None where that is nothing, or contradicts itself."""
    try:
        return ledger.evidence(rollout.id, rollout.in_flight_max)
    except NoSuchCountError:
        return None


def _log(rollout: Rollout, action: str, reason: str, now: datetime) -> None:
    audit.record(ACTOR, action, f"R-{rollout.id}", now=now, reason=reason)
