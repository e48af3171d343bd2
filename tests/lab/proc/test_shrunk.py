"""A story of hundreds of boxes and days, as a handful of real boxes plays it in a minute."""

from dataclasses import replace
from pathlib import Path

import pytest
from oleada_lab.proc.shrunk import Shrunk
from oleada_lab.scenario import Duration, Fault, Moment, load

SCENARIOS = Path(__file__).parents[3] / "lab" / "scenarios"
POWER_CUT = load(SCENARIOS / "power_cut.toml")
REGIONS = load(SCENARIOS / "n6_region_dark.toml")


def a_run(seed: int = 1, count: int = 4, hour: int = 60_000) -> Shrunk:
    proc = replace(POWER_CUT.proc, count=count, hour=Moment(hour), faults=Duration(120))
    return Shrunk(replace(POWER_CUT, proc=proc), seed)


def test_an_hour_of_the_story_takes_what_it_is_told_to() -> None:
    run = a_run(hour=30_000)

    assert run.seconds(3600) == 30
    assert run.story_s(30) == 3600
    assert run.starts_s == 2.5


def test_a_fault_lasts_long_enough_to_be_noticed() -> None:
    run = a_run()

    assert run.lasting(Fault("power_cut", "all", lasts=Duration(60))) == 3
    assert run.lasting(Fault("power_cut", "all", lasts=Duration(3600))) == 60


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_every_box_is_in_one_wave_and_no_wave_is_empty(count: int) -> None:
    sizes = a_run(count=count).wave_sizes()

    assert sum(sizes) == count
    assert all(size > 0 for size in sizes)


def test_the_plan_names_every_box_once_in_its_order() -> None:
    plan = a_run().plan("4.2.0", ["A", "B", "C", "D"])

    assert [wave["device_ids"] for wave in plan["waves"]] == [["A"], ["B", "C", "D"]]
    assert plan["waves"][0]["failed_share_max"] == 0.0
    assert plan["waves"][0]["soak_s"] == 30


def test_a_share_strikes_somebody_even_in_a_small_fleet() -> None:
    run = a_run()

    assert len(run.targets("5%", "fault/1")) == 1
    assert len(run.targets("50%", "fault/1")) == 2
    assert run.targets("all", "fault/1") == [0, 1, 2, 3]
    assert run.targets("device:7", "fault/1") == [2]


@pytest.mark.parametrize("seed", range(20))
def test_somebody_of_the_first_wave_is_struck_while_the_fault_lasts(seed: int) -> None:
    run = a_run(seed, 8)

    found = run.targets("25%", "fault/0")

    assert len(set(found)) == 2
    assert min(found) < run.wave_sizes()[0]


def test_the_same_seed_strikes_the_same_boxes() -> None:
    drawn = [a_run(seed, 12).targets("50%", "fault/0") for seed in (1, 1, 2)]

    assert drawn[0] == drawn[1] != drawn[2]


def test_nobody_lives_in_two_regions() -> None:
    run = Shrunk(REGIONS, 1)

    north, south = run.region("north"), run.region("south")

    assert north
    assert south
    assert not set(north) & set(south)


def test_what_comes_again_and_again_ends_with_the_faults() -> None:
    run = a_run()

    assert run.times(Fault("replay", "broker", every=Duration(3600))) == [60]
    assert run.times(Fault("replay", "broker", at=Duration(1800))) == [30]
    assert run.times(Fault("replay", "all", when="state==checking")) == []


def test_a_swarm_leaves_faults_out_of_every_seed_but_the_first() -> None:
    first = POWER_CUT.seeds[0]

    assert len(Shrunk(POWER_CUT, first).faults()) == len(POWER_CUT.fault)
    kept = {len(Shrunk(POWER_CUT, seed).faults()) for seed in range(100, 130)}
    assert kept == {0, 1, 2}


def test_what_is_expected_of_a_fleet_is_expected_of_a_handful() -> None:
    expect = a_run().within().scenario.expect

    assert expect.boxes_updated_min == 4
    assert expect.boxes_silent_min == 0
    assert expect.boxes_failed_max > 0


def test_a_line_that_real_images_need_stands_for_the_one_of_the_story() -> None:
    story = load(SCENARIOS / "n1_lossy_lines.toml")

    assert story.profile["rural"].rate == 2048
    assert Shrunk(story, 1).line("rural").rate == 200 * 1024
    assert Shrunk(story, 1).line("home").loss == 0
