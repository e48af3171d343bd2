"""Boxes that may have the release no more when their turn comes.

One that runs something newer is never sent back. A rollout takes no such box when it
starts; one may have gone on since all the same: by a rollout that was lost with a restore,
or by hand. One that is revoked is not waited for (``revoked.py``).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from oleada_wire.version import is_version, version_key
from oleada_wire.words import Reason
from sqlalchemy import select, update

from oleada_server.db import chunks, db
from oleada_server.devices.models import Device
from oleada_server.rollouts import permits, revoked
from oleada_server.rollouts.models import BoxInWave, Rollout
from oleada_server.rollouts.states import BoxState


def leave_out(rollout: Rollout, found: Sequence[Any], now: datetime) -> list[Any]:
    """Leave out those boxes of *found* that run newer; return the others.

    The version that a plan takes boxes back from is not newer to it.

    Part of the caller's transaction. Rows of *found* have ``id`` and ``device_id``.
    """
    release, back_from = rollout.release.version, permits.back_from(rollout)
    versions: dict[str, str | None] = {}
    out: set[str] = set()
    for chunk in chunks(row.device_id for row in found):
        query = select(Device.id, Device.version, Device.revoked_at).where(Device.id.in_(chunk))
        for row in db.session.execute(query):
            versions[row.id] = row.version
            if row.revoked_at is not None:
                out.add(row.id)
    if out:
        revoked.mark([row.id for row in found if row.device_id in out], "", now)
        found = [row for row in found if row.device_id not in out]
    newer = {
        row.id: row
        for row in found
        if is_newer(versions.get(row.device_id), release) and versions[row.device_id] != back_from
    }
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
