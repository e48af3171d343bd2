"""The health of a model or of the fleet: how many boxes show each sign that boxes report.

Read from the hours of models (``diagnosis/rolling.py``), which count every box. Before the
first hour it is counted over the boxes heard last, at most :data:`BOXES_MAX` of them. Either
way a page costs the same for a thousand boxes and for a million. A sign that no box of a model
reports is told as such, and is no zero.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select

from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.diagnosis import derived, hours, judge
from oleada_server.diagnosis.models import ModelHour
from oleada_server.diagnosis.shapes import Library, Sign

BOXES_MAX: Final = 2000
HEARD: Final = timedelta(days=1)
NOT_OF_HEALTH: Final = ("hour:", "result:", "asked:", "server:scope", "server:silent")
OVER: Final = timedelta(days=7)
"""So long the figures are drawn."""
FRESH: Final = timedelta(hours=3)
"""An hour that is older says nothing of now: the job that makes hours has stopped."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One sign: *shows* of the *reports* boxes that report its fact show it.

    *history* is its share by hour, oldest first, where any box reported it.
    """

    sign: Sign
    reports: int
    shows: int
    history: tuple[tuple[datetime, float], ...] = ()

    @property
    def share(self) -> float | None:
        """Return which share of those that report it show it; None if none reports it."""
        return self.shows / self.reports if self.reports else None


@dataclass(frozen=True, slots=True)
class Health:
    """The figures of *boxes* boxes, worst first; those that nobody reports come last.

    *hour* is the one that was counted, from its beginning; None for the boxes heard last.
    """

    boxes: int
    figures: tuple[Figure, ...]
    hour: datetime | None = None


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
    return Health(there, _sorted(Figure(one, reports[one.id], shows[one.id]) for one in known))


def _sorted(figures: Iterable[Figure]) -> tuple[Figure, ...]:
    found = sorted(figures, key=lambda one: (one.share is None, -(one.share or 0.0), one.sign.id))
    return tuple(found)


def of_hours(library: Library, rows: Iterable[tuple[datetime, int, Mapping[str, Any]]]) -> Health:
    """Return the figures of the newest hour of *rows*, with those before it; pure.

    Each row is an hour of one model: its beginning, the boxes, and their counts. There is at
    least one.
    """
    boxes: Counter[datetime] = Counter()
    sums: dict[datetime, hours.Counts] = {}
    for at, count, counts in rows:
        boxes[at] += count
        there = sums.setdefault(at, {})
        for name, (reports, shows) in counts.items():
            before = there.get(name, [0, 0])
            there[name] = [before[0] + reports, before[1] + shows]
    newest = max(sums)
    figures = [_figure(sign, sums, newest) for sign in library.signs.values() if _is_health(sign)]
    return Health(boxes[newest], _sorted(figures), newest)


def _is_health(sign: Sign) -> bool:
    plain = sign.fact.removeprefix(hours.RISE)
    return plain in hours.DRAWN or not plain.startswith(hours.NOT_OF_HEALTH)


def _figure(sign: Sign, sums: Mapping[datetime, hours.Counts], newest: datetime) -> Figure:
    history = [
        (at, counts[sign.id][1] / counts[sign.id][0])
        for at, counts in sorted(sums.items())
        if counts.get(sign.id, [0, 0])[0]
    ]
    reports, shows = sums[newest].get(sign.id, [0, 0])
    return Figure(sign, reports, shows, tuple(history))


def of_model(library: Library, hardware_model: str | None, now: datetime) -> Health:
    """Return the figures of a model's boxes, of all without one: of the newest hour that is made.

    Where none is, of those that were heard within a day.
    """
    made = select(ModelHour.at, ModelHour.boxes, ModelHour.counts).where(ModelHour.at > now - OVER)
    if hardware_model is not None:
        made = made.where(ModelHour.hardware_model == hardware_model)
    rows = [(at, boxes, counts) for at, boxes, counts in db.session.execute(made)]
    if rows and max(at for at, _, _ in rows) > now - FRESH:
        return of_hours(library, rows)
    return _of_heard(library, hardware_model, now)


def _of_heard(library: Library, hardware_model: str | None, now: datetime) -> Health:
    query = select(Device.health, Device.health_at).where(
        Device.health_at.is_not(None), Device.last_seen_at > now - HEARD
    )
    if hardware_model is not None:
        query = query.where(Device.hardware_model == hardware_model)
    newest = db.session.execute(query.order_by(Device.last_seen_at.desc()).limit(BOXES_MAX))
    return of_boxes(library, ((health or {}, at) for health, at in newest))
