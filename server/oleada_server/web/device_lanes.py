"""The timeline of one box: how it was and what happened to it, on one axis of time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from oleada_server.web.chart import Tick
from oleada_server.web.device_series import GAP_MIN, Series, Told, gaps, series

RANGES: Final = {"1h": 1, "24h": 24, "7d": 168, "30d": 720}
"""Hours by the word in the address."""
TICK_STEPS: Final = {
    "1h": timedelta(minutes=15),
    "24h": timedelta(hours=3),
    "7d": timedelta(days=1),
    "30d": timedelta(days=5),
}
OF_HOURS: Final = frozenset({"7d", "30d"})
"""Ranges that are drawn from hours, and not from each message."""
WORDS_MAX: Final = 4
"""With more marks in a lane their words would stand over each other; the table has them."""
SERIES_SHOWN: Final = 4


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the axis: *x* and *width* in percent; *kind* is ``play``, ``stand``, ``on``."""

    x: float
    width: float
    kind: str = "on"


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment on the axis: *x* in percent, and its word; the word stands left past the middle."""

    x: float
    at: datetime
    word: str
    kind: str = "ok"

    @property
    def is_late(self) -> bool:
        """Return whether the word fits better on the left."""
        return self.x > 66


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that happened: which *lane* it belongs to, and in words what."""

    lane: str
    at: datetime
    word: str
    kind: str = "ok"


@dataclass(frozen=True, slots=True)
class Lane:
    """One line of marks; *has_words* where there is room for them."""

    name: str
    marks: list[Mark]
    has_words: bool


@dataclass(frozen=True, slots=True)
class Axis:
    """The time that is drawn, and the ticks under it."""

    start: datetime
    end: datetime
    ticks: list[Tick]


@dataclass(frozen=True, slots=True)
class Lanes:
    """Everything the timeline draws; *told* is on how many messages or hours it rests."""

    start: datetime
    end: datetime
    told: int
    heard: list[Span]
    lanes: list[Lane]
    series: list[Series]
    more: list[Series]
    ticks: list[Tick]


def lanes(
    told: Sequence[Told],
    happened: Sequence[Happened],
    names: Sequence[str],
    axis: Axis,
    gap: timedelta = GAP_MIN,
) -> Lanes:
    """Return the timeline on *axis*.

    Args:
        told: What the box told, oldest first.
        happened: What happened to it, of every lane.
        names: The lanes, in their order.
        axis: The time that is drawn.
        gap: Silence that is longer is drawn as a gap.
    """
    start, end = axis.start, axis.end
    curves = series(told, start, end, gap)
    return Lanes(
        start=start,
        end=end,
        told=len(told),
        heard=_heard(told, start, end, gap),
        lanes=[_lane(name, happened, start, end) for name in names],
        series=curves[:SERIES_SHOWN],
        more=curves[SERIES_SHOWN:],
        ticks=axis.ticks,
    )


def place(at: datetime, start: datetime, end: datetime) -> float:
    """Return where *at* lies between *start* and *end*, in percent."""
    share = (at - start) / (end - start)
    return round(min(max(share, 0.0), 1.0) * 100, 2)


def _heard(told: Sequence[Told], start: datetime, end: datetime, gap: timedelta) -> list[Span]:
    """Return the stretches in which the box was heard, parted by whether it slept."""
    found = []
    for kind, one in _stretches(told, gap):
        x = place(one[0], start, end)
        found.append(Span(x, max(place(one[1], start, end) - x, 0.4), kind))
    return found


def _stretches(told: Sequence[Told], gap: timedelta) -> list[tuple[str, tuple[datetime, datetime]]]:
    kinds = {True: "stand", False: "play", None: "on"}
    runs: list[tuple[str, list[datetime]]] = []
    for one in told:
        kind = kinds[one.is_asleep]
        if runs and runs[-1][0] == kind:
            runs[-1][1].append(one.at)
        else:
            if runs and one.at - runs[-1][1][-1] <= gap:
                runs[-1][1].append(one.at)  # it was so until then
            runs.append((kind, [one.at]))
    return [(kind, stretch) for kind, times in runs for stretch in gaps(times, gap)]


def _lane(name: str, happened: Sequence[Happened], start: datetime, end: datetime) -> Lane:
    mine = sorted(
        (one for one in happened if one.lane == name and start <= one.at <= end),
        key=lambda one: one.at,
    )
    marks = [Mark(place(one.at, start, end), one.at, one.word, one.kind) for one in mine]
    return Lane(name, marks, len(marks) <= WORDS_MAX)
