"""A box beside one like it that is well: same model, same firmware, heard lately, no trouble."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select

from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.diagnosis.models import Complaint
from oleada_server.telemetry.models import TroubleHour

HEARD: Final = timedelta(minutes=30)
QUIET: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Beside:
    """One parameter of two boxes; None where one of them does not report it."""

    path: str
    here: Any
    there: Any


def healthy_one(device: Device, now: datetime) -> Device | None:
    """Return a box of the same model and firmware of which nobody and nothing complained."""
    said = select(Complaint.device_id).where(Complaint.at > now - QUIET)
    told = select(TroubleHour.device_id).where(TroubleHour.heard_at > now - QUIET)
    query = (
        select(Device)
        .where(
            Device.hardware_model == device.hardware_model,
            Device.version == device.version,
            Device.id != device.id,
            Device.revoked_at.is_(None),
            Device.last_seen_at > now - HEARD,
            Device.health_at > now - HEARD,
            Device.id.not_in(said),
            Device.id.not_in(told),
        )
        .order_by(Device.last_seen_at.desc(), Device.id)
        .limit(1)
    )
    return db.session.scalar(query)


def beside(here: Device, there: Device) -> list[Beside]:
    """Return every parameter in which two boxes differ, or which only one reports."""
    ours, theirs = here.health or {}, there.health or {}
    paths = sorted(set(ours) | set(theirs))
    rows = [Beside(path, ours.get(path), theirs.get(path)) for path in paths]
    return [row for row in rows if row.here != row.there]
