"""What the lab calls a brick, a box that is stuck, and a lie."""

from dataclasses import replace

import pytest
from oleada_lab.real.verdict import Fate, Goal, Seen, is_done, judge
from oleada_wire.ids import BootId
from oleada_wire.messages import Header, Hello, Report
from oleada_wire.words import BootReason, Phase, Reason

GOAL = Goal("5.8.2", "ab" * 32)
HEADER = Header("f" * 32, 0, BootId(7, "0a1b2c3d"), 1)
HELLO = Hello(HEADER, "VX-410", "SN-1", "B", "5.8.2", 3, (), "0", "UTC", BootReason.POWER_ON, 0, 0)
UPDATED = Report(HEADER, "A-1", 1, 8, Phase.UPDATED, "5.8.2", "B")
PROGRESS = Report(HEADER, "A-1", 1, 2, Phase.DOWNLOADING, "5.8.1", "A", 100)
WELL = Seen((HELLO,), (PROGRESS, UPDATED), ("B", "5.8.2"), GOAL.sha256, "Idle", True, True)


def test_a_box_that_runs_what_it_should_and_said_so_once_is_well() -> None:
    assert judge(WELL, GOAL).fate is Fate.WELL
    assert is_done(WELL, GOAL)


def test_a_report_that_comes_twice_counts_once() -> None:
    assert judge(replace(WELL, reports=(UPDATED, UPDATED)), GOAL).fate is Fate.WELL


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (replace(WELL, booted=None, hellos=()), "No slot started"),
        (replace(WELL, is_on=False, hellos=()), "No slot started"),
    ],
)
def test_a_box_in_which_nothing_speaks_any_more_is_a_brick(seen: Seen, why: str) -> None:
    found = judge(seen, GOAL)

    assert found.fate is Fate.BRICK
    assert why in found.why


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (replace(WELL, hellos=()), "never spoke"),
        (
            replace(WELL, hellos=(replace(HELLO, version="5.8.1"),), booted=("A", "5.8.1"),
                    reports=(PROGRESS,), slot_sha256="cd" * 32),
            "still runs 5.8.1",
        ),
        (replace(WELL, reports=(PROGRESS,)), "no verdict"),
        (
            replace(WELL, reports=(replace(UPDATED, phase=Phase.FAILED, reason=Reason.STORAGE,
                                           detail="no room"),)),
            "no room",
        ),
        (replace(WELL, is_proven=False), "does not call"),
        (replace(WELL, stage="Trial"), "stays in Trial"),
    ],
)  # fmt: skip
def test_a_box_that_does_not_come_to_its_goal_is_stuck(seen: Seen, why: str) -> None:
    found = judge(seen, GOAL)

    assert found.fate is Fate.STUCK
    assert why in found.why
    assert not is_done(seen, GOAL)


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (
            replace(WELL, reports=(UPDATED, replace(UPDATED, step=9, phase=Phase.ROLLED_BACK))),
            "2 verdicts",
        ),
        (replace(WELL, hellos=(replace(HELLO, version="5.8.1"),)), "says it runs 5.8.1"),
        (replace(WELL, slot_sha256="cd" * 32), "says it was updated"),
        (
            replace(WELL, booted=("A", "5.8.1"), hellos=(replace(HELLO, version="5.8.1"),)),
            "says it was updated",
        ),
    ],
)
def test_a_box_that_says_what_is_not_so_lies(seen: Seen, why: str) -> None:
    found = judge(seen, GOAL)

    assert found.fate is Fate.LIE
    assert why in found.why


def test_what_was_true_when_it_was_told_is_no_lie_though_the_medium_forgets_it_later() -> None:
    forgot = replace(
        WELL,
        hellos=(replace(HELLO, version="5.8.0"),),
        booted=("B", "5.8.0"),
        slot_sha256="cd" * 32,
    )

    assert judge(replace(forgot, before=2), GOAL).fate is Fate.STUCK
    assert judge(replace(forgot, before=1), GOAL).fate is Fate.LIE


ROLLED_BACK = replace(
    UPDATED, phase=Phase.ROLLED_BACK, reason=Reason.UNBOOTABLE, version="5.8.1", running_slot="A"
)
BACK = replace(
    WELL,
    hellos=(replace(HELLO, version="5.8.1", running_slot="A"),),
    reports=(PROGRESS, ROLLED_BACK),
    booted=("A", "5.8.1"),
)


def test_a_box_that_was_to_fall_back_is_well_with_its_old_image_and_the_right_reason() -> None:
    goal = Goal("5.8.1", GOAL.sha256, Phase.ROLLED_BACK, Reason.UNBOOTABLE)
    other = replace(ROLLED_BACK, reason=Reason.HEALTH_CHECK)
    kept = replace(UPDATED, version="5.8.1")

    assert judge(BACK, goal).fate is Fate.WELL
    assert judge(replace(BACK, reports=(other,)), goal).fate is Fate.STUCK
    assert judge(replace(BACK, reports=(kept,)), goal).fate is Fate.LIE
    assert judge(BACK, GOAL).fate is Fate.STUCK
