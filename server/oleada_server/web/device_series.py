"""What one box told over time, reading by reading, as curves with their limits; no SQL here.

Points come from health messages or, for longer times, from hours (``diagnosis/hours.py``). A
counter is drawn as how much it rose in an hour. Nothing is drawn across a gap, and a reading
that was not told has no curve.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any, Final

from oleada_server.diagnosis import derived, hours, reading
from oleada_server.diagnosis.shapes import Operator, Sign
from oleada_server.web import words
from oleada_server.web.words import gettext

STEPS: Final = 240
GAP_MIN: Final = timedelta(minutes=20)
"""Silence longer than this between two samples is drawn as a gap."""
GAP_OF_HOURS: Final = timedelta(minutes=100)
FIRST: Final = (
    "Device.WiFi.EndPoint.1.Stats.SignalStrength",
    "Device.Services.STBService.1.ServiceMonitoring.MainStream.1.Total.DejitteringStats.Underruns",
    "server:hottest_c",
    "X_OLEADA_FreeBytes",
)
"""Drawn first, where they are told; the rest can be unfolded."""
RISE: Final = hours.RISE
LESS_IS_WORSE: Final = "below"

Points = list[tuple[datetime, float]]


@dataclass(frozen=True, slots=True)
class Told:
    """What was told at one time: numbers by reading; *is_asleep* None where it was not told."""

    at: datetime
    values: Mapping[str, float]
    is_asleep: bool | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """What is too much or too little of a reading, in which unit, and who says so."""

    value: float
    is_lowest: bool
    unit: str
    source: str


@dataclass(frozen=True, slots=True)
class Line:
    """A curve in a box of 1000 by 100; *lowest* and *highest* of what it shows, *last* now."""

    path: str
    lowest: float
    highest: float
    last: float
    limit_y: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """One reading over time, in words and as a curve."""

    name: str
    title: str
    last: str
    lowest: str
    highest: str
    limit: str
    source: str
    line: Line
    is_out: bool


def of_samples(samples: Iterable[tuple[datetime, Mapping[str, Any]]]) -> list[Told]:
    """Return what *samples*, oldest first, told; counters as their rise in an hour."""
    found, before, before_at = [], dict[str, float](), None
    for at, parameters in samples:
        facts = derived.reported(parameters, at)
        numbers = {name: fact.value for name, fact in facts.items() if _is_number(fact.value)}
        values: dict[str, float] = {name: float(value) for name, value in numbers.items()}
        if before_at is not None and timedelta() < at - before_at <= GAP_MIN:
            in_hours = (at - before_at) / timedelta(hours=1)
            for name in _counters() & values.keys() & before.keys():
                risen = values[name] - before[name]
                values[f"{RISE}{name}"] = (risen if risen >= 0 else values[name]) / in_hours
        asleep = parameters.get(derived.STANDBY)
        found.append(Told(at, values, asleep if isinstance(asleep, bool) else None))
        before, before_at = values, at
    return found


def of_hours(found: Iterable[tuple[datetime, Mapping[str, Any]]]) -> list[Told]:
    """Return what hours, oldest first, tell: the mean of a number, the rise of a counter."""
    told = []
    for at, readings in found:
        values = {}
        for name, kept in readings.items():
            number = hours.number_of(kept)
            if number is not None:
                values[name] = number.mean
                values[f"{RISE}{name}"] = number.rise
        asleep = readings.get(derived.STANDBY)
        told.append(Told(at, values, asleep if isinstance(asleep, bool) else None))
    return told


def series(
    told: Sequence[Told], start: datetime, end: datetime, gap: timedelta = GAP_MIN
) -> list[Series]:
    """Return a curve for each reading that has a limit or is drawn first, those first."""
    names = [*FIRST, *sorted(limits())]
    shown = [f"{RISE}{name}" if name in _counters() else name for name in names]
    found = []
    for name in dict.fromkeys(shown):
        points = [(one.at, one.values[name]) for one in told if name in one.values]
        limit = limits().get(name)
        line = line_of(points, start, end, limit.value if limit else None, gap)
        if line is not None:
            found.append(_series(name, line, limit))
    return found


def line_of(
    points: Sequence[tuple[datetime, float]],
    start: datetime,
    end: datetime,
    limit: float | None = None,
    gap: timedelta = GAP_MIN,
) -> Line | None:
    """Return the curve of *points*, thinned to the highest of each step; None without two.

    Nothing is drawn across a gap.
    """
    if len(points) < 2:
        return None
    steps: dict[int, float] = {}
    for at, value in points:
        share = min(max((at - start) / (end - start), 0.0), 1.0)
        step = int(share * STEPS)
        steps[step] = max(steps.get(step, value), value)
    low, high = min(steps.values()), max(steps.values())
    top, bottom = (high, low) if limit is None else (max(high, limit), min(low, limit))
    room = max(top - bottom, 1e-9)

    def y(value: float) -> float:
        return round(94 - (value - bottom) / room * 88, 1)

    apart = max(gap / ((end - start) / STEPS), 1)
    path, before = "", -STEPS
    for step, value in sorted(steps.items()):
        path += f"{'L' if step - before <= apart else 'M'}{step * 1000 / STEPS:.1f} {y(value)}"
        before = step
    return Line(path, low, high, points[-1][1], y(limit) if limit is not None else None)


@cache
def limits() -> dict[str, Limit]:
    """Return by reading the limit of the first sign that judges it by a number."""
    found: dict[str, Limit] = {}
    for sign in reading.library().signs.values():
        if sign.fact not in found and _is_drawn(sign):
            value = sign.limits[0]
            assert isinstance(value, int | float)  # noqa: S101 - below and above have numbers
            is_lowest = sign.operator is Operator.BELOW
            found[sign.fact] = Limit(value, is_lowest, sign.unit, sign.source)
    return found


@cache
def _counters() -> frozenset[str]:
    facts = [sign.fact for sign in reading.library().signs.values()]
    return frozenset(one.removeprefix(RISE) for one in facts if one.startswith(RISE))


def _is_drawn(sign: Sign) -> bool:
    if sign.operator not in {Operator.BELOW, Operator.ABOVE}:
        return False
    plain = sign.fact.removeprefix(RISE)
    return plain in hours.DRAWN or not plain.startswith(hours.NOT_OF_HEALTH)


def _series(name: str, line: Line, limit: Limit | None) -> Series:
    def written(value: float) -> str:
        return value_in_words(name, value, limit.unit if limit else "")

    words_of = ""
    is_out = False
    if limit is not None:
        pattern = gettext("under %(limit)s") if limit.is_lowest else gettext("over %(limit)s")
        words_of = pattern % {"limit": written(limit.value)}
        is_out = line.last < limit.value if limit.is_lowest else line.last > limit.value
    return Series(
        name, title_of(name), written(line.last), written(line.lowest), written(line.highest),
        words_of, limit.source if limit else "", line, is_out,
    )  # fmt: skip


def value_in_words(name: str, value: float, unit: str) -> str:
    """Return a value of the reading *name* with its unit; a rise says that it is of an hour."""
    if name == "X_OLEADA_FreeBytes":
        return words.size(max(int(value), 0))
    text = words.number(round(value, 1) if abs(value) < 10 else round(value))
    if name.startswith(RISE):
        return gettext("%(n)s an hour", n=text)
    return f"{text} {unit}" if unit in UNITS else text


UNITS: Final = frozenset({"dBm", "%", "°C", "ms", "s", "kbit/s"})


def title_of(name: str) -> str:
    """Return what a reading is called on pages; the end of its path where it has no words."""
    plain = name.removeprefix(RISE)
    known = {
        "SignalStrength": gettext("Wi-Fi signal"),
        "Retransmissions": gettext("Wi-Fi retries"),
        "Underruns": gettext("Interruptions"),
        "PacketsLostBeforeEC": gettext("Packets lost"),
        "PacketDiscontinuityCounterBeforeCA": gettext("Breaks in the stream"),
        "DecodingErrors": gettext("Sound errors"),
        "DecodedFrames": gettext("Pictures decoded"),
        "MaximumPortalResponse": gettext("Portal answers"),
        "AudioLevel": gettext("Volume"),
        "CPUUsage": gettext("Processor"),
        "X_OLEADA_FreeBytes": gettext("Free storage"),
        "X_OLEADA_RestartCount": gettext("Player restarts"),
        "X_OLEADA_RemoteBattery": gettext("Remote battery"),
        "server:hottest_c": gettext("Temperature"),
        "server:memory_used_percent": gettext("Memory used"),
    }
    return known.get(plain) or known.get(plain.rpartition(".")[2], plain.rpartition(".")[2])


def gaps(times: Sequence[datetime], gap: timedelta) -> list[tuple[datetime, datetime]]:
    """Return the stretches of *times*, oldest first, that have no gap inside."""
    if not times:
        return []
    cuts = [at for at, (a, b) in enumerate(pairwise(times), start=1) if b - a > gap]
    edges = [0, *cuts, len(times)]
    return [(times[a], times[b - 1]) for a, b in pairwise(edges)]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53
