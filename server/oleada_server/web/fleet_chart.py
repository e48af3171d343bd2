"""Boxes by state over a day: the geometry of the fleet's chart, from what was counted.

Where nothing was counted there is a gap, and nothing is drawn across it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from oleada_server.devices.history import EVERY
from oleada_server.devices.models import FleetCount
from oleada_server.web.chart import Tick, ticks

GAP_MIN: Final = EVERY * 2.5
"""Counts further apart than this are not joined; one that came late is."""
HEIGHT: Final = 100.0
ROOM_ABOVE: Final = 1.04
GRID_LINES: Final = 4


@dataclass(frozen=True, slots=True)
class Grid:
    """A line across the chart at *y* percent from the top, and the count it stands for."""

    y: float
    count: int


@dataclass(frozen=True, slots=True)
class StateChart:
    """Paths in a box of 1000 by 100, one of each kind for every stretch without a gap.

    Attributes:
        heard, silent, never, updating: Areas, from the bottom: updating lies in heard.
        line: Along the top of what was heard.
        before: The same a week earlier; empty where nothing was counted then.
        last: The newest count.
        week_ago: The count a week before *last*, if there is one.
        rows: One count of each hour, for the table.
        gaps: How many stretches between the first and the last count were not counted.
        has_stopped: Nothing has been counted lately.
    """

    start: datetime
    end: datetime
    kept_since: datetime
    heard: list[str]
    silent: list[str]
    never: list[str]
    updating: list[str]
    line: list[str]
    before: list[str]
    grid: list[Grid]
    ticks: list[Tick]
    last: FleetCount
    week_ago: FleetCount | None
    rows: list[FleetCount]
    gaps: int
    has_stopped: bool


def chart(
    counted: Sequence[FleetCount],
    week_before: Sequence[FleetCount],
    kept_since: datetime,
    end: datetime,
    *,
    spell: Callable[[datetime], str],
    midnight: Callable[[datetime], datetime],
) -> StateChart | None:
    """Return the chart of the day that ends at *end*, None while nothing was counted.

    Args:
        counted: Counts of that day, oldest first.
        week_before: Counts of the same day a week earlier, oldest first.
        kept_since: When the oldest count that is kept was made.
        end: Right end of the axis.
        spell: Writes a tick's moment for the reader.
        midnight: Returns the beginning of a moment's day, in the reader's zone.
    """
    if not counted:
        return None
    start, week = end - timedelta(days=1), timedelta(weeks=1)
    top = max(1, *(one.boxes for one in [*counted, *week_before])) * ROOM_ABOVE
    scale = _Scale(start, end, top)
    stretches = _stretches(counted)
    earlier = _Scale(start - week, end - week, top)
    last = counted[-1]
    return StateChart(
        start=start,
        end=end,
        kept_since=kept_since,
        heard=[scale.area(some, lambda one: 0, _heard) for some in stretches],
        silent=[scale.area(some, _heard, _known) for some in stretches],
        never=[scale.area(some, _known, _all) for some in stretches],
        updating=[scale.area(some, lambda one: 0, _updating) for some in stretches],
        line=[scale.line(some, _heard) for some in stretches],
        before=[earlier.line(some, _heard) for some in _stretches(week_before)],
        grid=_grid(top),
        ticks=ticks(start, end, timedelta(hours=3), spell, midnight),
        last=last,
        week_ago=_nearest(week_before, last.at - week),
        rows=[one for one in counted if one.at.minute < EVERY.total_seconds() / 60],
        gaps=len(stretches) - 1,
        has_stopped=end - last.at > GAP_MIN,
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    start: datetime
    end: datetime
    top: float

    def area(
        self,
        some: Sequence[FleetCount],
        low: Callable[[FleetCount], int],
        high: Callable[[FleetCount], int],
    ) -> str:
        points = [*self._points(some, high), *reversed(self._points(some, low))]
        return f"M{'L'.join(points)}Z"

    def line(self, some: Sequence[FleetCount], value: Callable[[FleetCount], int]) -> str:
        return f"M{'L'.join(self._points(some, value))}"

    def _points(self, some: Sequence[FleetCount], value: Callable[[FleetCount], int]) -> list[str]:
        """Return the points of a stretch; the last count holds for its quarter of an hour."""
        points = [self._point(one.at, value(one)) for one in some]
        return [*points, self._point(some[-1].at + EVERY, value(some[-1]))]

    def _point(self, at: datetime, count: int) -> str:
        x = min(max((at - self.start) / (self.end - self.start), 0.0), 1.0) * 1000
        return f"{x:.1f} {HEIGHT - count / self.top * HEIGHT:.2f}"


def _stretches(counted: Sequence[FleetCount]) -> list[list[FleetCount]]:
    if not counted:
        return []
    found = [[counted[0]]]
    for before, one in pairwise(counted):
        if one.at - before.at > GAP_MIN:
            found.append([])
        found[-1].append(one)
    return found


def _nearest(counted: Sequence[FleetCount], at: datetime) -> FleetCount | None:
    near = [one for one in counted if abs(one.at - at) <= GAP_MIN]
    return min(near, key=lambda one: abs(one.at - at), default=None)


def _grid(top: float) -> list[Grid]:
    """Return lines at round counts: 1, 2 or 5 times a power of ten, about four of them."""
    step = 1
    while top / step > GRID_LINES + 1:
        step = step * 5 // 2 if str(step).startswith("2") else step * 2
    return [
        Grid(round(HEIGHT - count / top * HEIGHT, 2), count)
        for count in range(step, int(top) + 1, step)
    ]


def _heard(one: FleetCount) -> int:
    return one.heard


def _known(one: FleetCount) -> int:
    return one.heard + one.silent


def _all(one: FleetCount) -> int:
    return one.boxes


def _updating(one: FleetCount) -> int:
    return min(one.updating, one.heard)
