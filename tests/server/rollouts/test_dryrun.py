"""A plan replayed before it begins: its end, its load, what it could break."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.rollouts import presence, service
from oleada_server.rollouts.dryrun import Habit, Plan, Wave, replay
from oleada_server.rollouts.evidence.spec import EvidenceSpec
from oleada_server.rollouts.pace import Caps, Constant
from oleada_server.rollouts.schedule import ALWAYS, Schedule, parse_windows
from oleada_server.telemetry.models import HealthSample

from tests.server.rollouts.fleet import HOUR, NOON, a_fleet, a_plan, a_release

UTC_ZONE = ZoneInfo("UTC")
ON = Habit(UTC_ZONE, (True,) * 24)
NIGHTS = Habit(UTC_ZONE, tuple(hour < 6 for hour in range(24)))
NEVER = Habit(UTC_ZONE, (False,) * 24)
ONE = Wave(
    boxes=1000, success_share_min=0.9, failed_share_max=0.02, silent_share_max=0.1,
    sample_min=10, soak=timedelta(days=1),
)  # fmt: skip
PLAN = Plan(
    waves=(ONE,), size_bytes=300_000_000, times=ALWAYS, in_flight_max=100, start_boxes=None,
    rate=None, caps=Caps(), spread_s=0, silent_after_s=86_400,
)  # fmt: skip


def test_a_box_is_at_work_for_its_load_its_installation_and_its_trial() -> None:
    assert PLAN.round == timedelta(seconds=300 + 600 + 900)


def test_a_wave_ends_when_its_boxes_have_come_in_rounds_and_it_has_soaked() -> None:
    run = replay(PLAN, [ON], NOON)

    assert run.ends_at == NOON + 10 * PLAN.round + timedelta(days=1)
    assert (run.updated, run.harmed, run.unreached, run.stopped_by) == (1000, 0, 0, "")
    assert run.peak_bytes_s == 100 * 1_000_000


def test_the_slow_start_doubles_because_each_good_box_brings_one_more() -> None:
    slow = replace(PLAN, start_boxes=20, in_flight_max=10_000)

    run = replay(slow, [ON], NOON)

    # 20, 40, 80, 160, 320, then the last 380 of a thousand.
    assert run.ends_at == NOON + 6 * PLAN.round + timedelta(days=1)


def test_boxes_come_when_they_are_on_and_in_their_window() -> None:
    evening = replace(PLAN, times=Schedule(parse_windows("20:00-23:00")), in_flight_max=5000)
    mixed = [replace(ON, weight=1), replace(NIGHTS, weight=1)]

    in_window = replay(evening, [ON], NOON)
    at_night = replay(replace(PLAN, in_flight_max=5000), mixed, NOON)

    assert in_window.ends_at == NOON + 8 * HOUR + PLAN.round + timedelta(days=1)
    assert at_night.ends_at == NOON + 12 * HOUR + PLAN.round + timedelta(days=1)


def test_boxes_that_never_come_are_counted_and_too_many_ask_a_person() -> None:
    few, many = [replace(ON, weight=19), NEVER], [ON, NEVER]

    assert replay(PLAN, few, NOON).unreached == 50
    assert replay(PLAN, few, NOON).ends_at is not None
    assert replay(PLAN, many, NOON).stopped_by == "held"
    assert replay(PLAN, many, NOON).ends_at is None


def test_a_release_that_breaks_every_box_costs_the_first_round_at_most() -> None:
    slow = replace(PLAN, start_boxes=20)

    assert replay(slow, [ON], NOON, 1.0).harmed == 20
    assert replay(PLAN, [ON], NOON, 1.0).harmed == 100
    assert replay(replace(slow, start_boxes=5), [ON], NOON, 1.0).harmed == 5


@pytest.mark.parametrize(("share", "stopped_by"), [(0.01, ""), (0.05, "limit"), (1.0, "limit")])
def test_what_stops_it_is_named(share: float, stopped_by: str) -> None:
    run = replay(PLAN, [ON], NOON, share)

    assert run.stopped_by == stopped_by
    assert (run.harmed < 100) is (share < 1)


def test_evidence_stops_what_the_limits_of_a_wave_would_let_pass() -> None:
    loose = replace(PLAN, start_boxes=20, waves=(replace(ONE, failed_share_max=1.0),))

    run = replay(loose, [ON], NOON, 0.2)

    assert run.stopped_by == "evidence"
    assert run.harmed < 30


def test_rate_and_bandwidth_stretch_it() -> None:
    wide = replace(PLAN, in_flight_max=10_000)
    fast = replay(wide, [ON], NOON).ends_at
    assert fast is not None

    paced = replay(replace(wide, rate=Constant(1)), [ON], NOON).ends_at
    capped = replay(replace(wide, caps=Caps(bandwidth_max_bytes_s=10_000_000)), [ON], NOON).ends_at

    assert paced is not None
    assert capped is not None
    assert paced > fast + 10 * HOUR
    assert capped > fast + 7 * HOUR


def test_a_day_of_the_week_comes_round_again() -> None:
    sundays = Habit(UTC_ZONE, tuple(day == 0 for day in range(7) for _ in range(24)))
    first = next(d for d in range(7) if sundays.is_on(NOON + timedelta(days=d)))

    assert [sundays.is_on(NOON + timedelta(days=first + 7 * week)) for week in range(3)] == [
        True
    ] * 3
    assert not sundays.is_on(NOON + timedelta(days=first + 1))


def test_presence_is_replayed_from_the_hours_in_which_boxes_told_their_health(app: Flask) -> None:
    ids = a_fleet(4)
    a_release()
    today = datetime(2026, 11, 21, tzinfo=UTC)
    for device in db.session.scalars(db.select(Device)):
        device.last_seen_at = NOON if device.id != ids[3] else NOON - timedelta(days=9)
    db.session.add_all(
        HealthSample(device_id=ids[0], boot="1-0badcafe", seq=seq, version="1.0.0",
                     parameters={}, box_at=at, received_at=at)
        for seq, at in enumerate(today - timedelta(hours=hours) for hours in (1, 2, 26, 200))
    )  # fmt: skip
    db.session.commit()

    habits, days = presence.habits_of("VX-410", NOON)

    assert days == 2, "whole days of the last week with anything in them"
    assert sorted(sum(habit.on) for habit in habits) == [0, 3, 24, 24]
    (heard,) = (habit for habit in habits if sum(habit.on) == 3)
    assert heard.is_on(today - timedelta(hours=1))
    assert heard.is_on(today + timedelta(hours=47))
    assert not heard.is_on(today + timedelta(hours=12))


def test_a_plan_is_replayed_with_what_it_says_or_as_always_on_without_history(
    sqlite_app: Flask,
) -> None:
    a_fleet(60)
    a_release()
    for device in db.session.scalars(db.select(Device)):
        device.last_seen_at = NOON
    db.session.commit()
    plan = replace(a_plan(), evidence=EvidenceSpec())

    found = service.dry_run(plan, service.preview(plan), NOON)

    assert found is not None
    assert (found.days, found.boxes) == (0, 40)
    assert found.good.updated == 60
    assert found.damage[1.0].harmed == 20
    assert list(found.widths) == [250, 500, 1000]
