"""The timeline of one box: what its health samples say, on one axis of time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from oleada_server.telemetry.models import HealthSample
from oleada_server.web.chart import Tick
from oleada_server.web.health import vitals

RANGES: Final = {"1h": 1, "24h": 24, "7d": 168}
"""Hours by the word in the address."""
TICK_STEPS: Final = {
    "1h": timedelta(minutes=15),
    "24h": timedelta(hours=3),
    "7d": timedelta(days=1),
}
STEPS: Final = 240
GAP_MIN: Final = timedelta(minutes=20)
"""Silence longer than this between two samples is drawn as a gap."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the axis: *x* and *width* in percent."""

    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment on the axis: *x* in percent, and its word; the word stands left past the middle."""

    x: float
    at: datetime
    word: str

    @property
    def is_late(self) -> bool:
        """Return whether the word fits better on the left."""
        return self.x > 66


@dataclass(frozen=True, slots=True)
class Line:
    """A curve in a box of 1000 by 100; *lowest* and *highest* of what it shows, *last* now."""

    path: str
    lowest: int
    highest: int
    last: int
    limit_y: float | None = None


@dataclass(frozen=True, slots=True)
class Lanes:
    """Everything the timeline draws; *samples* is how many it rests on."""

    start: datetime
    end: datetime
    samples: int
    heard: list[Span]
    restarts: list[Mark]
    versions: list[Mark]
    temperature: Line | None
    free: Line | None
    ticks: list[Tick]


def lanes(
    samples: Sequence[HealthSample],
    start: datetime,
    end: datetime,
    ticks: list[Tick],
    hot_c: int,
) -> Lanes:
    """Return the timeline of *samples*, oldest first, from *start* to *end*.

    Args:
        samples: Of one box.
        start: Left end of the axis.
        end: Right end of the axis.
        ticks: Under the axis.
        hot_c: Temperature that counts as too hot, in degrees.
    """
    known = [(sample, vitals(sample.parameters)) for sample in samples]
    heat = [(s.received_at, v.temperature_c) for s, v in known if v.temperature_c is not None]
    free = [(s.received_at, v.free_bytes) for s, v in known if v.free_bytes is not None]
    return Lanes(
        start=start,
        end=end,
        samples=len(samples),
        heard=_heard(samples, start, end),
        restarts=_changes(samples, start, end, lambda one: one.boot, lambda one: ""),
        versions=_changes(samples, start, end, lambda one: one.version, lambda one: one.version),
        temperature=_line(heat, start, end, hot_c),
        free=_line(free, start, end),
        ticks=ticks,
    )


def _place(at: datetime, start: datetime, end: datetime) -> float:
    share = (at - start) / (end - start)
    return round(min(max(share, 0.0), 1.0) * 100, 2)


def _heard(samples: Sequence[HealthSample], start: datetime, end: datetime) -> list[Span]:
    """Return the stretches in which samples came without a gap."""
    spans: list[list[datetime]] = []
    for sample in samples:
        at = sample.received_at
        if spans and at - spans[-1][1] <= GAP_MIN:
            spans[-1][1] = at
        else:
            spans.append([at, at])
    found = []
    for first, last in spans:
        x = _place(first, start, end)
        found.append(Span(x, max(_place(last, start, end) - x, 0.4)))
    return found


def _changes(
    samples: Sequence[HealthSample],
    start: datetime,
    end: datetime,
    key: Callable[[HealthSample], str],
    word: Callable[[HealthSample], str],
) -> list[Mark]:
    found, before = [], None
    for sample in samples:
        if before is not None and key(sample) != before:
            at = sample.received_at
            found.append(Mark(_place(at, start, end), at, word(sample)))
        before = key(sample)
    return found


def _line(
    points: Sequence[tuple[datetime, int]],
    start: datetime,
    end: datetime,
    limit: int | None = None,
) -> Line | None:
    """Return the curve of *points*, thinned to the highest of each step; None without two.

    Nothing is drawn across a gap.
    """
    if len(points) < 2:
        return None
    steps: dict[int, int] = {}
    for at, value in points:
        step = int(_place(at, start, end) / 100 * STEPS)
        steps[step] = max(steps.get(step, value), value)
    low, high = min(steps.values()), max(steps.values())
    top, bottom = max(high, limit or high), min(low, limit or low)
    room = max(top - bottom, 1)

    def y(value: int) -> float:
        return round(94 - (value - bottom) / room * 88, 1)

    apart = max(GAP_MIN / ((end - start) / STEPS), 1)
    path, before = "", -STEPS
    for step, value in sorted(steps.items()):
        path += f"{'L' if step - before <= apart else 'M'}{step * 1000 / STEPS:.1f} {y(value)}"
        before = step
    return Line(path, low, high, points[-1][1], y(limit) if limit is not None else None)
