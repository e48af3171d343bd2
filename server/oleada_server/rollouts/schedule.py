"""When boxes may begin: several windows a week in each box's own zone, and days without any.

Pure. A window follows the local minute of the day, as the daily one of the wire does, so an
hour that the clocks skip is missing from it, and an hour that comes twice is in it twice. A
window that crosses midnight belongs to the day on which it begins. On a day that is blacked
out, from its first local minute to its last, nothing begins.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from oleada_wire.messages import Window

from oleada_server.rollouts.errors import BadPlanError

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MIN: Final = 24 * 60
WINDOWS_MAX: Final = 28
BLACKOUTS_MAX: Final = 100
HORIZON_DAYS: Final = 400
"""How far ahead an opening is looked for; beyond it a schedule counts as never open."""
YEARS: Final = range(2000, 2200)
_MINUTE: Final = timedelta(minutes=1)
_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")


@dataclass(frozen=True, slots=True)
class WeekWindow:
    """A window on some days of the week, in the box's own zone.

    Attributes:
        days: 0 for Monday to 6 for Sunday, rising, each once; at least one.
        start_min: Minutes after midnight, 0 to 1439.
        end_min: Minutes after midnight, 1 to 1440, not in the window; before *start_min*
            when the window ends on the next day.
    """

    days: tuple[int, ...]
    start_min: int
    end_min: int

    def __post_init__(self) -> None:
        if not self.days or list(self.days) != sorted(set(self.days) & set(range(7))):
            raise BadPlanError(
                f"The days of a window are {self.days}; some of 0 to 6 were expected.", "windows"
            )
        if not (0 <= self.start_min < DAY_MIN and 0 < self.end_min <= DAY_MIN):
            raise BadPlanError("A window begins and ends within 00:00 and 24:00.", "windows")
        if self.start_min == self.end_min:
            raise BadPlanError("A window that ends when it begins is never open.", "windows")


@dataclass(frozen=True, slots=True)
class Blackout:
    """Days on which nothing begins, *first* to *last*, both included, as a box's clock says."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise BadPlanError(
                f"A blackout from {self.first} to {self.last} ends before it begins.", "blackouts"
            )
        if self.first.year not in YEARS or self.last.year not in YEARS:
            raise BadPlanError(
                f"A blackout lies in the years {YEARS[0]} to {YEARS[-1]}.", "blackouts"
            )


@dataclass(frozen=True, slots=True)
class Schedule:
    """When boxes may begin; without *windows* at any minute of a day that is not blacked out."""

    windows: tuple[WeekWindow, ...] = ()
    blackouts: tuple[Blackout, ...] = ()

    def __post_init__(self) -> None:
        if len(self.windows) > WINDOWS_MAX:
            raise BadPlanError(f"A rollout has at most {WINDOWS_MAX} windows.", "windows")
        if len(self.blackouts) > BLACKOUTS_MAX:
            raise BadPlanError(f"A rollout has at most {BLACKOUTS_MAX} blackouts.", "blackouts")

    @property
    def is_always_open(self) -> bool:
        """Return whether nothing is ever closed."""
        return not self.windows and not self.blackouts


ALWAYS: Final = Schedule()


def with_daily(schedule: Schedule, window: Window | None) -> Schedule:
    """Return *schedule* with the daily *window* of the wire among its windows."""
    if window is None:
        return schedule
    daily = WeekWindow(tuple(range(7)), window.start_min, window.end_min or DAY_MIN)
    return Schedule((*schedule.windows, daily), schedule.blackouts)


def is_open(schedule: Schedule, zone: ZoneInfo, now: datetime) -> bool:
    """Return whether a box in *zone* may begin at aware *now*."""
    local = now.astimezone(zone)
    today = local.date()
    if any(one.first <= today <= one.last for one in schedule.blackouts):
        return False
    minute, day = local.hour * 60 + local.minute, local.weekday()
    return not schedule.windows or any(_covers(one, day, minute) for one in schedule.windows)


def next_opening(schedule: Schedule, zone: ZoneInfo, now: datetime) -> datetime | None:
    """Return when a box in *zone* may next begin, *now* if it may already; in *now*'s zone.

    None if it may not within ``HORIZON_DAYS``.
    """
    return _next(schedule, zone, now, wanted=True)


def next_closing(schedule: Schedule, zone: ZoneInfo, now: datetime) -> datetime | None:
    """Return when a box in *zone* next may not begin, *now* if it may not already.

    None if nothing closes within ``HORIZON_DAYS``.
    """
    return _next(schedule, zone, now, wanted=False)


def window_from(days: tuple[int, ...], start: str, end: str) -> WeekWindow:
    """Return the window on *days* from *start* to *end*, each ``HH:MM``; *end* up to 24:00.

    Raises:
        BadPlanError: It can not be read, or would be open never.
    """
    return WeekWindow(days, _minutes(start), _minutes(end))


def parse_windows(text: str) -> tuple[WeekWindow, ...]:
    """Return the windows in *text*: ``mon-fri 02:00-05:00; sat,sun 00:00-24:00``.

    Without days it is open on each: ``22:00-04:00``.

    Raises:
        BadPlanError: *text* spells anything else.
    """
    return tuple(_window(part.strip()) for part in text.split(";") if part.strip())


