"""The health of a model or of the fleet: how many boxes show each sign that boxes report.

Counted over the boxes heard last, at most :data:`BOXES_MAX` of them, so that a page costs
the same for a thousand boxes and for a million. A sign that no box of a model reports is
told as such, and is no zero.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select

from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.diagnosis import derived, judge
from oleada_server.diagnosis.shapes import Library, Sign

BOXES_MAX: Final = 2000
HEARD: Final = timedelta(days=1)
NOT_OF_HEALTH: Final = ("hour:", "result:", "asked:", "server:scope", "server:silent")


@dataclass(frozen=True, slots=True)
class Figure:
    """One sign: *shows* of the *reports* boxes that report its fact show it."""

    sign: Sign
    reports: int
    shows: int

    @property
    def share(self) -> float | None:
        """Return which share of those that report it show it; None if none reports it."""
        return self.shows / self.reports if self.reports else None


@dataclass(frozen=True, slots=True)
class Health:
    """The figures of *boxes* boxes, worst first; those that nobody reports come last."""

    boxes: int
    figures: tuple[Figure, ...]


def of_boxes(library: Library, boxes: Iterable[tuple[Mapping[str, Any], datetime]]) -> Health:
    """Return the figures of *boxes*: the parameters of each, and when they were read; pure."""
    signs = [sign for sign in library.signs.values() if not sign.fact.startswith(NOT_OF_HEALTH)]
    reports: Counter[str] = Counter()
    shows: Counter[str] = Counter()
    there = 0
    for parameters, at in boxes:
        there += 1
        facts = derived.reported(parameters, at)
        for sign in signs:
            fact = facts.get(sign.fact)
            seen = judge.holds(sign, fact.value) if fact is not None else None
            if seen is not None:
                reports[sign.id] += 1
                shows[sign.id] += seen
    known = [one for one in signs if one.id in reports or not one.fact.startswith("server:")]
    figures = [Figure(sign, reports[sign.id], shows[sign.id]) for sign in known]
    figures.sort(key=lambda one: (one.share is None, -(one.share or 0.0), one.sign.id))
    return Health(there, tuple(figures))


def of_model(library: Library, hardware_model: str | None, now: datetime) -> Health:
    """Return the figures of a model's boxes that were heard within a day; of all without one."""
    query = select(Device.health, Device.health_at).where(
        Device.health_at.is_not(None), Device.last_seen_at > now - HEARD
    )
    if hardware_model is not None:
        query = query.where(Device.hardware_model == hardware_model)
    rows = db.session.execute(query.order_by(Device.last_seen_at.desc()).limit(BOXES_MAX))
    return of_boxes(library, ((health or {}, at) for health, at in rows))
