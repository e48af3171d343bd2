"""What a sweep with real processes says, and that it fails when the levels disagree."""

import argparse
from collections.abc import Sequence
from dataclasses import replace

import pytest
from oleada_lab.errors import LabError
from oleada_lab.real import cli, tools
from oleada_lab.real.cuts import Cut
from oleada_lab.real.kinds import Choice
from oleada_lab.real.report import Swept, is_well, to_json, to_text
from oleada_lab.real.steps import Step
from oleada_lab.real.twin import Cuts, Twin
from oleada_lab.real.verdict import Fate, Verdict
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import Op

ARMING = Step("Armed", "pwrite", "boot/control")
TWIN = Twin([ARMING], Cuts(fates={(ARMING, Kept.NONE): frozenset({Fate.WELL})}))
CUT = Cut(7, Op(7, "pwrite", "boot/control.1"), Kept.NONE, Verdict(Fate.WELL), stage="Armed")
STUCK = replace(CUT, verdict=Verdict(Fate.STUCK, "The box still runs 5.8.1."))


def figures(*cuts: Cut, twin: Twin = TWIN, steps: Sequence[Step] = (ARMING,)) -> dict[str, object]:
    return {**to_json([Swept("fuse", 430, 1, cuts, steps, twin)], ["lose_all"]), "wall_s": 1.5}


def test_boxes_that_are_well_in_both_levels_are_a_success() -> None:
    found = figures(CUT, replace(CUT, is_equal=True))

    assert is_well(found)
    assert (found["cuts"], found["recoveries"], found["disagreements"]) == (2, 1, 0)


def test_a_box_that_fails_where_virtual_time_says_it_is_well_is_both_stuck_and_a_disagreement() -> (
    None
):
    found = figures(STUCK)

    assert not is_well(found)
    assert (found["stuck"], found["disagreements"]) == (1, 1)
    said = to_text(found)
    assert "stuck after pwrite boot/control.1, lose_all: The box still runs 5.8.1." in said
    assert "again: oleada-lab sweep power --real --kind fuse --at 7 --modes lose_all" in said


def test_a_box_that_is_well_where_virtual_time_says_it_is_stuck_is_a_disagreement_too() -> None:
    stuck = Twin([ARMING], Cuts(fates={(ARMING, Kept.NONE): frozenset({Fate.STUCK})}))

    assert figures(CUT, twin=stuck)["disagreements"] == 1
    assert not is_well(figures(CUT, twin=stuck))


def test_a_box_that_writes_otherwise_is_a_disagreement_however_well_it_is() -> None:
    found = figures(CUT, steps=[ARMING, Step("", "create", "data/secret")])

    assert found["disagreements"] == 1
    assert "data/secret: really [create data/secret]; simulated []" in to_text(found)


def test_a_cut_that_virtual_time_does_not_have_must_end_well() -> None:
    telemetry = replace(STUCK, after=Op(9, "create", "data/outbox/0000000001-health-0f.tmp"))

    assert figures(telemetry)["disagreements"] == 1
    assert figures(replace(telemetry, verdict=CUT.verdict))["disagreements"] == 0


def test_a_fault_is_told_by_its_name_and_held_against_nothing() -> None:
    found = figures(replace(STUCK, fault="erofs"))

    assert (found["stuck"], found["disagreements"]) == (1, 0)
    assert "boot/control.1, erofs:" in to_text(found)


def test_a_step_whose_stage_was_not_seen_is_held_against_every_stage() -> None:
    both = Twin(
        [ARMING],
        Cuts(
            fates={
                (ARMING, Kept.ALL): frozenset({Fate.WELL}),
                (ARMING._replace(stage="Trial"), Kept.ALL): frozenset({Fate.STUCK}),
            }
        ),
    )

    cut = replace(CUT, kept=Kept.ALL)
    assert both.of(replace(cut, stage="")) == {Fate.WELL, Fate.STUCK}
    assert both.of(cut) == {Fate.WELL}
    assert both.of(CUT) == frozenset()


def test_a_killed_box_that_ends_otherwise_than_the_recorded_one_fails_the_sweep() -> None:
    recorded = replace(CUT, name="pwrite boot/control 3")
    killed = replace(recorded, is_killed=True)

    assert is_well(figures(recorded, killed))
    found = figures(recorded, replace(killed, verdict=STUCK.verdict))

    assert (found["cuts"], found["killed"], found["killed_otherwise"]) == (1, 1, 1)
    assert not is_well(found)


def test_every_so_many_operations_and_always_the_last_one() -> None:
    assert Choice((), every=4).of(10) == [1, 5, 9, 10]
    assert Choice((), at=3).of(10) == [3]
    assert Choice((), killed=2).to_kill([1, 5, 9]) == [1, 9]
    assert Choice((), killed=0).to_kill([1, 5, 9]) == []
    with pytest.raises(LabError, match="no operation 11; the update has 10"):
        Choice((), at=11).of(10)


def test_a_machine_that_can_not_sweep_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "missing", lambda *names: "fuse: there is no water.")
    options = {"kind": ["fuse"], "every": 1, "jobs": 1, "at": None, "json": False, "seed": 1,
               "killed": 0, "keep": None, "mutant": None, "double": "2"}  # fmt: skip

    with pytest.raises(LabError, match="there is no water"):
        cli.run(argparse.Namespace(**options), [Kept.NONE], None)
