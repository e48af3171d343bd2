"""When boxes were heard in the last weeks, and so whether a silent one is missed."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select

from oleada_server import config as settings
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.diagnosis import darkness
from oleada_server.diagnosis.darkness import Dark, Habit
from oleada_server.rollouts.ticks import zone_of
from oleada_server.telemetry.models import HealthSample

SAMPLE_BOXES: Final = 25
"""Of the silent boxes of a fleet so many are judged; they stand for the others."""


@dataclass(frozen=True, slots=True)
class Silent:
    """How many boxes are silent, and what that means of a sample of them."""

    boxes: int
    judged: int
    counts: dict[Dark, int]


def of_box(device: Device, now: datetime) -> Dark:
    """Return what it means that *device* was last heard when it was."""
    if device.last_seen_at is None:
        return Dark.UNKNOWN
    silent_after = timedelta(seconds=settings.current().silent_after_s)
    if now - device.last_seen_at <= silent_after:
        return Dark.HEARD
    heard = _heard([device.id], device.last_seen_at - darkness.WEEKS * darkness.WEEK)
    habit = Habit(frozenset(heard[device.id]), zone_of(device.zone))
    return darkness.judge(habit, device.last_seen_at, now, silent_after)


def of_model(hardware_model: str | None, now: datetime) -> Silent:
    """Return it of the silent boxes of a model, or of all, that were heard in the last weeks."""
    since = now - darkness.WEEKS * darkness.WEEK
    silent_after = timedelta(seconds=settings.current().silent_after_s)
    is_silent = (
        Device.last_seen_at < now - silent_after,
        Device.last_seen_at > since,
        Device.revoked_at.is_(None),
        *(() if hardware_model is None else (Device.hardware_model == hardware_model,)),
    )
    boxes = db.session.scalar(select(func.count()).select_from(Device).where(*is_silent)) or 0
    chosen = select(Device.id, Device.zone, Device.last_seen_at).where(*is_silent)
    rows = db.session.execute(chosen.order_by(Device.id).limit(SAMPLE_BOXES)).all()
    heard = _heard([row[0] for row in rows], since)
    counts = Counter(
        darkness.judge(Habit(frozenset(heard[device_id]), zone_of(zone)), last, now, silent_after)
        for device_id, zone, last in rows
        if last is not None
    )
    return Silent(boxes, len(rows), dict(counts))


def _heard(device_ids: Sequence[str], since: datetime) -> defaultdict[str, set[datetime]]:
    """Return in which whole hours each box was heard."""
    at: Any = HealthSample.received_at
    if db.session.get_bind().dialect.name == "postgresql":
        hour = func.to_char(func.timezone("UTC", at), "YYYY-MM-DD HH24")
    else:
        hour = func.strftime("%Y-%m-%d %H", at)
    query = select(HealthSample.device_id, hour).where(
        HealthSample.device_id.in_(device_ids), at >= since
    )
    found: defaultdict[str, set[datetime]] = defaultdict(set)
    for device_id, text in db.session.execute(query.distinct()):
        found[device_id].add(datetime.strptime(text, "%Y-%m-%d %H").replace(tzinfo=UTC))
    return found
