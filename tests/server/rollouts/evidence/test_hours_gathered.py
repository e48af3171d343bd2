"""The server gathers hours of both sides from what boxes say, each once, and halts by them."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.rollouts import service
from oleada_server.rollouts.evidence import beside, ledger
from oleada_server.rollouts.evidence.control import Hour
from oleada_server.rollouts.evidence.models import EvidenceTerms, HoursBeside
from oleada_server.rollouts.models import BoxInWave, BoxState
from oleada_server.telemetry.models import HealthSample, TroubleHour
from oleada_server.telemetry.troubles import FIGURES
from sqlalchemy import insert, select, update

from tests.server.rollouts.evidence.trials import LOOSE, incidents, judged, listed
from tests.server.rollouts.fleet import (
    HOUR,
    MINUTE,
    NOON,
    a_fleet,
    a_release,
    set_of,
    sqlite_only,
    started,
)

CLOSES = NOON + HOUR + beside.LATENESS
FEW = 12


def a_rollout(boxes: int = 3 * FEW, **terms: Any) -> tuple[int, list[str], list[str]]:
    """Start a rollout of which the first few boxes run the release; return who does, who waits.

    All of them speak every five minutes until the first hour is closed.
    """
    ids = a_fleet(boxes)
    runs, waits = ids[:FEW], ids[FEW:]
    a_release()
    rollout_id = started(
        judged(listed("few", runs), LOOSE, **{"watches_hours": True, **terms}), now=NOON
    )
    service.tick(NOON)
    run_it(runs)
    speak(ids, NOON - HOUR, CLOSES)
    return rollout_id, runs, waits


def run_it(boxes: Iterable[str], at: datetime = NOON) -> None:
    """Let *boxes* have been updated at *at*, in trials that count."""
    values = {"state": BoxState.UPDATED, "counted": "good", "armed_at": at, "ended_at": at,
              "deadline_at": None}  # fmt: skip
    db.session.execute(
        update(BoxInWave).where(BoxInWave.device_id.in_(list(boxes))).values(**values)
    )
    db.session.commit()


def speak(boxes: Iterable[str], start: datetime, end: datetime, late_by: timedelta = 0 * HOUR,
          boot: int = 1) -> None:  # fmt: skip
    """Let *boxes* say every five minutes how they are; heard *late_by* later."""
    moments = [start + n * 5 * MINUTE for n in range((end - start) // (5 * MINUTE))]
    samples = [
        {"device_id": box, "boot": f"{boot:08d}-0badcafe", "seq": int(at.timestamp()),
         "version": "1.0.0", "parameters": {}, "box_at": at, "received_at": at + late_by}
        for at in moments for box in boxes
    ]  # fmt: skip
    db.session.execute(insert(HealthSample), samples)
    seen = update(Device).where(Device.id.in_(list(boxes)))
    db.session.execute(seen.values(last_seen_at=end + late_by))
    db.session.commit()


def trouble(boxes: Iterable[str], kind: str = "crash", at: datetime = NOON,
            heard_at: datetime | None = None) -> None:  # fmt: skip
    rows = [{"device_id": box, "kind": kind, "at": at, "heard_at": heard_at or at} for box in boxes]
    db.session.execute(insert(TroubleHour), rows)
    db.session.commit()


def hour(kind: str, at: datetime = NOON) -> tuple[int, int, int, int] | None:
    """Return what is stored of one hour and kind."""
    db.session.rollback()
    query = select(HoursBeside).where(HoursBeside.kind == kind, HoursBeside.at == at)
    found = db.session.scalars(query).one_or_none()
    if found is None:
        return None
    return found.updated, found.updated_bad, found.control, found.control_bad


def test_an_hour_is_closed_a_quarter_after_its_end_and_counts_each_box_once(app: Flask) -> None:
    rollout_id, runs, waits = a_rollout()
    trouble([*runs[:3], waits[0]])
    trouble(runs[:3], at=NOON + HOUR)

    service.tick(CLOSES - MINUTE)
    assert hour("crash") is None
    service.tick(CLOSES)
    service.tick(CLOSES)

    assert hour("crash") == (FEW, 3, 2 * FEW, 1)
    assert hour("dark") == (FEW, 0, 2 * FEW, 0)
    assert hour("slow_zap") is None, "no box reports that figure"
    found = ledger.evidence(rollout_id, 100)
    assert found is not None
    assert found.hours is not None
    assert found.hours[-3:] == (
        Hour(12, 3, 24, 1, "crash"), Hour(12, 0, 24, 0, "dark"), Hour(12, 0, 24, 0, "restart"),
    )  # fmt: skip


@sqlite_only
def test_what_is_late_folds_in_until_the_hour_is_closed_and_is_late_after(app: Flask) -> None:
    rollout_id, runs, waits = a_rollout()
    speak([*runs, *waits], CLOSES, CLOSES + HOUR)
    trouble(runs[:2], heard_at=CLOSES - MINUTE)
    trouble(runs[2:5], heard_at=CLOSES)

    service.tick(CLOSES + 5 * HOUR)  # however late the server itself is

    assert hour("crash") == (FEW, 2, 2 * FEW, 0)
    service.tick(CLOSES + 5 * HOUR)
    assert hour("crash", NOON + HOUR) == (FEW - 5, 0, 2 * FEW, 0)
    assert beside.late(rollout_id) == 3


@sqlite_only
def test_a_box_is_dark_in_the_hour_in_which_it_falls_silent_and_in_no_other(app: Flask) -> None:
    _, runs, waits = a_rollout()
    speak(runs[2:], CLOSES, CLOSES + 2 * HOUR)
    speak(waits, CLOSES, CLOSES + 2 * HOUR)

    for hours in range(3):
        service.tick(CLOSES + hours * HOUR)

    assert hour("dark") == (FEW, 0, 2 * FEW, 0)
    assert hour("dark", NOON + HOUR) == (FEW, 0, 2 * FEW, 0), "they spoke until a quarter past one"
    assert hour("dark", NOON + 2 * HOUR) == (FEW, 2, 2 * FEW, 0)


@sqlite_only
def test_a_sample_that_was_on_its_way_says_that_its_box_was_there(app: Flask) -> None:
    ids = a_fleet(3 * FEW)
    a_release()
    started(judged(listed("few", ids[:FEW]), LOOSE, watches_hours=True))
    service.tick(NOON)
    run_it(ids[:FEW])
    speak(ids, NOON - HOUR, NOON)
    speak(ids[1:], NOON, CLOSES)
    speak(ids[:1], NOON + 50 * MINUTE, NOON + 55 * MINUTE, late_by=20 * MINUTE)

    service.tick(CLOSES)

    assert hour("dark") == (FEW, 0, 2 * FEW, 0)


@sqlite_only
def test_a_box_that_is_switched_off_at_this_time_each_day_is_not_dark(app: Flask) -> None:
    _, runs, waits = a_rollout()
    speak([*runs[2:], *waits], CLOSES, CLOSES + HOUR)
    for days in (1, 2, 3):
        speak(runs[:1], NOON + HOUR - days * timedelta(days=1),
              NOON + 2 * HOUR - days * timedelta(days=1))  # fmt: skip

    for hours in range(2):
        service.tick(CLOSES + hours * HOUR)
    speak([*runs[2:], *waits], CLOSES + HOUR, CLOSES + 2 * HOUR)
    service.tick(CLOSES + 2 * HOUR)

    assert hour("dark", NOON + 2 * HOUR) == (FEW - 1, 1, 2 * FEW, 0)


@sqlite_only
def test_one_box_that_crashes_every_other_day_is_heard_once_and_halts_nothing(app: Flask) -> None:
    rollout_id, runs, waits = a_rollout()
    for day in range(4):
        at = NOON + 30 * day * HOUR
        speak([*runs, *waits], at - HOUR, at + 2 * HOUR, boot=2 + day)
        trouble(runs[:1], at=at)
        db.session.get_one(EvidenceTerms, rollout_id).hours_to = at
        db.session.commit()
        service.tick(at + HOUR + beside.LATENESS)

    assert hour("crash") == (FEW, 1, 2 * FEW, 0)
    assert hour("crash", NOON + 90 * HOUR) == (FEW - 1, 0, 2 * FEW, 0)


@sqlite_only
@pytest.mark.parametrize("late_by", [0 * HOUR, 9 * HOUR])
def test_one_box_that_comes_and_goes_is_dark_once(app: Flask, late_by: timedelta) -> None:
    _, runs, waits = a_rollout()
    speak([*runs[1:], *waits], CLOSES, CLOSES + 5 * HOUR)
    speak(runs[:1], NOON + 3 * HOUR, NOON + 4 * HOUR)

    for hours in range(5):
        service.tick(CLOSES + hours * HOUR + late_by)

    found = [hour("dark", NOON + hours * HOUR) for hours in range(5)]
    assert [one and one[1] for one in found] == [0, 0, 1, 0, 0]
    assert found[4] == (FEW - 1, 0, 2 * FEW, 0)


def test_a_figure_is_watched_of_boxes_that_report_it(app: Flask) -> None:
    _, runs, waits = a_rollout()
    for box in [*runs[:4], *waits[:6]]:
        set_of(box, health={FIGURES[0].name: 1500})
    trouble(runs[:1], kind="slow_zap")

    service.tick(CLOSES)

    assert hour("slow_zap") == (4, 1, 6, 0)
    assert hour("underruns") is None


@sqlite_only
def test_boxes_that_were_let_begin_wait_no_more(app: Flask) -> None:
    _, _, waits = a_rollout()
    begun = update(BoxInWave).where(BoxInWave.device_id.in_(waits[:5]))
    db.session.execute(begun.values(counted="open", state=BoxState.LEASED))
    db.session.commit()

    service.tick(CLOSES)

    assert hour("crash") == (FEW, 0, 2 * FEW - 5, 0)


def test_of_many_boxes_that_wait_some_are_drawn(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout_id, _, waits = a_rollout()
    monkeypatch.setattr(beside, "DRAWN", 8)
    rollout = service.get(rollout_id)

    drawn = [set(beside._waiting(rollout, NOON + n * HOUR)) for n in (0, 0, 1)]
    service.tick(CLOSES)

    assert drawn[0] == drawn[1] != drawn[2], "by the hour, and again the same"
    assert drawn[0] < set(waits)
    assert hour("crash") == (FEW, 0, 8, 0)


@sqlite_only
def test_a_release_that_makes_boxes_crash_after_their_trial_is_halted_by_those_that_wait(
    app: Flask,
) -> None:
    rollout_id, runs, _ = a_rollout()
    trouble(runs)

    service.tick(CLOSES)

    rollout = service.get(rollout_id)
    assert (rollout.state, rollout.state_reason) == (
        "halted",
        "the evidence speaks against it: crash: 12 bad in 12 device-hours of updated boxes, "
        "beside 0 in 24 of boxes that wait",
    )
    assert [one.reason for one in incidents()] == [rollout.state_reason]


@sqlite_only
def test_as_many_crashes_on_both_sides_halt_nothing(app: Flask) -> None:
    rollout_id, runs, waits = a_rollout()
    trouble([*runs, *waits])

    service.tick(CLOSES)

    assert hour("crash") == (FEW, FEW, 2 * FEW, 2 * FEW)
    assert service.get(rollout_id).state == "running"


@sqlite_only
@pytest.mark.parametrize(("boxes", "terms", "watched"), [
    (FEW + 199, {"watches_hours": None}, False), (FEW + 200, {"watches_hours": None}, True),
    (FEW + 200, {"watches_hours": False}, False),
])  # fmt: skip
def test_hours_are_watched_where_enough_boxes_come_after_the_first_wave(
    app: Flask, boxes: int, terms: dict[str, Any], watched: bool
) -> None:
    ids = a_fleet(boxes)
    a_release()
    rollout_id = started(judged(listed("few", ids[:FEW]), LOOSE, **terms))

    service.tick(NOON)

    found = ledger.evidence(rollout_id, 100)
    assert found is not None
    assert (found.hours is not None) is watched


@sqlite_only
def test_hours_without_an_updated_box_are_passed_over_at_once(app: Flask) -> None:
    ids = a_fleet(3 * FEW)
    a_release()
    rollout_id = started(judged(listed("few", ids[:FEW]), LOOSE, watches_hours=True))
    service.tick(NOON)

    service.tick(NOON + 500 * HOUR + 20 * MINUTE)

    terms = db.session.get_one(EvidenceTerms, rollout_id)
    assert terms.hours_to == NOON + 500 * HOUR
