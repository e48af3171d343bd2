from dataclasses import replace

import pytest
from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.live import service as live
from oleada_server.rollouts import service
from oleada_server.rollouts.plan import Outcome
from oleada_server.rollouts.states import BoxState
from oleada_wire.cohort import place
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
    ask,
    row_of,
    say,
    started,
    told,
    waves_told,
)

pytestmark = pytest.mark.usefixtures("app")


def states(rollout_id: int) -> dict[str, int]:
    """Return how many boxes of the whole rollout are in each state."""
    found = [wave.states for wave in service.summary(rollout_id)]
    return {str(s): n for s in BoxState if (n := sum(wave[s] for wave in found))}


def test_a_release_reaches_every_box_wave_by_wave() -> None:
    boxes = a_fleet(10)
    a_release()
    few = replace(EVERYBODY, name="few", device_ids=tuple(boxes[:2]), share_until=None)
    rollout_id = started(a_plan(few, EVERYBODY))

    assert states(rollout_id) == {"assigned": 2, "queued": 8}
    for box in boxes[:2]:
        assert ask(box).granted
        say(box, Phase.DOWNLOADING, done_bytes=500)
        assert ask(box, phase=LeasePhase.ARM).granted
        say(box, Phase.UPDATED)
    service.tick(NOON)
    assert service.get(rollout_id).waves[0].state == "soaking"
    service.tick(NOON + MINUTE)
    assert states(rollout_id) == {"assigned": 8, "updated": 2}
    for box in boxes[2:]:
        say(box, Phase.UPDATED, now=NOON + 2 * MINUTE)
    service.tick(NOON + 2 * MINUTE)
    service.tick(NOON + 3 * MINUTE)

    assert service.get(rollout_id).state == "finished"
    assert states(rollout_id) == {"updated": 10}
    assert waves_told() == []


def test_a_bad_release_halts_at_the_first_wave_and_nobody_else_is_told() -> None:
    boxes = a_fleet(40)
    a_release()
    few = replace(EVERYBODY, name="few", device_ids=tuple(boxes[:5]), share_until=None)
    rollout_id = started(a_plan(few, EVERYBODY))

    say(boxes[0], Phase.ROLLED_BACK, Reason.HEALTH_CHECK)
    say(boxes[1], Phase.ROLLED_BACK, Reason.HEALTH_CHECK)
    service.tick(NOON)

    rollout = service.get(rollout_id)
    assert rollout.state == "halted"
    assert rollout.state_reason == "wave 1: 2 of 2 failed, more than 20%"
    assert rollout.waves[0].state == "halted"
    assert waves_told() == []
    assert all(told(box) is None for box in boxes[5:])
    assert not ask(boxes[2]).granted
    withdrawn = told(boxes[2])
    assert withdrawn is not None
    assert withdrawn.assignment is None


def test_a_box_that_armed_before_the_halt_is_still_counted() -> None:
    boxes = a_fleet(4)
    a_release()
    rollout_id = started(a_plan())
    say(boxes[0], Phase.RESTARTING)
    for box in boxes[1:3]:
        say(box, Phase.ROLLED_BACK, Reason.HEALTH_CHECK)
    service.tick(NOON)
    assert service.get(rollout_id).state == "halted"

    say(boxes[0], Phase.UPDATED, now=NOON + MINUTE)

    assert states(rollout_id) == {"queued": 1, "updated": 1, "rolled_back": 2}
    assert service.get(rollout_id).state == "halted"


def test_a_late_failure_in_an_old_wave_halts() -> None:
    boxes = a_fleet(10)
    a_release()
    few = replace(
        EVERYBODY, name="few", device_ids=tuple(boxes[:3]), share_until=None,
        success_share_min=0.6, silent_share_max=0.34, soak_s=0,
    )  # fmt: skip
    rollout_id = started(a_plan(few, EVERYBODY))
    for box in boxes[:2]:
        say(box, Phase.UPDATED)
    service.tick(NOON)
    assert service.get(rollout_id).waves[0].state == "passed"

    say(boxes[2], Phase.ROLLED_BACK, Reason.HEALTH_CHECK, now=NOON + HOUR)
    service.tick(NOON + HOUR)

    assert service.get(rollout_id).state_reason == "wave 1: 1 of 3 failed, more than 20%"


def test_a_silent_box_holds_the_wave_and_its_late_report_lets_it_pass() -> None:
    boxes = a_fleet(5)
    a_release()
    rollout_id = started(a_plan())
    say(boxes[0], Phase.CHECKING, now=NOON + MINUTE)
    for box in boxes[1:]:
        say(box, Phase.UPDATED, now=NOON + MINUTE)
    service.tick(NOON + HOUR)
    assert service.get(rollout_id).waves[0].state == "open"

    service.tick(NOON + HOUR + MINUTE)
    assert states(rollout_id) == {"silent": 1, "updated": 4}
    assert service.get(rollout_id).waves[0].state == "held"
    assert [(f.reason, f.boxes, f.example) for f in service.why_failed(rollout_id)] == [
        ("silent", 1, "last state: checking")
    ]

    say(boxes[0], Phase.UPDATED, now=NOON + 2 * HOUR)
    service.tick(NOON + 2 * HOUR)
    service.tick(NOON + 2 * HOUR + MINUTE)
    assert states(rollout_id) == {"updated": 5}
    assert service.get(rollout_id).state == "finished"


