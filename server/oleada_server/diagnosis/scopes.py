"""Who else has it? Complaints and troubles of the last two hours, counted by what is shared."""

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, func, select, union

from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.diagnosis.models import Complaint
from oleada_server.diagnosis.scope import Count, is_concentrated
from oleada_server.diagnosis.shapes import Fact
from oleada_server.telemetry.models import TroubleHour
from oleada_server.telemetry.troubles import Trouble

WITHIN: Final = timedelta(hours=2)
TROUBLES: Final[dict[str, tuple[Trouble, ...]]] = {
    "buffering": (Trouble.UNDERRUNS, Trouble.LOST_FRAMES),
    "wifi-weak": (Trouble.UNDERRUNS,),
    "no-picture": (Trouble.LOST_FRAMES,),
    "application-closes": (Trouble.CRASH,),
    "does-not-start": (Trouble.RESTART,),
    "after-an-update": (Trouble.CRASH, Trouble.RESTART),
    "unsaid": (Trouble.CRASH, Trouble.RESTART, Trouble.UNDERRUNS, Trouble.LOST_FRAMES),
}
"""By symptom: what boxes that have it tell by themselves."""


def facts(device: Device, symptom: str, channel: str, now: datetime) -> dict[str, Fact]:
    """Return whether many boxes of its region, firmware or channel have it too."""
    found: dict[str, bool | None] = {
        "server:scope.region": _shared(Device.region == device.region, symptom, now)
        if device.region
        else None,
        "server:scope.firmware": _shared(
            (Device.hardware_model == device.hardware_model) & (Device.version == device.version),
            symptom,
            now,
        )
        if device.version
        else None,
        "server:scope.channel": _on_channel(symptom, channel, now) if channel else None,
    }
    return {name: Fact(value, now) for name, value in found.items() if value is not None}


def _shared(group: ColumnElement[bool], symptom: str, now: datetime) -> bool | None:
    """Return whether *symptom* is concentrated in the boxes of *group* that were heard lately."""
    heard = Device.last_seen_at > now - WITHIN
    has_it = Device.id.in_(_boxes_with(symptom, now))
    boxes = _count(heard & group)
    return is_concentrated(
        Count(
            shows=min(_count(heard & group & has_it), boxes),
            boxes=boxes,
            others_show=_count(heard & ~group & has_it),
            others=_count(heard & ~group),
        )
    )


def _on_channel(symptom: str, channel: str, now: datetime) -> bool | None:
    """Return whether the complaints of the last hours are about this channel.

    Nobody knows who watches what, and nobody asks the boxes: only complaints are counted.
    """
    lately = select(func.count(Complaint.device_id.distinct())).where(
        Complaint.symptom == symptom, Complaint.at > now - WITHIN, Complaint.channel != ""
    )
    same = int(db.session.scalar(lately.where(Complaint.channel == channel)) or 0)
    others = int(db.session.scalar(lately.where(Complaint.channel != channel)) or 0)
    return is_concentrated(Count(same, same, others, max(others, _count(_heard(now)))))


def _heard(now: datetime) -> ColumnElement[bool]:
    return Device.last_seen_at > now - WITHIN


def _boxes_with(symptom: str, now: datetime) -> Any:
    """Return the query of the boxes that had *symptom* lately, as people or boxes say."""
    said = select(Complaint.device_id).where(
        Complaint.symptom == symptom, Complaint.at > now - WITHIN
    )
    told = select(TroubleHour.device_id).where(
        TroubleHour.kind.in_([str(one) for one in TROUBLES.get(symptom, ())]),
        TroubleHour.heard_at > now - WITHIN,
    )
    return union(said, told).subquery().select()


def _count(boxes: ColumnElement[bool]) -> int:
    return int(db.session.scalar(select(func.count(Device.id)).where(boxes)) or 0)
