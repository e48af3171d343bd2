"""A box that said it was updated and later runs something older again: that speaks against.

Its verdict came in good faith, but a success that does not last is none. Only the newest
hello that is known of the box counts, and only one that it wrote after the verdict.
"""

from datetime import datetime

from oleada_wire.messages import Hello
from oleada_wire.words import Phase, Reason
from sqlalchemy import func, select

from oleada_server.clock import to_ms
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.rollouts import newer, rows
from oleada_server.rollouts.evidence import ledger
from oleada_server.rollouts.evidence.counts import Counted
from oleada_server.rollouts.models import BoxInWave, ReportRow, Rollout
from oleada_server.rollouts.states import BoxState, RolloutState


def record_fall(device_id: str, hello: Hello, now: datetime) -> bool:
    """Count a box against the release that has left it; part of the caller's transaction.

    Returns:
        Whether it has. It is then told nothing: people see it, and may let it try again.
    """
    query = (
        select(BoxInWave)
        .join(Rollout, Rollout.id == BoxInWave.rollout_id)
        .where(
            BoxInWave.device_id == device_id,
            BoxInWave.state == BoxState.UPDATED,
            Rollout.state.in_((RolloutState.RUNNING, RolloutState.PAUSED)),
        )
        .order_by(BoxInWave.id.desc())
        .limit(1)
        .with_for_update(skip_locked=True, of=BoxInWave)
    )
    box = db.session.scalars(query).one_or_none()
    if box is None or not _is_newest(device_id, hello) or not _is_after_verdict(box, hello):
        return False
    release = rows.loaded(box.rollout_id).release
    if hello.version == release.version or newer.is_newer(hello.version, release.version):
        return False
    box.state, box.reason = BoxState.ROLLED_BACK, str(Reason.UNBOOTABLE)
    box.detail = f"it said it was updated, and runs {hello.version} again"
    box.ended_at = box.changed_at = now
    box.ripe_at = None
    ledger.record(box, Counted.BAD, now)
    rows.touch(box.rollout_id, now)
    return True


def _is_newest(device_id: str, hello: Hello) -> bool:
    """Return whether nothing newer of the box is known than *hello*."""
    query = select(Device.boot_count, Device.seq).where(Device.id == device_id)
    return db.session.execute(query).one_or_none() == (hello.header.boot.count, hello.header.seq)


def _is_after_verdict(box: BoxInWave, hello: Hello) -> bool:
    """Return whether the box wrote *hello* after its verdict, by its own clock."""
    query = select(func.max(ReportRow.box_at)).where(
        ReportRow.box_id == box.id,
        ReportRow.attempt == box.attempt,
        ReportRow.phase == Phase.UPDATED,
    )
    said_at = db.session.scalar(query)
    return said_at is not None and hello.header.at_ms > to_ms(said_at)
