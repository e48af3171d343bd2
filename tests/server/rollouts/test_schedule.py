"""When boxes may begin: windows of the week, blackouts, and every change of the clocks."""

import random
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from oleada_server.rollouts.errors import BadPlanError
from oleada_server.rollouts.schedule import (
    ALWAYS,
    HORIZON_DAYS,
    Blackout,
    Schedule,
    WeekWindow,
    blackouts_text,
    is_open,
    next_closing,
    next_opening,
    parse_blackouts,
    parse_windows,
    windows_text,
)

MADRID = ZoneInfo("Europe/Madrid")
NIGHTS = Schedule(parse_windows("mon-fri 23:00-05:00"))
MINUTE = timedelta(minutes=1)
ZONES = ("Europe/Madrid", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu",
         "America/Sao_Paulo", "Pacific/Apia", "UTC")  # fmt: skip


def at(text: str, zone: ZoneInfo = MADRID) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    friday, saturday = at("2026-11-20T23:30"), at("2026-11-21T04:59")

    assert is_open(NIGHTS, MADRID, friday)
    assert is_open(NIGHTS, MADRID, saturday)
    assert not is_open(NIGHTS, MADRID, at("2026-11-21T05:00"))
    assert not is_open(NIGHTS, MADRID, at("2026-11-21T23:30"))
    assert not is_open(NIGHTS, MADRID, at("2026-11-23T04:00")), "Sunday night has no window"


def test_the_next_opening_skips_days_without_a_window_and_days_that_are_blacked_out() -> None:
    shut = Schedule(NIGHTS.windows, (Blackout(date(2026, 11, 23), date(2026, 11, 24)),))

    assert next_opening(NIGHTS, MADRID, at("2026-11-21T06:00")) == at("2026-11-23T23:00")
    assert next_opening(shut, MADRID, at("2026-11-21T06:00")) == at("2026-11-25T00:00"), (
        "the end of the night that began on a day without"
    )


def test_a_blackout_shuts_the_part_of_a_night_that_lies_on_its_day() -> None:
    shut = Schedule(NIGHTS.windows, (Blackout(date(2026, 11, 25), date(2026, 11, 25)),))

    assert is_open(shut, MADRID, at("2026-11-24T23:59"))
    assert not is_open(shut, MADRID, at("2026-11-25T00:00"))
    assert next_closing(shut, MADRID, at("2026-11-24T23:30")) == at("2026-11-25T00:00")
    assert next_opening(shut, MADRID, at("2026-11-25T12:00")) == at("2026-11-26T00:00"), (
        "the end of the night that began on the day without"
    )


def test_without_windows_it_is_open_on_every_day_that_is_not_blacked_out() -> None:
    shut = Schedule((), (Blackout(date(2026, 12, 24), date(2026, 12, 26)),))

    assert next_opening(ALWAYS, MADRID, at("2026-12-24T12:00")) == at("2026-12-24T12:00")
    assert next_closing(ALWAYS, MADRID, at("2026-12-24T12:00")) is None
    assert next_opening(shut, MADRID, at("2026-12-24T12:00")) == at("2026-12-27T00:00")


def test_an_hour_that_the_clocks_skip_opens_nothing_and_one_that_comes_twice_opens_it_twice() -> (
    None
):
    half_past = Schedule(parse_windows("02:30-03:30"))
    skipped, twice = at("2026-03-29T01:59"), at("2026-10-25T02:10")

    assert next_opening(half_past, MADRID, skipped) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    first = next_opening(half_past, MADRID, twice)
    assert first == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert next_closing(half_past, MADRID, first) == datetime(2026, 10, 25, 1, tzinfo=UTC)
    assert not is_open(half_past, MADRID, datetime(2026, 10, 25, 1, 29, tzinfo=UTC))
    assert is_open(half_past, MADRID, datetime(2026, 10, 25, 1, 30, tzinfo=UTC))


def test_a_window_that_the_clocks_skip_whole_opens_on_the_next_day() -> None:
    gone = Schedule(parse_windows("02:10-02:50"))

    assert next_opening(gone, MADRID, at("2026-03-28T12:00")) == at("2026-03-30T02:10")


def test_what_never_opens_says_so() -> None:
    for_ever = Schedule((), (Blackout(date(2026, 1, 1), date(2099, 1, 1)),))

    assert next_opening(for_ever, MADRID, at("2026-11-21T06:00")) is None


@pytest.mark.parametrize("name", ZONES)
def test_openings_are_those_that_a_walk_over_every_minute_finds(name: str) -> None:
    dice, zone = random.Random(name), ZoneInfo(name)
    for _ in range(12):
        days = tuple(sorted(dice.sample(range(7), dice.randint(1, 7))))
        start, end = dice.sample(range(1440), 2)
        first = date(2026, 3, 1) + timedelta(days=dice.randrange(250))
        schedule = Schedule((WeekWindow(days, start, end),), (Blackout(first, first),))
        begin = datetime(first.year, first.month, first.day, tzinfo=UTC) - timedelta(days=1)
        now = begin + MINUTE * dice.randrange(1440)

        found = next_opening(schedule, zone, now)

        moments = (now + MINUTE * step for step in range(10 * 1440))
        assert found == next(one for one in moments if is_open(schedule, zone, one)), schedule


@pytest.mark.parametrize("name", ZONES)
def test_between_two_changes_nothing_opens_or_closes(name: str) -> None:
    zone, now = ZoneInfo(name), datetime(2026, 3, 27, 12, tzinfo=UTC)
    schedule = Schedule(parse_windows("sat-mon 01:30-03:15; wed 22:00-02:00"))

    opened = next_opening(schedule, zone, now)
    assert opened is not None
    closed = next_closing(schedule, zone, opened)
    assert closed is not None

    steps = range(int((closed - opened) / MINUTE))
    assert all(is_open(schedule, zone, opened + MINUTE * step) for step in steps)
    assert not is_open(schedule, zone, closed)
    assert not is_open(schedule, zone, opened - MINUTE)


@pytest.mark.parametrize(
    "text",
    ["mon-fri 02:00-05:00", "23:00-05:00", "sat,sun 00:00-24:00; tue 12:00-13:30",
     "mon,fri,sat,sun 01:00-02:00"],
)  # fmt: skip
def test_windows_are_written_as_they_are_read(text: str) -> None:
    assert windows_text(parse_windows(text)) == text


def test_days_may_run_over_the_end_of_the_week() -> None:
    assert parse_windows("sat-mon 01:00-02:00")[0].days == (0, 5, 6)


def test_blackouts_are_written_as_they_are_read() -> None:
    text = "2026-12-24/2026-12-26; 2027-01-01"

    assert blackouts_text(parse_blackouts(text)) == text


@pytest.mark.parametrize(
    "text",
    ["always", "25:00-03:00", "02:00", "02:00-02:00", "fun 02:00-03:00", "mon- 02:00-03:00",
     "02:00-03:00, 04:00-05:00", "\u0660\u0662:00-03:00", "24:00-03:00"],
)  # fmt: skip
def test_a_window_that_can_not_be_read_is_refused(text: str) -> None:
    with pytest.raises(BadPlanError):
        parse_windows(text)


@pytest.mark.parametrize(
    "text",
    ["christmas", "2026-13-01", "2026-12-26/2026-12-24", "2026-12-24/", "20261224", "0001-01-01"],
)
def test_a_blackout_that_can_not_be_read_is_refused(text: str) -> None:
    with pytest.raises(BadPlanError):
        parse_blackouts(text)


def test_the_horizon_is_beyond_a_year() -> None:
    assert HORIZON_DAYS > 366
