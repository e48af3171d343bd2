"""An hour of one box in a few numbers, and what the boxes of a model showed in it; pure.

A number is kept as how often it was told, its lowest, its highest, its sum and, for counters,
how much it rose; a word or a truth value as it was told last. Only readings that a sign judges
or that pages draw are kept (:func:`kept`), so an hour has a bounded size whatever a box says.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from oleada_server.diagnosis import derived, judge
from oleada_server.diagnosis.derived import Sample
from oleada_server.diagnosis.shapes import Library, Operator, Sign, Value

RISE: Final = "hour:"
NOT_OF_HEALTH: Final = ("result:", "asked:", "server:")
DRAWN: Final = (
    "server:hottest_c",
    "server:memory_used_percent",
    "server:resolution_over_tv",
    "Device.DeviceInfo.ProcessStatus.CPUUsage",
    "X_OLEADA_FreeBytes",
)
SENSORS: Final = 16
"""Sensors of heat that are looked at; a box may say that it has a million."""
BEHIND: Final = (
    f"{derived.MEMORY}Total",
    f"{derived.MEMORY}Free",
    f"{derived.HDMI}ResolutionValue",
    f"{derived.HDMI}DisplayDevice.PreferredResolution",
    *(
        f"Device.DeviceInfo.TemperatureStatus.TemperatureSensor.{n}.Value"
        for n in range(1, SENSORS + 1)
    ),
)
"""Readings from which those that the server works out follow."""
NUMBER_MAX: Final = 2**53
"""What is larger is no reading; JSON would not keep it exactly either."""
TEXT_CHARS_MAX: Final = 60

Kept = dict[str, Any]
"""By reading: ``[times, lowest, highest, sum, rise]`` of a number, or the last word."""


@dataclass(frozen=True, slots=True)
class Number:
    """One number over an hour: told *times* times; *rise* is of a counter."""

    times: int
    lowest: float
    highest: float
    total: float
    rise: float

    @property
    def mean(self) -> float:
        """Return the mean of what was told."""
        return self.total / self.times


def kept(library: Library) -> frozenset[str]:
    """Return the readings of which hours are kept."""
    facts = [sign.fact.removeprefix(RISE) for sign in library.signs.values()]
    return frozenset(DRAWN) | {one for one in facts if not one.startswith(NOT_OF_HEALTH)}


def fold(samples: Sequence[Sample], names: Collection[str]) -> Kept:
    """Return the hour of *samples*, oldest first, of the readings *names*."""
    told: dict[str, list[Value]] = {}
    looked_at = [*(one for one in names if not one.startswith(NOT_OF_HEALTH)), *BEHIND]
    for sample in samples:
        there = sample.parameters
        said = {name: there[name] for name in looked_at if name in there}
        for name, fact in derived.reported(said, sample.at).items():
            if name in names:
                told.setdefault(name, []).append(fact.value)
    found = {name: _kept(values) for name, values in sorted(told.items())}
    return {name: value for name, value in found.items() if value is not None}


def number_of(value: object) -> Number | None:
    """Return what was kept of a number; None for a word."""
    return Number(*value) if isinstance(value, list) and len(value) == 5 else None


def judged(library: Library, hour: Kept) -> dict[str, bool]:
    """Return by sign whether a box showed it within *hour*; without those it did not report."""
    found = {}
    for sign in library.signs.values():
        value = _worst(sign, hour)
        seen = None if value is None else judge.holds(sign, value)
        if seen is not None:
            found[sign.id] = seen
    return found


Counts = dict[str, list[int]]
"""By sign: how many boxes reported what it looks at, and how many showed it."""


def add(counts: Counts, seen: Mapping[str, bool], times: int = 1) -> None:
    """Add one box that showed *seen* to *counts*; take it away with -1 *times*."""
    for sign, shows in seen.items():
        before = counts.get(sign, [0, 0])
        counts[sign] = [before[0] + times, before[1] + times * shows]


def hour_of(at: datetime) -> datetime:
    """Return the beginning of the hour of *at*."""
    return at.replace(minute=0, second=0, microsecond=0)


def _worst(sign: Sign, hour: Kept) -> Value | None:
    """Return the value of *hour* that shows *sign* if any does."""
    value = hour.get(sign.fact.removeprefix(RISE))
    number = number_of(value)
    if number is None:
        return value if isinstance(value, bool | str) else None
    if sign.fact.startswith(RISE):
        return number.rise if number.times > 1 else None
    return number.lowest if sign.operator is Operator.BELOW else number.highest


def _kept(values: Sequence[Value]) -> list[float] | bool | str | None:
    last = values[-1]
    if isinstance(last, bool):
        return last
    if isinstance(last, str):
        return last[:TEXT_CHARS_MAX]
    numbers = [one for one in values if type(one) in {int, float} and abs(one) < NUMBER_MAX]  # type: ignore[arg-type]  # words are out
    return _number(numbers)


def _number(numbers: Iterable[Any]) -> list[float] | None:
    found = list(numbers)
    if not found:
        return None
    rise = sum(b - a if b >= a else max(b, 0) for a, b in pairwise(found))
    return [len(found), min(found), max(found), sum(found), rise]
