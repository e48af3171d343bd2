"""A change of the clocks in a daily window: an hour that is skipped, an hour that comes twice."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from oleada_server.rollouts.clock_change import Shift, next_shift
from oleada_wire.messages import Window
from oleada_wire.window import is_open

PRAGUE = ZoneInfo("Europe/Prague")
WINTER = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SUMMER = datetime(2027, 7, 1, 12, 0, tzinfo=UTC)
SPRING_DAY, AUTUMN_DAY = date(2027, 3, 28), date(2027, 10, 31)


def hours(begin: float, end: float) -> Window:
    return Window(int(begin * 60), int(end * 60))


@pytest.mark.parametrize(
    ("window", "now", "shift"),
    [
        (hours(2, 5), WINTER, Shift(SPRING_DAY, 180, 120)),
        (hours(2, 3), WINTER, Shift(SPRING_DAY, 60, 0)),
        (hours(2.5, 3.5), WINTER, Shift(SPRING_DAY, 60, 30)),
        (hours(23, 2.5), WINTER, Shift(SPRING_DAY, 210, 180)),
        (hours(2, 5), SUMMER, Shift(AUTUMN_DAY, 180, 240)),
        (hours(2, 3), SUMMER, Shift(AUTUMN_DAY, 60, 120)),
        (hours(22, 2), SUMMER, None),
        (hours(3, 5), WINTER, None),
    ],
)
def test_a_window_is_shorter_skipped_or_longer_on_the_day_of_the_change(
    window: Window, now: datetime, shift: Shift | None
) -> None:
    assert next_shift(window, PRAGUE, now) == shift


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Bogota"])
def test_a_zone_whose_clocks_stay_changes_no_window(zone: str) -> None:
    assert next_shift(hours(0, 23.5), ZoneInfo(zone), WINTER) is None


@pytest.mark.parametrize("zone", ["Europe/Prague", "Australia/Lord_Howe", "America/Santiago"])
@pytest.mark.parametrize("window", [hours(1, 4), hours(23, 2.25), hours(0, 0.5)])
def test_the_minutes_are_those_in_which_a_box_would_see_the_window_open(
    zone: str, window: Window
) -> None:
    found = next_shift(window, ZoneInfo(zone), WINTER)
    then, usual = found.then_min if found else 0, found.usual_min if found else 0
    noon = datetime.combine(found.on if found else date(2027, 1, 6), datetime.min.time())
    begin = (noon - timedelta(hours=12)).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    end = (noon + timedelta(hours=36)).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    minutes = int((end - begin) / timedelta(minutes=1))

    seen = sum(
        is_open(window, ZoneInfo(zone), begin + timedelta(minutes=minute))
        for minute in range(minutes)
    )

    length = (window.end_min - window.start_min) % 1440
    assert seen == 2 * length + then - usual
