from dataclasses import replace

import pytest
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.rollouts import service
from oleada_server.rollouts.models import ReportRow
from oleada_server.rollouts.states import BoxState
from oleada_wire.cohort import merkle_covers
from oleada_wire.messages import Window
from oleada_wire.words import LeasePhase, Phase, Reason
from sqlalchemy import func, select, update

from tests.server.rollouts.fleet import (
    DAY,
    EVERYBODY,
    HOUR,
    MINUTE,
    NOON,
    a_fleet,
    a_plan,
    a_release,
    a_report,
    ask,
    greet,
    row_of,
    say,
    started,
    told,
    waves_told,
)

pytestmark = pytest.mark.usefixtures("app")


def counted() -> int:
    """Return how many reports were counted."""
    return db.session.scalar(select(func.count()).select_from(ReportRow)) or 0


def test_a_report_counts_once_however_often_it_comes() -> None:
    (box,) = a_fleet(1)
    a_release()
    started(a_plan())
    report = a_report(box, Phase.UPDATED)

    for minutes in range(3):
        service.record_report(box, report, NOON + minutes * MINUTE)
        db.session.commit()

    assert counted() == 1
    assert row_of(box).ended_at == NOON


def test_reports_that_overtake_each_other_end_in_the_same_state() -> None:
    (box,) = a_fleet(1)
    a_release()
    started(a_plan())

    say(box, Phase.UPDATED, step=3)
    say(box, Phase.DOWNLOADING, step=1)
    say(box, Phase.CHECKING, step=2)

    assert counted() == 3
    assert (row_of(box).state, row_of(box).step) == ("updated", 3)


def test_a_report_about_another_boxes_assignment_counts_nothing() -> None:
    one, other = a_fleet(2)
    a_release()
    started(a_plan())

    service.record_report(other, a_report(one, Phase.UPDATED), NOON)
    for nonsense in ("AS-999", "AS-", "R-1", "AS-\uff11", "AS-" + "9" * 30):
        say(one, Phase.UPDATED, assignment_id=nonsense)
    say(one, Phase.UPDATED, attempt=2)
    say(one, Phase.UPDATED, step=0)
    say(one, Phase.UPDATED, step=2**62)

    assert counted() == 0
    assert (row_of(one).state, row_of(other).state) == ("assigned", "assigned")


def test_hostile_fields_of_a_report_do_not_stop_it_from_counting() -> None:
    (box,) = a_fleet(1)
    a_release()
    started(a_plan())
    report = a_report(box, Phase.FAILED, Reason.WRONG_CONTENT, detail="a\x00b" * 400)
    report = replace(
        report,
        header=replace(report.header, at_ms=2**62, id="x" * 400),
        version="v" * 400,
        running_slot="\x00\x00",
        done_bytes=2**62,
    )

    service.record_report(box, report, NOON)
    db.session.commit()

    assert counted() == 1
    assert row_of(box).done_bytes == 1000


def test_a_lease_is_signed_for_this_box_and_this_attempt() -> None:
    (box,) = a_fleet(1)
    a_release()
    started(a_plan(lease_s=600))

    answer = ask(box)

    assert (answer.device_id, answer.attempt, answer.granted) == (box, 1, True)
    assert answer.expires_ms == int((NOON + 10 * MINUTE).timestamp() * 1000)
    assert row_of(box).state == "leased"
    assert not ask(box, attempt=2).granted
    assert ask(box, assignment_id="AS-999").reason == "stopped"


def test_no_more_boxes_are_in_flight_than_planned() -> None:
    boxes = a_fleet(4)
    a_release()
    started(a_plan(in_flight_max=2))

    assert [ask(box).reason for box in boxes] == ["", "", "full", "full"]
    assert ask(boxes[0]).granted
    say(boxes[0], Phase.UPDATED)
    assert [ask(box).reason for box in boxes[2:]] == ["", "full"]


def test_a_lease_that_ran_out_frees_its_place_unless_progress_renews_it() -> None:
    boxes = a_fleet(3)
    a_release()
    started(a_plan(in_flight_max=2, lease_s=600))
    ask(boxes[0])
    ask(boxes[1])
    say(boxes[0], Phase.DOWNLOADING, now=NOON + 9 * MINUTE)

    assert ask(boxes[2], now=NOON + 9 * MINUTE).reason == "full"
    assert ask(boxes[2], now=NOON + 11 * MINUTE).granted
    assert ask(boxes[1], now=NOON + 11 * MINUTE).reason == "full"  # its place is taken by now
    assert ask(boxes[1], now=NOON + 20 * MINUTE).granted


def test_who_works_on_after_its_lease_ran_out_counts_but_arms_only_when_there_is_room() -> None:
    boxes = a_fleet(4)
    a_release()
    started(a_plan(in_flight_max=2, lease_s=600))
    late = NOON + 11 * MINUTE
    assert [ask(box).granted for box in boxes[:2]] == [True, True]
    assert [ask(box, now=late).granted for box in boxes[2:]] == [True, True]

    for box in boxes[:2]:
        say(box, Phase.DOWNLOADING, now=late)  # late, and both places are taken

    assert [ask(box, now=late, phase=LeasePhase.ARM).reason for box in boxes[:2]] == ["full"] * 2
    for box in boxes[2:]:
        say(box, Phase.UPDATED, now=late)
    assert ask(boxes[0], now=late, phase=LeasePhase.ARM).granted
    assert ask(boxes[1], now=late, phase=LeasePhase.ARM).granted


