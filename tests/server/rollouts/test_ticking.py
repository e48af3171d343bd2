import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest
from flask import Flask
from oleada_server.audit.models import AuditEvent
from oleada_server.db import db
from oleada_server.messaging.models import RetainedMessage
from oleada_server.rollouts import rows, service, ticks
from oleada_server.rollouts.evidence import ledger
from oleada_server.rollouts.models import BoxInWave, Rollout
from oleada_server.rollouts.states import BoxState, RolloutState
from oleada_wire.messages import LeaseRequest, Report
from oleada_wire.words import LeasePhase, Phase, Reason
from sqlalchemy import func, select, update

from tests.server.rollouts.evidence.trials import judged, on_trial
from tests.server.rollouts.fleet import (
    EVERYBODY,
    HOUR,
    MINUTE,
    NOON,
    a_fleet,
    a_plan,
    a_release,
    a_verdict,
    header,
    row_of,
    say,
    started,
    told,
)


def revisions() -> int:
    """Return how often anything was queued to be retained."""
    return db.session.scalar(select(func.sum(RetainedMessage.revision))) or 0


@pytest.mark.usefixtures("app")
def test_a_tick_that_runs_twice_or_late_changes_nothing_more() -> None:
    boxes = a_fleet(4)
    a_release()
    started(a_plan())
    say(boxes[0], Phase.UPDATED)
    service.tick(NOON + MINUTE)
    before = revisions()

    for _ in range(3):
        service.tick(NOON + MINUTE)
    service.tick(NOON)

    assert revisions() == before


@pytest.mark.usefixtures("app")
def test_facts_that_contradict_each_other_halt_the_rollout() -> None:
    (box,) = a_fleet(1)
    a_release()
    rollout_id = started(a_plan())
    wave = service.get(rollout_id).waves[0]
    wave.failed_share_max = 7.0
    db.session.commit()

    service.tick(NOON)

    rollout = service.get(rollout_id)
    assert rollout.state == "halted"
    assert rollout.state_reason == (
        "the facts contradict each other: a share of 7.0 is not from 0 to 1"
    )
    found = told(box)
    assert found is not None
    assert found.assignment is None


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize("state", ["soaking", "held"])
def test_a_wave_that_soaks_or_is_held_halts_once_and_takes_everything_back(state: str) -> None:
    boxes = a_fleet(4)
    a_release()
    rollout_id = started(a_plan(replace(EVERYBODY, success_share_min=0.5, silent_share_max=0.0)))
    for box in boxes[:3]:
        say(box, Phase.UPDATED)
    service.tick(NOON if state == "soaking" else NOON + HOUR + MINUTE)
    assert service.get(rollout_id).waves[0].state == state

    say(boxes[3], Phase.FAILED, Reason.HEALTH_CHECK, now=NOON + HOUR)
    for hours in range(2, 5):
        service.tick(NOON + hours * HOUR)

    rollout = service.get(rollout_id)
    assert (rollout.state, rollout.waves[0].state) == ("halted", "halted")
    assert rollout.state_reason == "wave 1: 1 of 4 failed, more than 20%"
    halts = select(func.count()).where(AuditEvent.action == "rollout.halt")
    assert db.session.scalar(halts) == 1
    found = told(boxes[3])
    assert found is not None
    assert found.assignment is None


@pytest.mark.usefixtures("app")
def test_a_rollout_that_crashes_does_not_keep_the_others_waiting() -> None:
    a_fleet(1)
    (other,) = a_fleet(1, model="VX-240")
    a_release()
    a_release(model="VX-240")
    broken = started(a_plan())
    fine = started(replace(a_plan(), hardware_model="VX-240"))
    db.session.execute(update(Rollout).where(Rollout.id == broken).values(state="no such state"))
    db.session.execute(update(BoxInWave).where(BoxInWave.rollout_id == broken).values(state="odd"))
    db.session.commit()
    say(other, Phase.UPDATED)

    with pytest.raises(ExceptionGroup):
        service.tick(NOON)

    assert service.get(fine).waves[0].state == "soaking"


