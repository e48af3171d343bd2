"""Who else has it? Complaints and troubles of the last two hours, counted by what is shared.

How many boxes were heard of each region and firmware is counted by the scheduler every few
minutes (:func:`tick`), because that looks at every box; who has the symptom is few and is
counted when it is asked. So a verdict costs the same in a fleet of a million.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, func, select, union

from oleada_server.db import chunks, db, insert, read_only
from oleada_server.devices.models import Device
from oleada_server.diagnosis.models import Complaint, HeardCount
from oleada_server.diagnosis.scope import Count, is_concentrated
from oleada_server.diagnosis.shapes import Fact
from oleada_server.telemetry.models import TroubleHour
from oleada_server.telemetry.troubles import Trouble

WITHIN: Final = timedelta(hours=2)
EVERY: Final = timedelta(minutes=5)
OLD: Final = timedelta(minutes=20)
"""A count that is older is made anew by whoever asks; the scheduler has stopped then."""
SHOWN_MAX: Final = 20_000
"""Boxes with one symptom that are told apart by region; with more it is everywhere."""
ALL: Final = ("all", "")
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

Group = tuple[str, str]
"""Kind and name, as :class:`HeardCount` has them."""


def facts(device: Device, symptom: str, channel: str, now: datetime) -> dict[str, Fact]:
    """Return whether many boxes of its region, firmware or channel have it too."""
    region = ("region", device.region) if device.region else None
    firmware = _firmware(device.hardware_model, device.version) if device.version else None
    groups = [group for group in (region, firmware) if group is not None]
    heard = _heard([ALL, *groups], now)
    shown = _shown(symptom, now) if groups else {}
    found: dict[str, bool | None] = {
        "server:scope.region": _shared(region, heard, shown),
        "server:scope.firmware": _shared(firmware, heard, shown),
        "server:scope.channel": _on_channel(symptom, channel, heard, now) if channel else None,
    }
    return {name: Fact(value, now) for name, value in found.items() if value is not None}


def tick(now: datetime) -> bool:
    """Count the boxes that were heard, by group, if the count is old; return whether it did."""
    read_only()
    last = db.session.scalar(select(func.max(HeardCount.at)))
    if last is not None and now - EVERY < last <= now:
        db.session.rollback()
        return False
    counted = _count_heard(now)
    db.session.rollback()  # the count is long, the write is short
    db.session.execute(delete(HeardCount))
    rows = [
        {"kind": kind, "name": name, "boxes": boxes, "at": now}
        for (kind, name), boxes in sorted(counted.items())
    ]
    for chunk in chunks(rows):
        db.session.execute(insert(HeardCount).values(chunk))
    db.session.commit()
    return True


def _shared(
    group: Group | None, heard: Mapping[Group, int], shown: Mapping[Group, int]
) -> bool | None:
    """Return whether a symptom is concentrated in *group*; None for no group."""
    if group is None:
        return None
    shows, boxes = shown.get(group, 0), heard.get(group, 0)
    others_show, everybody = shown.get(ALL, 0) - shows, heard.get(ALL, 0)
    others = max(everybody - boxes, others_show)  # the counts are not of one moment
    return is_concentrated(Count(shows, max(boxes, shows), others_show, others))


def _on_channel(
    symptom: str, channel: str, heard: Mapping[Group, int], now: datetime
) -> bool | None:
    """Return whether the complaints of the last hours are about this channel.

    Nobody knows who watches what, and nobody asks the boxes: only complaints are counted.
    """
    lately = select(func.count(Complaint.device_id.distinct())).where(
        Complaint.symptom == symptom, Complaint.at > now - WITHIN, Complaint.channel != ""
    )
    same = int(db.session.scalar(lately.where(Complaint.channel == channel)) or 0)
    others = int(db.session.scalar(lately.where(Complaint.channel != channel)) or 0)
    return is_concentrated(Count(same, same, others, max(others, heard.get(ALL, 0))))


def _heard(groups: Iterable[Group], now: datetime) -> dict[Group, int]:
    """Return how many boxes of *groups* were heard lately, as it was counted, or counted now."""
    names = [name for _, name in groups]
    query = select(HeardCount).where(HeardCount.name.in_(names))
    rows = list(db.session.scalars(query))
    found = {(one.kind, one.name): one.boxes for one in rows if now - OLD < one.at <= now}
    return found if ALL in found else _count_heard(now)


def _count_heard(now: datetime) -> dict[Group, int]:
    query = select(Device.region, Device.hardware_model, Device.version, func.count(Device.id))
    grouped = query.where(Device.last_seen_at > now - WITHIN).group_by(
        Device.region, Device.hardware_model, Device.version
    )
    return _by_group(db.session.execute(grouped))


def _shown(symptom: str, now: datetime) -> dict[Group, int]:
    """Return how many boxes that were heard lately have *symptom*, as people or boxes say."""
    said = select(Complaint.device_id).where(
        Complaint.symptom == symptom, Complaint.at > now - WITHIN
    )
    told = select(TroubleHour.device_id).where(
        TroubleHour.kind.in_([str(one) for one in TROUBLES.get(symptom, ())]),
        TroubleHour.heard_at > now - WITHIN,
    )
    have_it = union(said, told).limit(SHOWN_MAX).subquery()
    query = (
        select(Device.region, Device.hardware_model, Device.version, func.count(Device.id))
        .join(have_it, have_it.c.device_id == Device.id)
        .where(Device.last_seen_at > now - WITHIN)
        .group_by(Device.region, Device.hardware_model, Device.version)
    )
    return _by_group(db.session.execute(query))


def _by_group(rows: Iterable[Any]) -> dict[Group, int]:
    found = {ALL: 0}
    for region, model, version, boxes in rows:
        groups = [ALL, ("region", region or ""), _firmware(model, version or "")]
        for group in groups:
            found[group] = found.get(group, 0) + boxes
    return found


def _firmware(model: str, version: str) -> Group:
    return "firmware", f"{model} {version}"