def test_nobody_begins_beside_a_box_that_works_on_without_a_place() -> None:
    boxes = a_fleet(3)
    a_release()
    started(a_plan(in_flight_max=1, lease_s=600))
    late = NOON + 11 * MINUTE
    assert ask(boxes[0]).granted
    say(boxes[0], Phase.DOWNLOADING, now=late)

    assert ask(boxes[1], now=late).reason == "full"
    assert ask(boxes[0], now=late, phase=LeasePhase.ARM).granted, "its place is still there"


def test_a_box_that_is_told_to_wait_for_its_window_is_not_silent() -> None:
    (box,) = a_fleet(1)
    a_release()
    started(a_plan(window=Window(2 * 60, 4 * 60)))

    assert ask(box).reason == "window"
    service.tick(NOON + 14 * HOUR)
    assert row_of(box).state == "assigned"
    assert ask(box, now=NOON + 14 * HOUR).granted
    assert ask(box, now=NOON + 16 * HOUR, phase=LeasePhase.ARM).reason == "window"
    service.tick(NOON + 38 * HOUR)
    assert row_of(box).state == "leased"
    service.tick(NOON + 39 * HOUR)
    assert row_of(box).state == "silent"


def test_a_box_that_comes_back_after_silence_is_served() -> None:
    (box,) = a_fleet(1)
    a_release()
    started(a_plan())
    service.tick(NOON + 2 * HOUR)
    assert row_of(box).state == "silent"

    assert ask(box, now=NOON + 3 * HOUR).granted
    assert row_of(box).state == "leased"
    assert row_of(box).ended_at is None


def test_a_hello_that_does_not_know_its_assignment_is_told_again() -> None:
    (box,) = a_fleet(1)
    a_release()
    started(a_plan())

    greet(box, assignment_seq=0, now=NOON + MINUTE)
    again = told(box)
    assert again is not None
    assert again.assignment is not None
    assert (again.assignment_seq, again.assignment.attempt) == (2, 1)

    greet(box, assignment_seq=2, now=NOON + 2 * MINUTE)
    assert told(box) == again


def test_a_hello_from_the_new_version_is_no_verdict_but_asks_for_one() -> None:
    (box,) = a_fleet(1)
    a_release()
    started(a_plan())

    greet(box, version="1.1.0", assignment_seq=1, now=NOON + MINUTE)

    assert row_of(box).state == "assigned"
    again = told(box)
    assert again is not None
    assert again.assignment_seq == 2


def test_a_hello_of_a_box_without_assignment_changes_nothing() -> None:
    (box,) = a_fleet(1)

    greet(box, assignment_seq=0, now=NOON)

    assert told(box) is None


def test_an_assignment_is_renewed_before_it_runs_out_and_cleared_after_the_verdict() -> None:
    (box,) = a_fleet(1)
    a_release()
    started(a_plan(silent_after_s=30 * 86_400))
    first = told(box)
    assert first is not None
    assert first.assignment is not None

    service.tick(NOON + 4 * DAY)
    assert told(box) == first
    service.tick(NOON + 5 * DAY + MINUTE)
    renewed = told(box)
    assert renewed is not None
    assert renewed.assignment is not None
    assert renewed.assignment.expires_ms > first.assignment.expires_ms
    assert renewed.assignment.attempt == 1

    say(box, Phase.UPDATED, now=NOON + 6 * DAY)
    service.tick(NOON + 6 * DAY)
    cleared = told(box)
    assert cleared is not None
    assert cleared.assignment is None
    assert cleared.assignment_seq > renewed.assignment_seq


def test_a_wave_is_signed_again_before_it_runs_out() -> None:
    a_fleet(1)
    a_release()
    started(a_plan(silent_after_s=60 * 86_400))
    (first,) = waves_told()

    service.tick(NOON + 19 * DAY)
    assert waves_told() == [first]
    service.tick(NOON + 21 * DAY)
    (again,) = waves_told()
    assert again.not_after_ms > first.not_after_ms
    assert (again.wave_id, again.not_before_ms) == (first.wave_id, first.not_before_ms)


def test_a_box_on_a_list_can_prove_that_it_is() -> None:
    boxes = a_fleet(7)
    a_release()
    listed = replace(EVERYBODY, share_until=None, device_ids=(*boxes[:5], "VX4109999"))
    started(a_plan(listed))

    (wave,) = waves_told()
    assert wave.cohort.merkle_root is not None
    for box in boxes[:5]:
        found = told(box)
        assert found is not None
        assert found.assignment is not None
        assert merkle_covers(wave.cohort.merkle_root, box, found.assignment.proof)
    assert told(boxes[5]) is None


def test_the_number_of_an_assignment_only_rises() -> None:
    (box,) = a_fleet(1)
    a_release()
    started(a_plan())
    device = db.session.get(Device, box)
    assert device is not None

    numbers = [device.assignment_seq]
    for minutes in (1, 2, 3):
        greet(box, assignment_seq=0, now=NOON + minutes * MINUTE)
        found = told(box)
        assert found is not None
        numbers.append(found.assignment_seq)

    assert numbers == [1, 2, 3, 4]


def test_a_box_that_lies_about_its_number_does_not_stop_the_others() -> None:
    liar, honest = a_fleet(2)
    db.session.execute(update(Device).where(Device.id == liar).values(assignment_seq=2**63 - 1))
    db.session.commit()
    a_release()

    started(a_plan())

    assert told(liar) is None
    assert told(honest) is not None
    assert {row_of(box).state for box in (liar, honest)} == {BoxState.ASSIGNED}
