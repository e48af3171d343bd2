"""Rollouts: what people do with them, what boxes say of them, what the tick makes of both.

``create`` … ``retry`` and ``tick`` are transactions and commit; ``record_…`` and
``queue_…`` take part in their caller's. Every deed of a person is audited.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select, update

from oleada_server.audit import service as audit
from oleada_server.db import chunks, db
from oleada_server.releases.models import Release
from oleada_server.rollouts import approvals, covered, deeds, presence, rows, ticks
from oleada_server.rollouts.advance import end
from oleada_server.rollouts.approvals import approve, ask_approval, send_back
from oleada_server.rollouts.cover import where_json
from oleada_server.rollouts.early import open_early
from oleada_server.rollouts.errors import (
    ApprovalMissingError,
    BadPlanError,
    NoSuchReleaseError,
    NothingToRetryError,
)
from oleada_server.rollouts.evidence import past, trials
from oleada_server.rollouts.forcing import force, unforce
from oleada_server.rollouts.holds import go_on
from oleada_server.rollouts.leases import record_lease_request
from oleada_server.rollouts.models import BoxInWave, Rollout, Wave
from oleada_server.rollouts.once import Once, done_before, record_done
from oleada_server.rollouts.presence import Replay
from oleada_server.rollouts.preview import Preview
from oleada_server.rollouts.progress import updated_by_time
from oleada_server.rollouts.reading import (
    BoxFilter,
    Failure,
    WaveCounts,
    boxes,
    count_in,
    get,
    list_rollouts,
    list_waiting,
    spec_of,
    summary,
    why_failed,
)
from oleada_server.rollouts.reports import record_hello, record_report
from oleada_server.rollouts.restored import record_restore
from oleada_server.rollouts.rules import rules_json
from oleada_server.rollouts.signatures import missing as missing_signatures
from oleada_server.rollouts.signatures import record_trust, request_of, signed_until
from oleada_server.rollouts.signing import add_signatures
from oleada_server.rollouts.spec import RolloutSpec, WaveSpec, demand_opening
from oleada_server.rollouts.states import OPEN_ROLLOUTS, BoxState, RolloutState, WaveState
from oleada_server.rollouts.ticks import tick
from oleada_server.rollouts.unproven import record_closed

__all__ = [
    "BoxFilter",
    "Failure",
    "WaveCounts",
    "add_signatures",
    "approve",
    "ask_approval",
    "boxes",
    "count_in",
    "create",
    "dry_run",
    "force",
    "get",
    "go_on",
    "list_rollouts",
    "list_waiting",
    "missing_signatures",
    "open_early",
    "pause",
    "preview",
    "queue_stop_for_release",
    "record_closed",
    "record_hello",
    "record_lease_request",
    "record_report",
    "record_restore",
    "record_trust",
    "request_of",
    "resume",
    "retry",
    "send_back",
    "signed_until",
    "spec_of",
    "start",
    "stop",
    "summary",
    "tick",
    "unforce",
    "updated_by_time",
    "why_failed",
]

SALTS_DRAWN: Final = 16
STOPPABLE: Final = OPEN_ROLLOUTS | {RolloutState.DRAFT, RolloutState.AWAITING_APPROVAL}
RETRYABLE_STATES: Final = (
    BoxState.FAILED,
    BoxState.ROLLED_BACK,
    BoxState.DECLINED,
    BoxState.SILENT,
)


def preview(spec: RolloutSpec) -> Preview:
    """Return what *spec* would cover if it started now; changes nothing.

    Raises:
        NoSuchReleaseError: There is no such release.
        NoSuchGroupError: A wave names a group that is not there.
        ReleaseWithdrawnError: It was withdrawn.
    """
    release = _release(spec)
    return covered.shown(spec, release, _salts())


def dry_run(spec: RolloutSpec, found: Preview, now: datetime) -> Replay | None:
    """Return how *spec*, previewed as *found*, would go; None where it covers too little."""
    return presence.replayed(spec, found, now)


def create(
    spec: RolloutSpec,
    *,
    actor: str,
    now: datetime,
    once: Once | None = None,
    in_console: bool = False,
) -> int:
    """Store *spec* as a draft and return its number (``R-<number>``).

    Setting ``rollout_approval`` and *in_console* decide whether a second person has to
    approve it.

    With *once*, a request that was carried out before returns the number it had then.

    Raises:
        KeyReusedError: *once* was used for another request.
        NoSuchReleaseError: There is no such release.
        NoSuchGroupError: A wave names a group that is not there.
        BadPlanError: Its windows and blackouts leave no time to begin.
        ReleaseWithdrawnError: It was withdrawn.
    """
    if once is not None and (done := done_before(actor, once)) is not None:
        return done
    release = _release(spec)
    demand_opening(spec, now)
    salt = covered.salt_of(spec, release, _salts())
    rollout = Rollout(
        release_id=release.id,
        name=spec.name or f"{release.hardware_model} {release.version}",
        state=RolloutState.DRAFT,
        created_at=now,
        created_by=actor,
        start_at=spec.start_at,
        salt=salt,
        window_start_min=spec.window.start_min if spec.window else None,
        window_end_min=spec.window.end_min if spec.window else None,
        silent_after_s=spec.silent_after_s,
        attempts_max=spec.attempts_max,
        in_flight_max=spec.in_flight_max,
        spread_s=spec.spread_s,
        lease_s=spec.lease_s,
        rules=rules_json(spec.rules) or None,
        needs_approval=approvals.is_wanted(in_console=in_console),
    )
    rollout.waves = [_wave(position, wave) for position, wave in enumerate(spec.waves, start=1)]
    db.session.add(rollout)
    db.session.flush()
    rollout_id = rollout.id
    if spec.evidence is not None:
        db.session.add(past.terms(rollout_id, release.hardware_model, spec.evidence))
    after = {"release": release.target_path, "waves": [wave.name for wave in spec.waves]}
    audit.record(actor, "rollout.create", f"R-{rollout_id}", now=now, after=after)
    if once is not None:
        record_done(actor, once, rollout_id, now)
    rows.touch(rollout_id, now)
    db.session.commit()
    return rollout_id


def start(rollout_id: int, *, actor: str, now: datetime, reason: str | None = None) -> RolloutState:
    """Freeze which boxes the rollout covers and let it begin; return its state.

    It runs at once, or is scheduled when its start time has not come, or until all its boxes
    are written down.

    Raises:
        RolloutNotFoundError: There is none.
        RolloutStateError: It is not a draft.
        BeingPreparedError: Another rollout of the model is being prepared.
        ApprovalMissingError: A second person has to approve it first.
        ReleaseWithdrawnError: The release was withdrawn in the meantime.
        EmptyWaveError: A wave covers no box now.
    """
    rollout = deeds.in_state(rollout_id, "start", (RolloutState.DRAFT,))
    if approvals.is_needed(rollout):
        raise ApprovalMissingError(rollout_id)
    return deeds.begin(rollout, "rollout.start", actor=actor, reason=reason, now=now)


def pause(rollout_id: int, reason: str, *, actor: str, now: datetime) -> RolloutState:
    """Grant no lease until it is resumed; boxes that have armed finish their trial.

    Raises:
        RolloutNotFoundError: There is none.
        RolloutStateError: It is not running.
    """
    rollout = deeds.in_state(rollout_id, "pause", (RolloutState.RUNNING,))
    rollout.state, rollout.state_reason = RolloutState.PAUSED, reason
    deeds.record(
        rollout, "rollout.pause", actor=actor, reason=reason, was=RolloutState.RUNNING, now=now
    )
    return deeds.settled(rollout, now)


def resume(
    rollout_id: int, *, actor: str, now: datetime, reason: str | None = None
) -> RolloutState:
    """Go on after a pause; the time of the pause counts as nobody's silence.

    One that was scheduled when a restore paused it waits for its start time again.

    Raises:
        RolloutNotFoundError: There is none.
        RolloutStateError: It is not paused.
        ReleaseWithdrawnError: The release was withdrawn in the meantime.
    """
    ticks.push_deadlines(get(rollout_id), now)
    rollout = deeds.in_state(rollout_id, "resume", (RolloutState.PAUSED,))
    deeds.demand_published(rollout.release)
    deeds.run_or_schedule(rollout, now)
    deeds.record(
        rollout, "rollout.resume", actor=actor, reason=reason, was=RolloutState.PAUSED, now=now
    )
    return deeds.settled(rollout, now)


def stop(rollout_id: int, reason: str, *, actor: str, now: datetime) -> RolloutState:
    """End the rollout: no new lease, assignments taken back; it can not be resumed.

    Raises:
        RolloutNotFoundError: There is none.
        RolloutStateError: It has already ended.
    """
    rollout = deeds.in_state(rollout_id, "stop", STOPPABLE)
    _stop(rollout, reason, actor, now)
    return deeds.settled(rollout, now)


def retry(
    rollout_id: int,
    *,
    actor: str,
    now: datetime,
    reason: str | None = None,
    device_ids: Sequence[str] | None = None,
    ended_for: str | None = None,
) -> int:
    """Assign the release again to boxes that did not get it; return how many.

    Args:
        rollout_id: A rollout that is running or paused.
        actor: Who asks.
        now: Aware time.
        reason: Why, for the audit trail.
        device_ids: These boxes; None for all that *ended_for* names.
        ended_for: A reason code such as ``health-check``, or ``silent``.

    Raises:
        RolloutNotFoundError: There is none.
        RolloutStateError: It is neither running nor paused.
        BadPlanError: Neither boxes nor a reason were named.
        NothingToRetryError: No box that was named may be assigned again.
    """
    if device_ids is None and ended_for is None:
        raise BadPlanError("Name the boxes to retry, or the reason for which they ended.")
    get(rollout_id)
    conditions: list[Any] = [BoxInWave.state.in_(RETRYABLE_STATES)]
    if ended_for == BoxState.SILENT:
        conditions = [BoxInWave.state == BoxState.SILENT]
    elif ended_for is not None:
        conditions.append(BoxInWave.reason == ended_for)
    count = 0
    for chunk in [None] if device_ids is None else list(chunks(device_ids)):
        named = [] if chunk is None else [BoxInWave.device_id.in_(chunk)]
        which = [BoxInWave.rollout_id == rollout_id, *conditions, *named]
        trials.record_given_up(which, now)
        statement = (
            update(BoxInWave)
            .where(*which)
            .values(state=BoxState.QUEUED, deadline_at=None, ended_at=None, changed_at=now)
        )
        found: Any = db.session.execute(statement, execution_options={"synchronize_session": False})
        count += found.rowcount
    # Locked after the boxes, in the order of whoever answers a box (see rows.py).
    rollout = deeds.in_state(rollout_id, "retry", (RolloutState.RUNNING, RolloutState.PAUSED))
    if not count:
        raise NothingToRetryError(rollout_id)
    after = {"boxes": count, "ended_for": ended_for}
    audit.record(actor, "rollout.retry", f"R-{rollout_id}", now=now, reason=reason, after=after)
    deeds.settled(rollout, now)
    return count


def queue_stop_for_release(release_id: int, reason: str, now: datetime) -> list[int]:
    """Stop every rollout of a release that is taken back; part of the caller's transaction."""
    query = (
        select(Rollout.id)
        .where(Rollout.release_id == release_id)
        .where(Rollout.state.in_(STOPPABLE))
        .order_by(Rollout.id)
    )
    stopped = []
    for rollout_id in db.session.scalars(query).all():
        rollout = rows.locked(rollout_id)
        if rollout.state not in STOPPABLE:  # it has ended while we waited for it
            continue
        _stop(rollout, reason, "system:releases", now)
        rows.touch(rollout_id, now)
        stopped.append(rollout_id)
    return stopped


