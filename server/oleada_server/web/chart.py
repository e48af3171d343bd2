"""Geometry of the small charts: percentages of the width, so that they stretch.

Only numbers come out of here; the templates draw them as SVG attributes, because the
Content-Security-Policy allows no style attribute.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

GAP = 0.35  # percent of the width between two parts of a bar
PART_MIN = 0.35  # percent: one box in a million is still a line


@dataclass(frozen=True, slots=True)
class Bar:
    """One part of a bar: *x* and *width* in percent of the whole width."""

    x: str
    width: str
    fill: str


def stack(parts: Sequence[tuple[int, str]]) -> list[Bar]:
    """Return the bars of *parts*, each a count and a fill; parts without boxes are left out."""
    shown = [(count, fill) for count, fill in parts if count > 0]
    total = sum(count for count, _ in shown)
    room = 100 - GAP * (len(shown) - 1)
    widths = [max(count / total * room, PART_MIN) for count, _ in shown]
    scale = room / sum(widths) if widths else 1
    bars, x = [], 0.0
    for width, (_, fill) in zip(widths, shown, strict=True):
        bars.append(Bar(_number(x), _number(width * scale), fill))
        x += width * scale + GAP
    return bars


def tracks(waves: Sequence[tuple[int, float, str]], gap: float = 1.2) -> list[tuple[Bar, Bar]]:
    """Return (track, filled part) of each wave: its boxes, the share done, a fill.

    A wave's width follows the square root of its boxes, so that a first wave of ten
    beside ten thousand can still be seen.
    """
    weights = [max(boxes, 1) ** 0.5 for boxes, _, _ in waves]
    room = 100 - gap * (len(waves) - 1)
    bars, x = [], 0.0
    for weight, (_, share, fill) in zip(weights, waves, strict=True):
        width = weight / sum(weights) * room
        done = width * min(max(share, 0), 1)
        track = Bar(_number(x), _number(width), "f-track")
        bars.append((track, Bar(_number(x), _number(done), fill)))
        x += width + gap
    return bars


@dataclass(frozen=True, slots=True)
class Bullet:
    """A value against its limit: percent of the width, and the fill of the value."""

    value: str
    limit: str
    fill: str


def bullet(value: float, limit: float, top: float, fill: str) -> Bullet:
    """Return the bullet of *value* and *limit* on a scale that ends at *top* (above 0)."""
    return Bullet(_number(_share(value, top)), _number(_share(limit, top)), fill)


@dataclass(frozen=True, slots=True)
class Curve:
    """Paths in a box of 1000 by 100 that is stretched over the chart; y grows downwards."""

    line: str
    area: str


def curve(values: Sequence[float], top: float) -> Curve:
    """Return the curve of *values*, evenly apart, on a scale from 0 to *top* (above 0)."""
    last = max(len(values) - 1, 1)
    points = [
        f"{_number(index * 1000 / last)} {_number(100 - _share(value, top))}"
        for index, value in enumerate(values)
    ]
    line = "M" + "L".join(points)
    return Curve(line, f"{line}L1000 100L0 100Z")


@dataclass(frozen=True, slots=True)
class Tick:
    """A moment under an axis: *x* in percent, and its word."""

    x: float
    word: str


def ticks(
    start: datetime,
    end: datetime,
    step: timedelta,
    spell: Callable[[datetime], str],
    midnight: Callable[[datetime], datetime],
) -> list[Tick]:
    """Return ticks at round times of the reader's day from *start* to *end*.

    A tick too near an end of the axis is left out, because its word would stand over it.

    Args:
        start: Left end of the axis.
        end: Right end of the axis.
        step: Between two ticks; divides a day.
        spell: Writes the moment for the reader.
        midnight: Returns the beginning of a moment's day in the reader's zone, with it.
    """
    at, found = midnight(start), []
    while (moment := at.astimezone(UTC)) < end:
        x = round((moment - start) / (end - start) * 100, 2)
        if 3 <= x <= 91:
            found.append(Tick(x, spell(moment)))
        at += step  # by the clock on the wall: 03:00 stays 03:00 when the clocks change
    return found


def _share(value: float, top: float) -> float:
    return min(max(value / top, 0), 1) * 100 if top > 0 else 0


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
