import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from oleada_lab import stories
from oleada_lab.cli import main
from oleada_lab.scenario import Fault, Scenario, load
from oleada_server.rollouts.states import BoxState

SCENARIOS = Path(__file__).parents[3] / "lab" / "scenarios"
ROW = re.compile(r"[a-z]\d_")  # test_rows.py plays these
FILES = sorted(path for path in SCENARIOS.glob("*.toml") if not ROW.match(path.name))


def small(name: str, **changed: Any) -> Scenario:
    """Return the scenario *name* with few boxes, over rows; test_rows.py has the services."""
    found = load(SCENARIOS / f"{name}.toml")
    return replace(found, fleet=replace(found.fleet, count=20), server="rows", **changed)


@cache
def ending_of(name: str) -> stories.Ending:
    """Play the story *name* as its file says, once for all who ask how it ends."""
    return stories.play(load(SCENARIOS / f"{name}.toml"))


@pytest.mark.parametrize("name", [file.stem for file in FILES])
def test_a_story_ends_as_it_says(name: str) -> None:
    assert ending_of(name).wrong == ()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_plug_pulled_at_any_write_breaks_a_box(seed: int) -> None:
    everybody = small("power_cut", fault=())
    everybody = replace(everybody, fleet=replace(everybody.fleet, power_cut_share=1.0))
    everybody = replace(everybody, expect=replace(everybody.expect, boxes_updated_min=20))

    assert stories.play(everybody, seed).wrong == ()


def test_the_bad_release_is_stopped_by_its_canaries() -> None:
    lines = ending_of("bad_release").lines

    assert lines[0] == "01 00:05 wave 1 opens for 16 boxes"
    assert re.match(r"01 00:1\d halted: wave 1: ", lines[1])
    assert len(lines) == 3


def test_who_kept_a_release_that_halted_goes_back_and_who_refuses_stays_in_sight() -> None:
    lines = ending_of("back_after_harm").lines

    assert "01 01:46 4 boxes are to go back to 4.1.0" in lines
    assert lines[-2].endswith(
        "back to 4.1.0: held: wave 1: 3 of 4 are updated, fewer than 95%, and no other box is at it"
    )
    assert " halted; 4 updated, 2 rolled_back; " in lines[-1]


def test_a_wave_is_held_for_silence_and_goes_on_after_a_late_report() -> None:
    lines = ending_of("silent_box").lines

    assert any("held: wave 1: 3 of 34 are silent, more than 6%" in line for line in lines)
    assert lines[-1].startswith("02 ")


def test_a_wrong_ending_is_named() -> None:
    hopeful = small("bad_release")
    hopeful = replace(hopeful, release=replace(hopeful.release, unhealthy_share=1.0))
    hopeful = replace(hopeful, expect=replace(hopeful.expect, rollout="finished", reason="x"))

    assert stories.play(hopeful).wrong[0] == "the rollout is halted; finished was expected"


@pytest.mark.parametrize("behaviour", ["hang", "no_network", "crash", "unhealthy"])
def test_a_release_that_breaks_every_box_reaches_one_wave_and_leaves_no_brick(
    behaviour: str,
) -> None:
    found = small("bad_release")
    found = replace(
        found,
        release=replace(found.release, behaviour=behaviour, unhealthy_share=0.0),
        rollout=replace(found.rollout, waves=(0.5, 1.0)),
    )
    ending = stories.play(found)

    assert ending.wrong == ()
    assert ending.states.get(BoxState.UPDATED, 0) == 0
    assert ending.states[BoxState.QUEUED] > 0


def test_the_same_seed_tells_the_same_story_and_another_seed_another() -> None:
    found = small("power_cut")

    assert stories.play(found).trace_hash == stories.play(found).trace_hash
    assert stories.play(found).trace_hash != stories.play(found, seed=8).trace_hash


def test_the_command_says_by_its_exit_whether_a_story_ended_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = (SCENARIOS / "bad_release.toml").read_text().replace("count = 400", "count = 40")
    good = good.replace("unhealthy_share = 0.20", "unhealthy_share = 1.0")
    (tmp_path / "good.toml").write_text(good)
    (tmp_path / "bad.toml").write_text(good.replace('"halted"', '"finished"'))

    assert main(["play", str(tmp_path / "good.toml")]) == 0
    assert main(["play", str(tmp_path / "bad.toml")]) == 1
    assert main(["play", str(tmp_path / "none.toml")]) == 1
    assert "stories here: bad, good" in capsys.readouterr().err


def test_a_fault_that_waits_for_a_phase_strikes_only_then() -> None:
    never = Fault(kind="unplug", target="all", when="state==declined")
    found = small("good_release", fault=(never,))
    found = replace(found, expect=replace(found.expect, boxes_updated_min=20))

    assert stories.play(found).wrong == ()
