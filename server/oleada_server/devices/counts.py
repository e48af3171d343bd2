"""The fleet in numbers: by model, by version, by when a box was last heard.

One pass over the rows gives every figure of the fleet's page, so that they add up.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, func, select

from oleada_server.db import db
from oleada_server.devices.models import Device, HardwareModel


@dataclass(frozen=True, slots=True)
class Group:
    """Boxes of one model that run one version; *version* is None where none was reported.

    *heard* were heard since the moment asked for, *never* not once; the rest is silent.
    """

    hardware_model: str
    version: str | None
    boxes: int
    heard: int
    never: int

    @property
    def silent(self) -> int:
        """Return how many were heard once, but not lately."""
        return self.boxes - self.heard - self.never


def fleet(heard_since: datetime) -> list[Group]:
    """Return every group of boxes, by model and version; empty groups are left out."""
    heard = func.sum(case((Device.last_seen_at >= heard_since, 1), else_=0))
    never = func.sum(case((Device.last_seen_at.is_(None), 1), else_=0))
    rows = db.session.execute(
        select(Device.hardware_model, Device.version, func.count(), heard, never)
        .group_by(Device.hardware_model, Device.version)
        .order_by(Device.hardware_model, Device.version)
    )
    return [Group(model, version, boxes, int(h), int(n)) for model, version, boxes, h, n in rows]


def titles() -> dict[str, str]:
    """Return the title of every hardware model by its name; empty where it has none."""
    rows = db.session.execute(select(HardwareModel.name, HardwareModel.title))
    return {row[0]: row[1] for row in rows}


def versions_of(hardware_model: str) -> dict[str | None, int]:
    """Return how many boxes of a model run each version; None is not reported."""
    rows = db.session.execute(
        select(Device.version, func.count())
        .where(Device.hardware_model == hardware_model)
        .group_by(Device.version)
    )
    return {row[0]: row[1] for row in rows}
