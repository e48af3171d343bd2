"""A silent box is missed when it is usually on at that hour of its week, and else not."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from oleada_server.diagnosis.darkness import Dark, Habit, judge

QUARTER = timedelta(minutes=15)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NOW = datetime(2026, 3, 4, 3, 45, tzinfo=UTC)  # a Wednesday, quarter to four at night
HERE = ZoneInfo("UTC")
MADRID = ZoneInfo("Europe/Madrid")


def a_habit(last: datetime, days: int, on: range, zone: ZoneInfo = HERE) -> Habit:
    """Return that of a box which was on in the hours *on* of *days* days, by its own clock."""
    first = last.replace(minute=0) - days * DAY
    every = (first + n * HOUR for n in range(days * 24 + 1))
    return Habit(frozenset(at for at in every if at.astimezone(zone).hour in on), zone)


EVENINGS = range(18, 23)
ALWAYS = range(24)


def test_a_box_that_was_heard_just_now_is_not_silent() -> None:
    habit = a_habit(NOW, 28, ALWAYS)

    assert judge(habit, NOW - QUARTER, NOW, QUARTER) is Dark.HEARD


def test_a_box_that_is_off_every_night_is_not_missed_at_night() -> None:
    last = NOW.replace(hour=0) - timedelta(hours=1, minutes=50)  # five to eleven

    assert judge(a_habit(last, 28, EVENINGS), last, NOW, QUARTER) is Dark.USUAL


def test_a_box_that_is_never_off_is_missed_after_most_of_an_hour() -> None:
    last = NOW - timedelta(minutes=50)

    assert judge(a_habit(last, 28, ALWAYS), last, NOW, QUARTER) is Dark.MISSED


def test_a_box_that_did_not_come_back_in_the_evening_is_missed() -> None:
    last = NOW.replace(hour=22) - DAY
    evening = NOW.replace(hour=19)

    assert judge(a_habit(last, 28, EVENINGS), last, evening, QUARTER) is Dark.MISSED
    assert judge(a_habit(last, 28, EVENINGS), last, NOW.replace(hour=17), QUARTER) is Dark.USUAL


def test_a_weekend_is_not_judged_by_working_days() -> None:
    saturday = datetime(2026, 3, 7, 10, 45, tzinfo=UTC)
    friday = saturday - DAY
    office = a_habit(friday, 28, range(8, 19))
    habit = Habit(frozenset(at for at in office.hours if at.weekday() < 5), office.zone)
    last = friday.replace(hour=18, minute=50)

    assert judge(habit, last, saturday, QUARTER) is Dark.USUAL
    assert judge(habit, last, saturday + 2 * DAY, QUARTER) is Dark.MISSED


def test_a_box_of_a_few_days_is_judged_by_the_hour_of_the_day() -> None:
    last = NOW.replace(hour=0) - timedelta(hours=1, minutes=50)

    assert judge(a_habit(last, 5, EVENINGS), last, NOW, QUARTER) is Dark.USUAL
    assert judge(a_habit(NOW - HOUR, 5, ALWAYS), NOW - HOUR, NOW, QUARTER) is Dark.MISSED


@pytest.mark.parametrize("days", [0, 1, 2])
def test_a_box_that_is_hardly_known_is_neither_missed_nor_usually_off(days: int) -> None:
    last = NOW - 3 * HOUR

    assert judge(a_habit(last, days, ALWAYS), last, NOW, QUARTER) is Dark.UNKNOWN
    assert judge(Habit(frozenset(), MADRID), last, NOW, QUARTER) is Dark.UNKNOWN


def test_the_hour_is_that_of_the_wall_over_the_change_to_summer_time() -> None:
    monday = datetime(2026, 3, 30, 16, 40, tzinfo=UTC)  # the clocks went forward on Sunday
    last = datetime(2026, 3, 29, 20, 50, tzinfo=UTC)
    habit = a_habit(last, 28, range(18, 23), MADRID)

    assert monday.astimezone(MADRID).hour == 18
    assert judge(habit, last, monday, QUARTER) is Dark.MISSED
    assert judge(habit, last, monday - HOUR, QUARTER) is Dark.USUAL


def test_a_box_that_speaks_once_a_day_is_missed_when_it_is_silent_for_longer_than_ever() -> None:
    hours = frozenset(
        NOW.replace(minute=0) - n * DAY - (n % 5) * HOUR for n in range(1, 28)
    )  # fmt: skip
    habit = Habit(hours, HERE)
    last = max(hours)

    assert judge(habit, last, last + timedelta(hours=20), QUARTER) is Dark.USUAL
    assert judge(habit, last, last + timedelta(hours=50), QUARTER) is Dark.MISSED