def run(app: Flask, job: Callable[[], None], problems: list[BaseException]) -> None:
    """Do *job* in a thread with a session of its own; keep what went wrong."""
    try:
        with app.app_context():
            job()
            db.session.remove()
    except BaseException as error:
        problems.append(error)


@pytest.mark.real
def test_two_tickers_and_two_workers_at_once_count_every_box_once(app: Flask) -> None:
    boxes = a_fleet(40)
    a_release()
    rollout_id = started(a_plan(replace(EVERYBODY, failed_share_max=1.0, soak_s=0)))
    verdicts = [a_verdict(row_of(box).id, number % 4 == 0) for number, box in enumerate(boxes)]
    said = list(zip(boxes, verdicts, strict=True))
    db.session.rollback()
    problems: list[BaseException] = []

    def tick_often() -> None:
        for minutes in range(10):
            service.tick(NOON + minutes * MINUTE)

    def work_off(messages: Sequence[tuple[str, Report]]) -> None:
        for box, report in messages:
            service.record_report(box, report, NOON)
            db.session.commit()

    jobs: list[Callable[[], None]] = [
        tick_often,
        tick_often,
        lambda: work_off(said),
        lambda: work_off(said[::-1]),
    ]
    threads = [threading.Thread(target=run, args=(app, job, problems)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    service.tick(NOON + HOUR)

    assert problems == []
    (wave,) = service.summary(rollout_id)
    assert {str(state): n for state, n in wave.states.items() if n} == {
        "updated": 30,
        "rolled_back": 10,
    }


@pytest.mark.real
def test_boxes_that_ask_at_once_get_no_more_leases_than_planned(app: Flask) -> None:
    boxes = a_fleet(24)
    a_release()
    rollout_id = started(a_plan(in_flight_max=5))
    requests = {
        box: LeaseRequest(header(), f"AS-{row_of(box).id}", 1, LeasePhase.START) for box in boxes
    }
    db.session.rollback()
    problems: list[BaseException] = []

    def ask_all(some: Sequence[str]) -> None:
        for box in some:
            service.record_lease_request(box, requests[box], NOON)
            db.session.commit()

    jobs: list[Callable[[], None]] = [partial(ask_all, boxes[n::4]) for n in range(4)]
    threads = [threading.Thread(target=run, args=(app, job, problems)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert problems == []
    (wave,) = service.summary(rollout_id)
    assert wave.states[BoxState.LEASED] == 5


@pytest.mark.usefixtures("app")
def test_a_large_wave_opens_over_several_rounds_so_that_a_halt_need_not_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ticks, "CHUNK_BOXES", 10)
    boxes = a_fleet(100)
    a_release()
    rollout_id = started(a_plan())
    wave = service.get(rollout_id).waves[0].id
    assert set(rows.counts(rollout_id)[wave]) == {("assigned", None, 60), ("queued", None, 40)}

    for box in boxes[:21]:
        say(box, Phase.ROLLED_BACK, Reason.HEALTH_CHECK)
    service.tick(NOON + MINUTE)
    service.tick(NOON + MINUTE)

    assert service.get(rollout_id).state == RolloutState.HALTED
    assert set(rows.counts(rollout_id)[wave]) == {
        ("queued", None, 79), ("rolled_back", "health-check", 21)
    }  # fmt: skip
    taken_back = select(func.count()).where(BoxInWave.reason == "cancelled")
    assert db.session.scalar(taken_back) == 39


@pytest.mark.usefixtures("app")
def test_good_news_waits_until_all_silence_of_the_moment_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    boxes = a_fleet(6)
    a_release()
    rollout_id = started(judged())
    for box in boxes:
        on_trial(box)
    for box in boxes[:3]:
        say(box, Phase.UPDATED)
    monkeypatch.setattr(ticks, "CHUNK_BOXES", 2)
    monkeypatch.setattr(ticks, "CHUNKS_A_TICK", 1)

    seen = []
    for _ in range(4):
        service.tick(NOON + 30 * MINUTE)
        found = ledger.evidence(rollout_id, 500)
        assert found is not None
        seen.append((found.total.silent, found.total.good))

    assert seen == [(2, 0), (3, 2), (3, 3), (3, 3)]