def test_a_power_cut_in_the_trial_is_tried_again_and_is_no_failure() -> None:
    (box,) = a_fleet(1)
    a_release()
    rollout_id = started(a_plan(attempts_max=2))

    say(box, Phase.ROLLED_BACK, Reason.POWER_CUT_IN_TRIAL)
    service.tick(NOON)
    again = told(box)
    assert again is not None
    assert again.assignment is not None
    assert again.assignment.attempt == 2
    say(box, Phase.ROLLED_BACK, Reason.POWER_CUT_IN_TRIAL)
    service.tick(NOON)

    (wave,) = service.summary(rollout_id)
    assert wave.outcomes[Outcome.EXCUSED] == 1
    assert wave.outcomes[Outcome.BAD] == 0
    assert service.get(rollout_id).waves[0].state == "held"


def test_boxes_are_covered_by_the_wave_that_the_server_signed() -> None:
    boxes = a_fleet(50)
    a_release()
    few = replace(EVERYBODY, name="few", share_until=0.2)
    started(a_plan(few, EVERYBODY))

    (wave,) = waves_told()
    assert wave.cohort.share_parts == 2000
    covered = {box for box in boxes if place("salt", box) < 2000}
    assert {box for box in boxes if told(box) is not None} == covered
    assert covered


def test_a_pause_refuses_leases_and_is_nobody_silence() -> None:
    boxes = a_fleet(2)
    a_release()
    rollout_id = started(a_plan())
    service.pause(rollout_id, "a storm", actor=ANA, now=NOON)

    answer = ask(boxes[0])
    assert (answer.granted, answer.reason) == (False, "paused")
    service.tick(NOON + 5 * HOUR)
    assert states(rollout_id) == {"assigned": 2}
    service.resume(rollout_id, actor=ANA, now=NOON + 5 * HOUR)
    service.tick(NOON + 5 * HOUR + MINUTE)
    assert states(rollout_id) == {"assigned": 2}
    assert ask(boxes[0], now=NOON + 5 * HOUR).granted
    service.tick(NOON + 6 * HOUR)
    assert states(rollout_id)["silent"] == 1 + 1


def test_a_stopped_rollout_takes_its_assignments_back_for_good() -> None:
    boxes = a_fleet(3)
    a_release()
    rollout_id = started(a_plan())
    service.stop(rollout_id, "wrong release", actor=ANA, now=NOON)

    for box in boxes:
        found = told(box)
        assert found is not None
        assert found.assignment is None
        assert ask(box).reason == "stopped"
    assert states(rollout_id) == {"queued": 3}
    assert {event.action for event in audit.events_about(f"R-{rollout_id}")} == {
        "rollout.create",
        "rollout.start",
        "wave.open",
        "rollout.stop",
    }


def test_a_rollout_that_ends_late_leaves_the_assignment_of_the_next_alone() -> None:
    (box,) = a_fleet(1)
    a_release()
    a_release("1.2.0")
    first = started(a_plan())
    service.queue_stop_for_release(service.get(first).release_id, "taken back", NOON)
    db.session.commit()

    second = started(replace(a_plan(), version="1.2.0"), NOON + MINUTE)
    service.tick(NOON + MINUTE)

    found = told(box)
    assert found is not None
    assert found.assignment is not None
    assert found.assignment.rollout_id == f"R-{second}"
    assert states(first) == {"queued": 1}


def test_a_person_retries_boxes_by_the_reason_for_which_they_ended() -> None:
    boxes = a_fleet(5)
    a_release()
    lenient = replace(EVERYBODY, failed_share_max=1.0)
    rollout_id = started(a_plan(lenient))
    for box in boxes[:2]:
        say(box, Phase.ROLLED_BACK, Reason.HEALTH_CHECK)
    say(boxes[2], Phase.FAILED, Reason.WRONG_CONTENT)
    say(boxes[3], Phase.UPDATED)

    assert service.retry(rollout_id, actor=ANA, now=NOON, ended_for="health-check") == 2
    assert service.retry(rollout_id, actor=ANA, now=NOON, device_ids=boxes[2:4]) == 1

    assert states(rollout_id) == {"assigned": 4, "updated": 1}
    assert [row_of(box).attempt for box in boxes] == [2, 2, 2, 1, 1]


def test_every_change_is_announced_to_open_pages() -> None:
    (box,) = a_fleet(1)
    a_release()
    rollout_id = started(a_plan())
    before = live.latest_id()

    say(box, Phase.DOWNLOADING)

    refs = {change.object_ref for change in live.changes_since(before)}
    assert refs == {f"R-{rollout_id}", "rollouts", f"device:{box}"}


def test_why_boxes_failed_is_grouped_and_says_what_they_run_now() -> None:
    boxes = a_fleet(6)
    a_release()
    rollout_id = started(a_plan(replace(EVERYBODY, failed_share_max=1.0)))
    for box in boxes[:3]:
        say(box, Phase.ROLLED_BACK, Reason.HEALTH_CHECK, detail="no picture")
    say(boxes[3], Phase.DECLINED, Reason.TOO_LARGE)

    found = [(f.reason, f.boxes, f.outcome, f.runs_now) for f in service.why_failed(rollout_id)]
    assert found == [
        ("health-check", 3, Outcome.BAD, {"1.0.0": 3}),
        ("too-large", 1, Outcome.LEFT_OUT, {"1.0.0": 1}),
    ]
