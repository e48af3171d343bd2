"""Whether a box that is silent is missed: judged by its own habit, hour of the week by hour.

Pure. Sessions and last wills are hints that come late or not at all; what a box usually does
at this hour of the week is known from when it was heard. One that is off every night is not
missed at night, one that is never off is missed after an hour, and one that speaks once a
day is missed when it has been silent for longer than ever.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from itertools import pairwise
from typing import Final

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
WEEK: Final = timedelta(weeks=1)
WEEKS: Final = 4
"""That are looked back."""
DAYS_MIN: Final = 3
STEPS: Final = ((WEEK, WEEKS, 2), (DAY, 14, DAYS_MIN))
"""Step back, how often, and the fewest known ones that say something of an hour: of the hour of
the week, else of the day."""
USUAL_SHARE: Final = 0.5
"""From that share of the known weeks on, a box is usually heard in an hour."""
HOURS_JUDGED_MAX: Final = 24 * 7
MOST_OF_AN_HOUR: Final = timedelta(minutes=30)
LONGER: Final = 1.5
"""Times the longest silence that it ever came back from."""


class Dark(StrEnum):
    """What the silence of a box means."""

    HEARD = "heard"
    USUAL = "usual"
    MISSED = "missed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Habit:
    """When a box was heard: whole hours in UTC, and how its clock on the wall runs."""

    hours: frozenset[datetime]
    zone: tzinfo


def judge(habit: Habit, last: datetime, now: datetime, silent_after: timedelta) -> Dark:
    """Return what it means that a box which was heard at *last* is not heard at *now*.

    Args:
        habit: From at least ``WEEKS`` weeks before *last*, as far as known.
        silent_after: Who was heard within this time is not silent.
    """
    if now - last <= silent_after:
        return Dark.HEARD
    before = sorted(at for at in habit.hours if at <= last)
    longest = _longest_silence(before)
    if longest is None:
        return Dark.UNKNOWN
    if now - last > longest * LONGER + HOUR:
        return Dark.MISSED
    shares = [_share(before, hour, habit.zone) for hour in _silent_hours(last, now)]
    if any(share is not None and share >= USUAL_SHARE for share in shares):
        return Dark.MISSED
    is_known = any(share is not None for share in shares)
    return Dark.USUAL if is_known else Dark.UNKNOWN


def _silent_hours(last: datetime, now: datetime) -> list[datetime]:
    """Return the beginnings of the hours that were silent for the most part, at least this one."""
    hour = last.replace(minute=0, second=0, microsecond=0) + HOUR
    found: list[datetime] = []
    while hour + MOST_OF_AN_HOUR <= now and len(found) < HOURS_JUDGED_MAX:
        found.append(hour)
        hour += HOUR
    return found or [now.replace(minute=0, second=0, microsecond=0)]


def _share(heard: Sequence[datetime], hour: datetime, zone: tzinfo) -> float | None:
    """Return the share of the weeks, else of the days, in which it was heard at this hour.

    A step back in which it was not heard at all says nothing: it was away, or not there yet.
    None if those are too few. *heard* is in order.
    """
    wall = hour.astimezone(zone)
    for step, steps, known_min in STEPS:
        # On the wall's clock, so that summer time shifts nobody.
        back = [(wall - number * step).astimezone(UTC) for number in range(1, steps + 1)]
        known = [then for then in back if _places(heard, then - step / 2, then + step / 2)]
        if len(known) >= known_min:
            return sum(_places(heard, then - HOUR, then) for then in known) / len(known)
    return None


def _places(heard: Sequence[datetime], after: datetime, until: datetime) -> int:
    """Return in how many hours it was heard after *after*, until *until*."""
    return bisect_right(heard, until) - bisect_right(heard, after)


def _longest_silence(heard: Sequence[datetime]) -> timedelta | None:
    """Return the longest time between two hours in which it was heard; None for too few."""
    if not heard or heard[-1] - heard[0] < DAYS_MIN * DAY:
        return None
    return max(later - earlier for earlier, later in pairwise(heard))
