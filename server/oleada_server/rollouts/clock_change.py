"""What a change of the clocks does to a daily window, per zone of the boxes.

Pure: a window follows the local minute of the day (``oleada_wire.window``), so an hour that
the clocks skip is missing from it, and an hour that comes twice is in it twice.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from oleada_wire.messages import Window

DAY_MIN: Final = 24 * 60
LOOK_AHEAD: Final = timedelta(days=370)  # a zone that changes at all changes within a year
_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Shift:
    """A window on the day of the next change of a zone's clocks.

    Attributes:
        on: The day, as the box's own clock says it.
        usual_min: Minutes that the window is open on every other day.
        then_min: Minutes that it is open on this day; 0 when it is skipped.
    """

    on: date
    usual_min: int
    then_min: int


def next_shift(window: Window, zone: ZoneInfo, now: datetime) -> Shift | None:
    """Return what the next change of *zone*'s clocks after aware *now* does to *window*.

    None if the clocks do not change within a year, or change outside the window.
    """
    at = _next_change(zone, now)
    if at is None:
        return None
    before, after = _offset(zone, at - _MINUTE), _offset(zone, at)
    begin = at.replace(tzinfo=None) + min(before, after)
    odd_min = int(abs(after - before) / _MINUTE)
    moments = [begin + _MINUTE * minute for minute in range(odd_min)]
    hit_min = sum(_covers(window, moment.hour * 60 + moment.minute) for moment in moments)
    if not hit_min:
        return None
    usual_min = (window.end_min - window.start_min) % DAY_MIN
    then_min = usual_min - hit_min if after > before else usual_min + hit_min
    return Shift(begin.date(), usual_min, then_min)


def _covers(window: Window, minute: int) -> bool:
    return (minute - window.start_min) % DAY_MIN < (window.end_min - window.start_min) % DAY_MIN


def _next_change(zone: ZoneInfo, now: datetime) -> datetime | None:
    """Return the first whole minute after *now* at which *zone* has another offset; in UTC."""
    low = now.astimezone(UTC).replace(second=0, microsecond=0)
    usual, end = _offset(zone, low), low + LOOK_AHEAD
    high = low + timedelta(days=1)
    while _offset(zone, high) == usual:
        low, high = high, high + timedelta(days=1)
        if high > end:
            return None
    while high - low > _MINUTE:
        middle = low + (high - low) // _MINUTE // 2 * _MINUTE
        low, high = (middle, high) if _offset(zone, middle) == usual else (low, middle)
    return high


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta(0)