def windows_text(windows: tuple[WeekWindow, ...]) -> str:
    """Return *windows* as :func:`parse_windows` reads them."""
    return "; ".join(
        f"{_days_text(one.days)}{clock_text(one.start_min)}-{clock_text(one.end_min)}"
        for one in windows
    )


def parse_blackouts(text: str) -> tuple[Blackout, ...]:
    """Return the blackouts in *text*: ``2026-12-24/2026-12-26; 2027-01-01``.

    Raises:
        BadPlanError: *text* spells anything else.
    """
    return tuple(blackout_from(*_ends(part)) for part in text.split(";") if part.strip())


def blackouts_text(blackouts: tuple[Blackout, ...]) -> str:
    """Return *blackouts* as :func:`parse_blackouts` reads them."""
    return "; ".join(
        f"{one.first}" if one.first == one.last else f"{one.first}/{one.last}" for one in blackouts
    )


def blackout_from(first: str, last: str) -> Blackout:
    """Return the blackout from *first* to *last*, each ``YYYY-MM-DD``.

    Raises:
        BadPlanError: One is no such day, or they are in the wrong order.
    """
    return Blackout(_day(first), _day(last))


def clock_text(minutes: int) -> str:
    """Return minutes after midnight as ``HH:MM``."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _covers(window: WeekWindow, day: int, minute: int) -> bool:
    if window.start_min < window.end_min:
        return day in window.days and window.start_min <= minute < window.end_min
    began_today = day in window.days and minute >= window.start_min
    return began_today or ((day - 1) % 7 in window.days and minute < window.end_min)


def _next(schedule: Schedule, zone: ZoneInfo, now: datetime, *, wanted: bool) -> datetime | None:
    if is_open(schedule, zone, now) is wanted:
        return now
    for at in _moments(schedule, zone, now):
        if is_open(schedule, zone, at) is wanted:
            return at.astimezone(now.tzinfo)
    return None


def _moments(schedule: Schedule, zone: ZoneInfo, now: datetime) -> Iterator[datetime]:
    """Yield each moment after *now* at which a schedule can open or close, in order; UTC.

    Those are local midnights, the ends of windows, and changes of the clocks.
    """
    minutes = {0} | {m % DAY_MIN for one in schedule.windows for m in (one.start_min, one.end_min)}
    today = now.astimezone(zone).date()
    for ahead in range(-1, HORIZON_DAYS + 1):
        day = today + timedelta(days=ahead)
        found = {at for minute in minutes for at in _both(day, minute, zone)}
        found |= _change_on(day, zone)
        yield from sorted(at for at in found if at > now)


def _both(day: date, minute: int, zone: ZoneInfo) -> set[datetime]:
    """Return the moments that a clock in *zone* shows so: two in an hour that comes twice."""
    naive = datetime(day.year, day.month, day.day, minute // 60, minute % 60)  # noqa: DTZ001 - local
    return {naive.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}


def _change_on(day: date, zone: ZoneInfo) -> set[datetime]:
    """Return the whole minute of *day* at which the clocks of *zone* change, if they do."""
    low, high = min(_both(day, 0, zone)), max(_both(day + timedelta(days=1), 0, zone))
    usual = _offset(low, zone)
    if _offset(high, zone) == usual:
        return set()
    while high - low > _MINUTE:
        middle = low + (high - low) // _MINUTE // 2 * _MINUTE
        low, high = (middle, high) if _offset(middle, zone) == usual else (low, middle)
    return {high}


def _offset(at: datetime, zone: ZoneInfo) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta(0)


def _window(text: str) -> WeekWindow:
    named, _, hours = text.rpartition(" ")
    start, _, end = hours.partition("-")
    return window_from(_days(named) if named.strip() else tuple(range(7)), start, end)


def _days(text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.replace(" ", "").lower().split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise BadPlanError(
                f"{text[:40]!r} names no days; write mon-fri or sat,sun before the hours.",
                "windows",
            )
        at, end = DAYS.index(first), DAYS.index(last if dash else first)
        found |= {(at + step) % 7 for step in range((end - at) % 7 + 1)}
    return tuple(sorted(found))


def _days_text(days: tuple[int, ...]) -> str:
    if len(days) == 7:
        return ""
    is_run = len(days) > 2 and list(days) == list(range(days[0], days[-1] + 1))
    if is_run:
        return f"{DAYS[days[0]]}-{DAYS[days[-1]]} "
    return ",".join(DAYS[day] for day in days) + " "


def _minutes(text: str) -> int:
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        raise BadPlanError(f"{text[:20]!r} is no time of the day, such as 02:00.", "windows")
    return DAY_MIN if found[1] is None else int(found[1]) * 60 + int(found[2])


def _ends(text: str) -> tuple[str, str]:
    first, slash, last = text.strip().partition("/")
    return first, last if slash else first


def _day(text: str) -> date:
    try:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text.strip()):
            raise ValueError(text)
        return date.fromisoformat(text.strip())
    except ValueError:
        raise BadPlanError(f"{text[:20]!r} is no day, such as 2026-12-24.", "blackouts") from None
