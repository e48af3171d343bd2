"""Boxes that only say "installed": whoever speaks another protocol and has no trial of its own.

Such a word is no verdict: it may be said before the restart, or by an updater that does not
know what runs. The box is *installed, unproven* until it is next heard and runs the release;
then it is updated as of that moment. One that is never heard so falls silent, and one that
is heard running something else is still what it was. Nothing unproven opens a gate.
"""

from datetime import datetime

from oleada_wire.words import Phase
from sqlalchemy import select

from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.live import service as live
from oleada_server.rollouts import rows, ticks
from oleada_server.rollouts.evidence import ledger, trials
from oleada_server.rollouts.evidence.counts import Counted
from oleada_server.rollouts.leases import box_of, push_deadline
from oleada_server.rollouts.models import BoxInWave, Rollout
from oleada_server.rollouts.plan_box import Moved
from oleada_server.rollouts.spec import seconds
from oleada_server.rollouts.states import IN_FLIGHT, BoxState, RolloutState

__all__ = ["record_closed", "record_version"]

CLOSED_FROM = IN_FLIGHT | {BoxState.ASSIGNED}


def record_closed(device_id: str, assignment_id: str, now: datetime) -> bool:
    """Note that a box says it has installed what it was assigned; part of the caller's transaction.

    Returns:
        Whether that was news: not of a box with a verdict, nor of an assignment of another.
    """
    box = box_of(device_id, assignment_id)
    if box is None or box.state not in CLOSED_FROM:
        return False
    rollout = rows.loaded(box.rollout_id)
    box.state, box.changed_at, box.lease_expires_at = BoxState.UNPROVEN, now, None
    if (terms := ledger.terms_of(rollout.id)) is not None:
        ledger.record(box, Counted.OPEN, now)
        box.armed_at, box.ripe_at = now, now + seconds(terms.ripe_after_s)
    zone = db.session.scalar(select(Device.zone).where(Device.id == device_id))
    push_deadline(box, rollout, ticks.zone_of(zone or ""), now)
    rows.touch(rollout.id, now)
    live.touch(f"device:{device_id}", now)
    return True


def record_version(device_id: str, version: str, now: datetime) -> bool:
    """Note what a box was heard to run; part of the caller's transaction.

    Returns:
        Whether that proved what it had said: it runs the release.
    """
    query = (
        select(BoxInWave)
        .join(Rollout, Rollout.id == BoxInWave.rollout_id)
        .where(
            BoxInWave.device_id == device_id,
            BoxInWave.state == BoxState.UNPROVEN,
            Rollout.state.in_((RolloutState.RUNNING, RolloutState.PAUSED)),
        )
        .order_by(BoxInWave.id.desc())
        .limit(1)
        .with_for_update(skip_locked=True, of=BoxInWave)
    )
    box = db.session.scalars(query).one_or_none()
    if box is None or version != rows.loaded(box.rollout_id).release.version:
        return False
    moved = Moved(BoxState.UPDATED, box.step)
    box.state, box.reason, box.detail = moved.state, None, f"heard running it after {Phase.UPDATED}"
    box.deadline_at, box.ended_at, box.changed_at = None, now, now
    trials.record_move(box, moved, now)
    rows.touch(box.rollout_id, now)
    return True
