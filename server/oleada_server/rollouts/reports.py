"""What boxes say: each report counts once, whatever its order; a hello resynchronises.

A report that can not be counted (an unknown assignment, an attempt that was never
given) changes nothing and is acknowledged all the same: sending it again is of no use.
"""

from datetime import datetime
from typing import Final

from oleada_wire.messages import DETAIL_CHARS_MAX, Hello, Report
from sqlalchemy import select

from oleada_server import restored
from oleada_server.clock import from_ms
from oleada_server.db import db, insert
from oleada_server.devices.models import Device
from oleada_server.live import service as live
from oleada_server.rollouts import (
    authorise,
    fell_back,
    permits,
    plan_box,
    rows,
    ticks,
    unproven,
)
from oleada_server.rollouts.evidence import trials
from oleada_server.rollouts.leases import box_of, push_deadline
from oleada_server.rollouts.models import BoxInWave, ReportRow, Rollout
from oleada_server.rollouts.plan_box import BoxFacts, History, Moved, Refused, ReportFacts
from oleada_server.rollouts.spec import seconds
from oleada_server.rollouts.states import PENDING, BoxState, RolloutState

STEP_MAX: Final = 1_000_000
"""Beyond any honest box, and well inside what every database stores."""


def record_report(device_id: str, report: Report, now: datetime) -> None:
    """Count *report* once; part of the caller's transaction."""
    box = box_of(device_id, report.assignment_id)
    if box is None or not _is_countable(report):
        return
    rollout = rows.loaded(box.rollout_id)
    said = ReportFacts(report.attempt, report.step, report.phase, report.reason, report.version)
    facts = BoxFacts(
        BoxState(box.state),
        box.attempt,
        box.step,
        rollout.attempts_max,
        is_from_backup=restored.is_from_backup(box.id),
        retry_for=permits.retry_for(rollout),
    )
    moved = plan_box.on_report(facts, said, rollout.release.version)
    if isinstance(moved, Refused) or not _store(box, report, now):
        return
    if isinstance(moved, History):
        return
    _move(box, rollout, report, moved, now)
    rows.touch(rollout.id, now)
    live.touch(f"device:{device_id}", now)


def record_hello(device_id: str, hello: Hello, now: datetime) -> None:
    """Send the assignment again to a box that does not know it; never a verdict.

    A box that already runs the release, but whose verdict is still out, is told again
    too: it answers with the report that was lost. Part of the caller's transaction.
    """
    query = (
        select(BoxInWave.id, BoxInWave.device_id, BoxInWave.wave_id, BoxInWave.attempt,
               BoxInWave.rollout_id, Device.assignment_seq, Rollout.release_id)
        .join(Rollout, Rollout.id == BoxInWave.rollout_id)
        .join(Device, Device.id == BoxInWave.device_id)
        .where(
            BoxInWave.device_id == device_id,
            BoxInWave.state.in_((PENDING - {BoxState.QUEUED}) | {BoxState.SILENT}),
            Rollout.state.in_((RolloutState.RUNNING, RolloutState.PAUSED)),
        )
        .order_by(BoxInWave.id.desc())
        .limit(1)
        .with_for_update(skip_locked=True, of=BoxInWave)
    )  # fmt: skip
    if unproven.record_version(device_id, hello.version, now):
        return
    row = db.session.execute(query).one_or_none()
    if row is None:
        fell_back.record_fall(device_id, hello, now)
        _clear(device_id, hello, now)
        return
    runs_it = hello.version == rows.loaded(row.rollout_id).release.version
    if hello.assignment_seq != row.assignment_seq or runs_it:
        ticks.queue_again(row.rollout_id, [row], now)


def _is_countable(report: Report) -> bool:
    return 1 <= report.step <= STEP_MAX and 1 <= report.attempt <= STEP_MAX


def _clear(device_id: str, hello: Hello, now: datetime) -> None:
    """Tell a box that has no assignment here so, unless that is the last word it knows.

    It may hold one that a restored server has lost.
    """
    known = db.session.scalar(select(Device.assignment_seq).where(Device.id == device_id))
    if known is not None and hello.assignment_seq != known:
        authorise.queue_clearings([device_id], now)


def _store(box: BoxInWave, report: Report, now: datetime) -> bool:
    """Keep *report*; return whether it is the first one with its attempt and step."""
    statement = (
        insert(ReportRow)
        .values(
            box_id=box.id,
            attempt=report.attempt,
            step=report.step,
            phase=report.phase,
            reason=report.reason,
            detail=_text(report.detail, DETAIL_CHARS_MAX),
            version=_text(report.version, 40),
            running_slot=_text(report.running_slot, 1),
            message_id=_text(report.header.id, 32),
            box_at=_box_time(report.header.at_ms, now),
            received_at=now,
        )
        .on_conflict_do_nothing(index_elements=["box_id", "attempt", "step"])
        .returning(ReportRow.id)
    )
    return db.session.scalar(statement) is not None


def _move(box: BoxInWave, rollout: Rollout, report: Report, moved: Moved, now: datetime) -> None:
    box.state, box.step, box.reason = moved.state, moved.step, moved.reason
    box.attempt = max(box.attempt, report.attempt)  # more only after a restore: plan_box.py
    box.detail = _text(report.detail, DETAIL_CHARS_MAX) or None
    box.done_bytes = max(0, min(report.done_bytes, rollout.release.size_bytes))
    box.changed_at = now
    trials.record_move(box, moved, now)
    if moved.state in PENDING and not moved.assign_again:
        box.ended_at = None
        if moved.push_deadline:
            if not plan_box.keeps_place(box.lease_expires_at, now):
                box.leased_at = None
            lease_until = now + seconds(rollout.lease_s)
            box.lease_expires_at = max(box.lease_expires_at or lease_until, lease_until)
            zone = db.session.scalar(select(Device.zone).where(Device.id == box.device_id))
            push_deadline(box, rollout, ticks.zone_of(zone or ""), now)
        return
    box.deadline_at = box.lease_expires_at = None
    box.ended_at = None if moved.assign_again else now


def _text(text: str, chars_max: int) -> str:
    """Return *text* as every database stores it: no NUL, not too long."""
    return text.replace("\x00", "�")[:chars_max]


def _box_time(at_ms: int, now: datetime) -> datetime:
    """Return a box's time; *now* when its clock says what no calendar holds."""
    try:
        return from_ms(at_ms)
    except (OverflowError, ValueError, OSError):
        return now
