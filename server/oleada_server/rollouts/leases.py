"""Leases: a box asks when it could start, and is told in a signed answer."""

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from oleada_wire import messages, topics
from oleada_wire.messages import Lease, LeaseRequest
from sqlalchemy import select

from oleada_server.clock import to_ms
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.live import service as live
from oleada_server.messaging import service as messaging
from oleada_server.releases.models import ReleaseState
from oleada_server.rollouts import left_alone, permits, plan_box, rows, ticks
from oleada_server.rollouts.authorise import parse_assignment_id, window_of
from oleada_server.rollouts.evidence import ledger, trials
from oleada_server.rollouts.models import BoxInWave, Rollout, Wave
from oleada_server.rollouts.plan_box import Granted, LeaseFacts, NotNow
from oleada_server.rollouts.spec import seconds
from oleada_server.rollouts.states import (
    IN_FLIGHT,
    OPEN_ROLLOUTS,
    PENDING,
    BoxState,
    RolloutState,
    WaveState,
)

ANSWER_VALID: Final = timedelta(minutes=5)
"""An answer that could not be delivered by then is worth nothing: the box asks again."""


def record_lease_request(device_id: str, request: LeaseRequest, now: datetime) -> None:
    """Queue the signed answer to *request*; part of the caller's transaction.

    A request for an assignment that is not the box's own, or not its newest attempt, is
    refused as ``stopped``: the box drops it and finds its real assignment, if any. So is
    one for no assignment, whose box wants to be told the time: the answer names the question.
    """
    box = box_of(device_id, request.assignment_id)
    if box is None:
        answer: Granted | NotNow = NotNow("stopped", plan_box.RETRY_AFTER_S_MAX)
    else:
        answer = _unreadable(rows.loaded(box.rollout_id)) or _decide(box, request, now)
    _queue_answer(device_id, request, answer, now)


def box_of(device_id: str, assignment_id: str, *, wait: bool = True) -> BoxInWave | None:
    """Return the box's row that *assignment_id* names, locked; None if it names none.

    With *wait* false, also None while somebody else is at the row.
    """
    box_id = parse_assignment_id(assignment_id)
    if box_id is None:
        return None
    query = select(BoxInWave).where(BoxInWave.id == box_id, BoxInWave.device_id == device_id)
    locked = query.with_for_update(skip_locked=not wait, of=BoxInWave)
    return db.session.scalars(locked, execution_options={"populate_existing": True}).one_or_none()


def _unreadable(rollout: Rollout) -> NotNow | None:
    """Return the answer of a rollout whose times cannot be read: the tick halts it and says why."""
    if permits.is_readable(rollout):
        return None
    reason = "paused" if rollout.state in OPEN_ROLLOUTS else "stopped"
    return NotNow(reason, plan_box.RETRY_AFTER_S_MAX)


def _decide(box: BoxInWave, request: LeaseRequest, now: datetime) -> Granted | NotNow:
    rollout = rows.loaded(box.rollout_id)
    zone = ticks.zone_of(
        db.session.scalar(select(Device.zone).where(Device.id == box.device_id)) or ""
    )
    facts = _facts(rollout, box, zone, now)
    answer = plan_box.decide_lease(facts, request.attempt, now)
    if isinstance(answer, Granted):
        answer = left_alone.refusal(rollout, box.device_id, now) or answer
    if isinstance(answer, Granted):
        answer = permits.refusal(rollout, box, request.phase, zone, now) or answer
    match answer:
        case Granted(expires_at):
            if box.state not in IN_FLIGHT:
                box.state = BoxState.LEASED
                box.ended_at = box.detail = None
            if not facts.has_place:
                box.leased_at = now
            box.lease_expires_at = expires_at
            trials.record_grant(box, request.phase, now)
            push_deadline(box, rollout, zone, now)
        case NotNow("stopped" | "denied"):
            return answer
        case NotNow():
            # The box spoke and was told to wait: waiting is not silence.
            push_deadline(box, rollout, zone, now)
    box.changed_at = now
    rows.touch(rollout.id, now)
    live.touch(f"device:{box.device_id}", now)
    return answer


def push_deadline(box: BoxInWave, rollout: Rollout, zone: ZoneInfo, now: datetime) -> None:
    """Let the silence of *box*, which has no verdict, count from *now*.

    In its trial it has drawn its delay long ago: what it may draw is no patience there.
    """
    if box.state in PENDING:
        spread = seconds(rollout.spread_s) if box.armed_at is None else timedelta(0)
        box.deadline_at = plan_box.deadline(
            now,
            trials.patience(box, rollout),
            spread,
            None,
            zone,
            opens_at=permits.opens_at(rollout, zone, now),
        )


def _facts(rollout: Rollout, box: BoxInWave, zone: ZoneInfo, now: datetime) -> LeaseFacts:
    in_flight, in_flight_max = 0, rollout.in_flight_max
    has_place = trials.has_place(box, now)
    if not has_place:
        db.session.flush()
        rows.locked(rollout.id)
        in_flight = trials.in_flight(rollout.id, box.id, now)
        in_flight_max = min(in_flight_max, ledger.room(rollout.id, in_flight_max))
    wave_state = db.session.scalar(select(Wave.state).where(Wave.id == box.wave_id))
    if ledger.halts(box):  # to its boxes, a stratum that halts is a wave that halts
        wave_state = WaveState.HALTED
    return LeaseFacts(
        rollout_state=RolloutState(rollout.state),
        wave_state=WaveState(wave_state or WaveState.WAITING),
        box_state=BoxState(box.state),
        attempt=box.attempt,
        has_place=has_place,
        in_flight=in_flight,
        in_flight_max=in_flight_max,
        lease=seconds(rollout.lease_s),
        window=window_of(rollout),
        zone=zone,
        release_withdrawn=_is_taken_back(rollout),
    )


def _is_taken_back(rollout: Rollout) -> bool:
    release = rollout.release
    return release.state == ReleaseState.WITHDRAWN or release.denied_at is not None


def _queue_answer(
    device_id: str, request: LeaseRequest, answer: Granted | NotNow, now: datetime
) -> None:
    granted = isinstance(answer, Granted)
    lease = Lease(
        header=messaging.next_header(now),
        device_id=device_id,
        assignment_id=request.assignment_id,
        attempt=request.attempt,
        phase=request.phase,
        granted=granted,
        expires_ms=to_ms(answer.expires_at) if isinstance(answer, Granted) else 0,
        retry_after_s=answer.retry_after_s if isinstance(answer, NotNow) else 0,
        reason=answer.reason if isinstance(answer, NotNow) else "",
        request_id=request.header.id,
    )
    messaging.queue_message(
        topics.down(device_id, topics.Down.LEASE),
        messages.seal(lease, [messaging.director()]),
        now=now,
        expires_at=now + ANSWER_VALID,
    )
