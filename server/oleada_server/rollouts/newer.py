"""Boxes that run something newer than the release: they are never sent back.

A rollout takes no such box when it starts. One may have gone on since all the same: by a
rollout that was lost with a restore, or by hand.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from oleada_wire.version import is_version, version_key
from oleada_wire.words import Reason
from sqlalchemy import select, update

from oleada_server.db import chunks, db
from oleada_server.devices.models import Device
from oleada_server.rollouts.models import BoxInWave, Rollout
from oleada_server.rollouts.states import BoxState


def leave_out(rollout: Rollout, found: Sequence[Any], now: datetime) -> list[Any]:
    """Leave out those boxes of *found* that run newer; return the others.

    Part of the caller's transaction. Rows of *found* have ``id`` and ``device_id``.
    """
    release = rollout.release.version
    versions: dict[str, str | None] = {}
    for chunk in chunks(row.device_id for row in found):
        query = select(Device.id, Device.version).where(Device.id.in_(chunk))
        versions.update({row.id: row.version for row in db.session.execute(query)})
    newer = {row.id: row for row in found if is_newer(versions.get(row.device_id), release)}
    for row in newer.values():
        detail = f"the box runs {versions[row.device_id]}, which is newer than {release}"
        db.session.execute(
            update(BoxInWave)
            .where(BoxInWave.id == row.id)
            .values(
                state=BoxState.DECLINED,
                reason=str(Reason.NOT_COVERED),
                detail=detail,
                deadline_at=None,
                lease_expires_at=None,
                ended_at=now,
                changed_at=now,
            ),
            execution_options={"synchronize_session": False},
        )
    return [row for row in found if row.id not in newer]


def is_newer(version: str | None, release: str) -> bool:
    """Return whether a box that runs *version* is ahead of *release*."""
    return (
        version is not None and is_version(version) and version_key(version) > version_key(release)
    )
