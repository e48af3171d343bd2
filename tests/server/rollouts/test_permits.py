"""What the rules of a plan say to a box that asks, over rows: times, rates, caps, ends."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.rollouts import service
from oleada_server.rollouts.errors import BadPlanError
from oleada_server.rollouts.models import Rollout
from oleada_server.rollouts.rules import rules_from
from oleada_server.rollouts.states import BoxState, RolloutState
from oleada_wire.messages import Window
from oleada_wire.words import LeasePhase, Phase, Reason

from tests.server.rollouts.fleet import (
    ANA,
    EVERYBODY,
    HOUR,
    MINUTE,
    NOON,
    a_fleet,
    a_plan,
    a_release,
    a_started,
    ask,
    row_of,
    ruled,
    say,
    set_of,
    sqlite_only,
    started,
)

pytestmark = pytest.mark.usefixtures("app")
SATURDAY = NOON
PATIENT = replace(EVERYBODY, failed_share_max=1.0, success_share_min=0.0)


def state_of(rollout_id: int = 1) -> RolloutState:
    return RolloutState(service.get(rollout_id).state)


@sqlite_only
def test_a_box_begins_in_a_window_of_its_own_week_and_is_told_how_long_to_wait() -> None:
    boxes = a_started(2, windows=[{"days": ["sun"], "start": "01:00", "end": "05:00"}])
    # Thirteen hours ahead: there it is Sunday 01:00 at noon.
    set_of(boxes[1], zone="Pacific/Auckland")

    here, there = ask(boxes[0]), ask(boxes[1])

    assert (here.granted, here.reason, here.retry_after_s) == (False, "window", 3600)
    assert there.granted
    assert ask(boxes[0], now=datetime(2026, 11, 22, 1, tzinfo=UTC)).granted


@sqlite_only
def test_a_box_that_loaded_in_the_window_arms_in_it_too() -> None:
    boxes = a_started(1, windows=[{"days": ["sat"], "start": "12:00", "end": "13:00"}])
    assert ask(boxes[0]).granted

    late = ask(boxes[0], now=NOON + HOUR, phase=LeasePhase.ARM)

    assert (late.granted, late.reason) == (False, "window")
    assert ask(boxes[0], now=NOON + 59 * MINUTE, phase=LeasePhase.ARM).granted


@sqlite_only
def test_nothing_begins_on_a_day_that_is_blacked_out_whatever_the_window_says() -> None:
    ids = a_fleet(1)
    a_release()
    dark = rules_from({"blackouts": [{"first": "2026-11-21", "last": "2026-11-22"}]})
    started(a_plan(rules=dark))

    assert ask(ids[0]).reason == "window"
    assert ask(ids[0], now=NOON + timedelta(days=1)).reason == "window"
    assert ask(ids[0], now=NOON + timedelta(hours=36)).granted


@sqlite_only
def test_the_time_until_the_window_is_nobodys_silence() -> None:
    boxes = a_started(1, windows=[{"days": ["tue"], "start": "01:00", "end": "05:00"}])

    row = row_of(boxes[0])

    assert row.deadline_at == datetime(2026, 11, 24, 2, tzinfo=UTC), "an hour after it opens"


@sqlite_only
def test_no_more_boxes_begin_a_minute_than_the_rate_lets() -> None:
    boxes = a_started(5, rate={"kind": "constant", "per_minute": 2})
    assert [ask(box).granted for box in boxes[:2]] == [True, True]

    third = ask(boxes[2])

    assert (third.granted, third.reason, third.retry_after_s) == (False, "full", 30)
    assert ask(boxes[0]).granted, "who is at work asks again without being counted"
    later = NOON + MINUTE + timedelta(seconds=1)
    assert [ask(box, now=later).granted for box in boxes[2:]] == [True, True, False]


@sqlite_only
def test_an_exponential_rate_waits_for_boxes_that_succeeded() -> None:
    rate = {"kind": "exponential", "base_per_minute": 1, "factor": 2, "every": 1,
            "on": "succeeded", "max_per_minute": 100}  # fmt: skip
    boxes = a_started(4, rate=rate)
    assert [ask(box).granted for box in boxes[:2]] == [True, False]

    say(boxes[0], Phase.UPDATED)

    later = NOON + 2 * MINUTE
    assert [ask(box, now=later).granted for box in boxes[1:]] == [True, True, False]


def test_a_region_has_a_limit_of_its_own() -> None:
    boxes = a_fleet(4)
    a_release()
    for box in boxes[:2]:
        device = db.session.get(Device, box)
        assert device is not None
        device.region = "Brno"
    db.session.commit()
    started(ruled(in_flight_max_per_region=1))

    granted = [ask(box).granted for box in boxes]

    assert granted == [True, False, True, False], "boxes without a region are one region"


@sqlite_only
def test_what_all_boxes_load_stays_under_the_bandwidth() -> None:
    boxes = a_started(4, bandwidth_max_bytes_s=2_000_000, box_bytes_s=1_000_000)
    assert [ask(box).granted for box in boxes[:3]] == [True, True, False]

    say(boxes[0], Phase.INSTALLING)  # it has loaded

    assert ask(boxes[2]).granted
    assert not ask(boxes[3]).granted


@sqlite_only
def test_only_reasons_of_the_plan_are_tried_again_by_themselves() -> None:
    boxes = a_started(2, PATIENT, retry_for=["download"])

    for box, reason in zip(boxes, (Reason.DOWNLOAD, Reason.STORAGE), strict=True):
        ask(box)
        say(box, Phase.FAILED, reason)
    service.tick(NOON + MINUTE)

    assert [row_of(box).attempt for box in boxes] == [2, 1]
    assert row_of(boxes[1]).state == BoxState.FAILED


def test_a_criterion_ends_the_rollout_and_is_named() -> None:
    boxes = a_started(
        10, PATIENT, abort=[{"on": "failed", "share_max": 0.5, "sample_min": 3, "last": 3}]
    )
    for box in boxes[:4]:
        say(box, Phase.UPDATED)
    say(boxes[4], Phase.ROLLED_BACK, Reason.HEALTH_CHECK, now=NOON + MINUTE)
    service.tick(NOON + MINUTE)
    assert state_of() is RolloutState.RUNNING

    say(boxes[5], Phase.ROLLED_BACK, Reason.HEALTH_CHECK, now=NOON + 2 * MINUTE)
    service.tick(NOON + 2 * MINUTE)

    assert state_of() is RolloutState.HALTED
    assert service.get(1).state_reason == (
        "abort criterion failed: 2 of the last 3 ended so, more than 50%"
    )


@sqlite_only
def test_rules_that_can_not_be_read_permit_nothing_and_halt() -> None:
    boxes = a_started(1)
    rollout = db.session.get(Rollout, 1)
    assert rollout is not None
    rollout.rules = {"rate": {"kind": "as fast as it goes"}}
    db.session.commit()

    answer = ask(boxes[0])
    service.tick(NOON + MINUTE)

    assert (answer.granted, answer.reason) == (False, "paused")
    assert state_of() is RolloutState.HALTED
    assert "rules can not be read" in (service.get(1).state_reason or "")


@sqlite_only
def test_a_plan_that_could_never_begin_is_refused_when_it_is_typed() -> None:
    a_fleet(1)
    a_release()
    dark = rules_from({"blackouts": [{"first": "2026-01-01", "last": "2099-12-31"}]})

    with pytest.raises(BadPlanError, match="no time to begin"):
        service.create(a_plan(rules=dark), actor=ANA, now=NOON)


@sqlite_only
def test_a_daily_window_and_windows_of_the_week_exclude_each_other() -> None:
    with pytest.raises(BadPlanError, match="either"):
        replace(ruled(windows=[{"start": "01:00", "end": "02:00"}]), window=Window(60, 120))
