"""What every deed of a person has in common: find and lock, freeze, audit, settle.

Takes part in its caller's transaction, except :func:`settled`, which ends it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select

from oleada_server.audit import service as audit
from oleada_server.db import TIME_TEXT, chunks, db, run_on_rows, time_text
from oleada_server.releases.models import Release, ReleaseState
from oleada_server.rollouts import freezing, rows, signatures, ticks
from oleada_server.rollouts.advance import advance
from oleada_server.rollouts.choosing import Member
from oleada_server.rollouts.errors import (
    BeingPreparedError,
    ReleaseWithdrawnError,
    RolloutStateError,
)
from oleada_server.rollouts.evidence import ledger
from oleada_server.rollouts.models import Rollout, Wave
from oleada_server.rollouts.states import BoxState, RolloutState

WRITE_AT_ONCE: Final = 5000


def demand_published(release: Release) -> None:
    """Let *release* pass unless it was withdrawn.

    Raises:
        ReleaseWithdrawnError: It goes to no box any more.
    """
    if release.state != ReleaseState.PUBLISHED:
        raise ReleaseWithdrawnError(release.hardware_model, release.version)


def in_state(rollout_id: int, verb: str, states: Any) -> Rollout:
    """Return the rollout, locked, if it is in one of *states*.

    Raises:
        RolloutNotFoundError: There is none.
        RolloutStateError: It is in another state, in which it can not be done.
    """
    rollout = rows.locked(rollout_id)
    if rollout.state not in states:
        raise RolloutStateError(rollout_id, rollout.state, verb, states)
    return rollout


def begin(
    rollout: Rollout, action: str, *, actor: str, reason: str | None, now: datetime
) -> RolloutState:
    """Freeze which boxes *rollout* covers and let it begin; ends the transaction.

    It runs at once, or is scheduled when its start time has not come. One with more boxes
    than are written down in one transaction is scheduled, and prepared by the scheduler.

    Raises:
        BeingPreparedError: Another rollout of the model is being prepared.
        ReleaseWithdrawnError: The release was withdrawn in the meantime.
        EmptyWaveError: A wave covers no box now.
    """
    was = RolloutState(rollout.state)
    rows.lock_model(rollout.release.hardware_model)
    demand_published(rollout.release)
    demand_none_prepared(rollout.release.hardware_model)
    freezing.begin(rollout)
    rollout.state, rollout.state_reason = RolloutState.SCHEDULED, None
    if freezing.write_part(rollout, now):
        freezing.complete(rollout, now)
        let_go(rollout, now)
    record(rollout, action, actor=actor, reason=reason, was=was, now=now)
    return settled(rollout, now)


def let_go(rollout: Rollout, now: datetime) -> None:
    """Let a *rollout* begin whose boxes are all written down; one that was paused stays so."""
    ledger.begin(rollout.id)
    signatures.record_requests(rollout, now)
    if rollout.state == RolloutState.SCHEDULED:
        run_or_schedule(rollout, now)


def being_prepared(hardware_model: str) -> int | None:
    """Return the rollout of a model whose boxes are being written down; None if none is."""
    query = (
        select(Rollout.id)
        .join(Rollout.release)
        .where(Release.hardware_model == hardware_model, Rollout.preparing.is_not(None))
    )
    return db.session.scalar(query.order_by(Rollout.id).limit(1))


def demand_none_prepared(hardware_model: str) -> None:
    """Let another rollout of a model begin unless one is being prepared: it has the first choice.

    Raises:
        BeingPreparedError: One is.
    """
    if (rollout_id := being_prepared(hardware_model)) is not None:
        raise BeingPreparedError(rollout_id)


def run_or_schedule(rollout: Rollout, now: datetime) -> None:
    """Let *rollout* run; one that has not started and whose time has not come is scheduled."""
    is_later = rollout.start_at is not None and rollout.start_at > now
    is_scheduled = rollout.started_at is None and is_later
    rollout.state = RolloutState.SCHEDULED if is_scheduled else RolloutState.RUNNING
    rollout.state_reason = None
    if not is_scheduled:
        rollout.started_at = rollout.started_at or now


def add_boxes(rollout: Rollout, wave: Wave, members: Sequence[Member], now: datetime) -> None:
    """Write down that *members* are in *wave* and wait for it."""
    for chunk in chunks(members, WRITE_AT_ONCE):
        _write_boxes(rollout, [(wave, member) for member in chunk], now)


def _write_boxes(rollout: Rollout, boxes: Sequence[tuple[Wave, Member]], now: datetime) -> None:
    db.session.flush()
    at = time_text(now)
    run_on_rows(
        "INSERT INTO box_in_wave (rollout_id, wave_id, device_id, state, attempt, step,"
        " version_before, done_bytes, changed_at)"
        " SELECT rollout_id, wave_id, device_id, state, 0, 0, version, 0, at FROM new",
        {"rollout_id": "integer", "wave_id": "integer", "device_id": "text", "state": "text",
         "version": "text", "at": TIME_TEXT},
        [
            {"rollout_id": rollout.id, "wave_id": wave.id, "device_id": member.device_id,
             "state": str(BoxState.QUEUED), "version": member.version, "at": at}
            for wave, member in boxes
        ],
    )  # fmt: skip


def record(
    rollout: Rollout, action: str, *, actor: str, reason: str | None, was: str, now: datetime
) -> None:
    """Write into the audit trail what *actor* did, and how the state changed."""
    audit.record(
        actor,
        action,
        f"R-{rollout.id}",
        now=now,
        reason=reason,
        before={"state": str(was)},
        after={"state": str(rollout.state)},
    )


def settled(rollout: Rollout, now: datetime) -> RolloutState:
    """Store the deed, then at once do what it made due, as the tick would; commits."""
    rollout_id = rollout.id
    db.session.flush()
    advance(rollout, now)
    rows.touch(rollout_id, now)
    db.session.commit()
    ticks.step(rollout_id, now)
    return RolloutState(rows.loaded(rollout_id).state)