def _stop(rollout: Rollout, reason: str, actor: str, now: datetime) -> None:
    before = RolloutState(rollout.state)
    end(rollout, RolloutState.STOPPED, reason, now)
    deeds.record(rollout, "rollout.stop", actor=actor, reason=reason, was=before, now=now)


def _release(spec: RolloutSpec) -> Release:
    found = db.session.scalars(
        select(Release).where(
            Release.hardware_model == spec.hardware_model, Release.version == spec.version
        )
    ).one_or_none()
    if found is None:
        raise NoSuchReleaseError(spec.hardware_model, spec.version)
    deeds.demand_published(found)
    return found


def _salts() -> list[str]:
    return [secrets.token_hex(8) for _ in range(SALTS_DRAWN)]


def _wave(position: int, spec: WaveSpec) -> Wave:
    return Wave(
        position=position,
        name=spec.name,
        share_until=spec.share_until,
        device_ids=None if spec.device_ids is None else list(spec.device_ids),
        box_count=spec.count,
        box_filter=None if spec.where is None else where_json(spec.where),
        success_share_min=spec.success_share_min,
        failed_share_max=spec.failed_share_max,
        silent_share_max=spec.silent_share_max,
        sample_min=spec.sample_min,
        soak_s=spec.soak_s,
        state=WaveState.WAITING,
    )
