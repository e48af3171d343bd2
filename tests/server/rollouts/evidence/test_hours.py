"""An hour of boxes: what counts once, what is watched at all, and who is compared with whom."""

from dataclasses import replace
from random import Random

import pytest
from oleada_server.rollouts.evidence.control import Hour, log_e_of_kinds
from oleada_server.rollouts.evidence.hours import BoxHour, Counted, count

KINDS = ("crash", "slow_zap", "dark")
WAITS = BoxHour(stratum=1, region="north", is_updated=False, spoke_before=12, spoke=True)
RUNS = replace(WAITS, is_updated=True)
CRASH = frozenset({"crash"})


def hour(kind: str, *boxes: BoxHour) -> Hour | None:
    """Return the hour of one kind; None where nothing is said."""
    found = [one.hour for one in count(boxes, KINDS) if one.hour.kind == kind]
    return found[0] if found else None


def test_bad_hours_of_each_side_are_among_its_hours() -> None:
    boxes = [RUNS, RUNS, replace(RUNS, troubles=CRASH), WAITS, replace(WAITS, troubles=CRASH)]

    assert hour("crash", *boxes) == Hour(3, 1, 2, 1, "crash")
    assert hour("dark", *boxes) == Hour(3, 0, 2, 0, "dark")


def test_a_box_that_had_the_same_trouble_before_is_not_watched_for_it() -> None:
    chronic = replace(RUNS, troubles=CRASH, lately=CRASH)
    flaky = replace(RUNS, spoke=False, lately=frozenset({"dark"}))

    assert hour("crash", chronic, RUNS, WAITS) == Hour(1, 0, 1, 0, "crash")
    assert hour("slow_zap", chronic, RUNS, WAITS) == Hour(2, 0, 1, 0, "slow_zap")
    assert hour("dark", flaky, RUNS, WAITS) == Hour(1, 0, 1, 0, "dark")


def test_a_box_that_does_not_report_a_figure_says_nothing_of_it() -> None:
    mute = replace(RUNS, mute_of=frozenset({"slow_zap"}))

    assert hour("slow_zap", mute, WAITS) is None
    assert hour("slow_zap", mute, RUNS, WAITS) == Hour(1, 0, 1, 0, "slow_zap")
    assert hour("crash", mute, WAITS) == Hour(1, 0, 1, 0, "crash")


def test_a_box_that_was_not_heard_has_no_hour_unless_trouble_is_all_that_it_said() -> None:
    gone = replace(RUNS, spoke=False)

    assert hour("crash", gone, RUNS, WAITS) == Hour(1, 0, 1, 0, "crash")
    assert hour("crash", replace(gone, troubles=CRASH), WAITS) == Hour(1, 1, 1, 0, "crash")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"spoke": False}, Hour(2, 1, 1, 0, "dark")),
        ({"spoke": False, "is_habit": True}, Hour(1, 0, 1, 0, "dark")),
        ({"spoke": False, "spoke_before": 1}, Hour(1, 0, 1, 0, "dark")),
        ({"spoke": False, "spoke_before": 0}, Hour(1, 0, 1, 0, "dark")),
    ],
)
def test_a_box_is_dark_once_when_it_falls_silent_and_not_by_habit(
    changes: dict[str, object], expected: Hour
) -> None:
    assert hour("dark", replace(RUNS, **changes), RUNS, WAITS) == expected  # type: ignore[arg-type]


def test_where_nobody_at_all_is_heard_nobody_is_dark() -> None:
    deaf = [replace(one, spoke=False) for one in (RUNS, RUNS, WAITS)]

    assert hour("dark", *deaf) is None


def test_boxes_are_compared_with_those_of_their_version_and_region_alone() -> None:
    south = replace(RUNS, region="south", troubles=CRASH)
    other = replace(RUNS, stratum=2)
    boxes = [south, RUNS, WAITS, other, replace(WAITS, stratum=2)]

    assert count(boxes, ("crash",)) == [
        Counted(1, Hour(1, 0, 1, 0, "crash"), 0), Counted(2, Hour(1, 0, 1, 0, "crash"), 0),
    ]  # fmt: skip


def test_a_region_that_goes_dark_says_nothing_though_most_of_its_boxes_were_updated() -> None:
    """The first wave was that region; what waits is nearly all elsewhere."""
    south_runs, south_waits = replace(RUNS, region="south"), replace(WAITS, region="south")
    gone = [replace(one, spoke=False) for one in [RUNS] * 900 + [WAITS] * 10]

    found = hour("dark", *gone, *[south_runs] * 50, *[south_waits] * 450)

    assert found is not None
    assert log_e_of_kinds((found,), 1.2) < 1


def test_of_regions_that_were_updated_alike_every_box_counts() -> None:
    south = [replace(one, region="south") for one in (RUNS, WAITS, WAITS)]

    assert hour("crash", *south, RUNS, RUNS, *[WAITS] * 4) == Hour(3, 0, 6, 0, "crash")


def test_a_few_updated_boxes_in_regions_of_any_size_keep_enough_beside_them() -> None:
    sizes = {"a": (4, 200), "b": (1, 200), "c": (3, 200), "d": (2, 200)}
    boxes = [
        replace(side, region=region)
        for region, (runs, waits) in sizes.items() for side in [RUNS] * runs + [WAITS] * waits
    ]  # fmt: skip

    assert hour("crash", *boxes) == Hour(10, 0, 500, 0, "crash")


def test_what_came_too_late_is_counted_as_that_and_in_no_hour() -> None:
    boxes = [replace(RUNS, late=("crash", "crash")), replace(WAITS, late=("crash",))]

    assert count(boxes, ("crash",)) == [Counted(1, Hour(1, 0, 1, 0, "crash"), 3)]


def test_a_few_boxes_that_always_crash_never_make_a_good_release_look_bad() -> None:
    """One in a hundred crashes each hour, whatever it runs; all of those were updated first."""
    crashing = [replace(RUNS, troubles=CRASH, lately=CRASH) for _ in range(10)]
    boxes = [*crashing, *[RUNS] * 490, *[WAITS] * 500]

    hours = tuple(one.hour for _ in range(200) for one in count(boxes, ("crash",)))

    assert log_e_of_kinds(hours, 1.2) <= 0


def test_equal_rates_halt_hardly_ever_however_often_one_looks() -> None:
    """Sixty rollouts of two days, judged every third hour at a chance of half a per cent."""
    dice, halted = Random(7), 0
    for _ in range(60):
        hours: list[Hour] = []
        for _ in range(48):
            boxes = [
                replace(side, troubles=CRASH if dice.random() < 0.02 else frozenset())
                for side in (RUNS, WAITS) for _ in range(30)
            ]  # fmt: skip
            hours += [one.hour for one in count(boxes, ("crash",))]
        halted += any(log_e_of_kinds(tuple(hours[:upto]), 1.0) >= 5.3 for upto in range(1, 49, 3))

    assert halted <= 2
