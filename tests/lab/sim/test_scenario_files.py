import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from oleada_lab.scenario import ScenarioError, load, parse

SCENARIOS = Path(__file__).parents[3] / "lab" / "scenarios"


def a_scenario() -> dict[str, Any]:
    """Return the tables of a scenario that is right."""
    return tomllib.loads((SCENARIOS / "power_cut.toml").read_text())


def changed(path: str, value: object) -> dict[str, Any]:
    """Return the tables with *value* at *path*, such as ``fleet.count``."""
    found = a_scenario()
    table: Any = found
    *way, last = path.split(".")
    for name in way:
        table = table[int(name)] if name.isdigit() else table[name]
    table[last] = value
    return found


def test_quantities_are_read_with_their_unit() -> None:
    found = parse(changed("release.size", "64KiB"))

    assert found.release.size == 65_536
    assert found.duration == 3 * 86_400
    assert found.rollout.gate.window == 1800
    assert found.release.start == "4.1.0"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("schema", "lab.scenario/2", "schema is 'lab.scenario/2'"),
        ("colour", "red", "scenario.colour is not known"),
        ("fleet.counts", 3, "scenario.fleet.counts is not known"),
        ("fault.0.laste", "3m", "is not known"),
        ("fleet.count", "many", "int was expected"),
        ("fleet.count", 0, "fleet.count is 1 to 100000"),
        ("fleet", 7, "a table was expected"),
        ("fleet.power_cut_share", 1.5, "shares are 0 to 1"),
        ("duration", 3600, "a number with one of ms, s, m, h, d"),
        ("duration", "1w", "a number with one of"),
        ("duration", "401d", "at most 400d"),
        ("level", ["vm"], "level contains sim"),
        ("level", "sim", "a list was expected"),
        ("release.behaviour", "odd", "one of good, unhealthy"),
        ("expect.rollout", "done", "expect.rollout is a state"),
        ("rollout.waves", [0.5, 0.1], "rollout.waves rises"),
        ("rollout.waves", [], "rollout.waves rises"),
        ("rollout.evidence", {"bad_share_max": 0.001}, "rollout.evidence: Evidence: more than"),
        ("rollout.evidence", {"start_boxes": 0}, "not one box may be at work"),
        ("release.breaks_from", "3.9.0", "release.from or fleet.old_version"),
        ("rollout.opens", "2h", "come together"),
        ("fault.0.kind", "flood", "one of power_cut, unplug"),
        ("fault.0.at", "3m", "either 'at' or 'when'"),
        ("fault.0.when", "state==dreaming", "state==downloading was expected"),
        ("fault.0.when", "back==dreaming", "state==downloading was expected"),
        ("rollout.goes_back", True, "goes_back is played with the server's services"),
        ("fault.0.target", "some", "all, 10%, device:3, region:north, broker or server is read"),
        ("fault.0.target", "900%", "all, 10%, device:3, region:north, broker or server is read"),
        ("fault.0.kind", "unplug", "a unplug has no 'lasts'"),
        ("fault.0.lasts", "10", "a number with one of"),
        ("fault.0.target", "broker", "strikes a box; its target is 'broker'"),
        ("fault.0.target", "region:north", "fleet.regions has no such name"),
        ("fault.0.persistence", "some", "keep_all, lose_all"),
        ("fault.0.kind", "clock", "a clock needs 'by'"),
        ("fault.0.kind", "drift", "a drift needs 'amount'"),
        ("fault.0.profile", "villa", "is called so"),
        ("seed", "7..", "a number or sweep:1..500"),
        ("seed", "9..3", "names no seed"),
        ("seed", True, "str was expected"),
        ("expect.invariants", ["S1", "X*"], "No invariant is called 'X*'"),
        ("fleet.profile", "hotel", "fleet.profile is a table"),
        ("fleet.regions", {"north": 0.7, "south": 0.6}, "shares are 0 to 1"),
        ("fleet.regions", [], "a table was expected"),
        ("fleet.old_share", 0.1, "needs fleet.old_version"),
        ("profile", {"hotel": {"burst": [0.1]}}, "burst has four numbers"),
        ("profile", {"hotel": {"rtt": "1x"}}, "scenario.profile.hotel.rtt is '1x'"),
        ("profile", {"hotel": {"nat_timeout": "1500ms"}}, "whole seconds were expected"),
        ("release.behaviour", "crash_after:soon", "release.behaviour is crash_after:20m or"),
        ("explore", {"axis": "time"}, "one of disk_op, tick_commit, server_commit is read"),
        ("explore", {"axis": "tick_commit", "persistence": ["torn"]}, "a commit is whole or not"),
        ("explore", {"axis": "disk_op", "persistence": ["half"]}, "keep_all, lose_all"),
        ("random", [{"kind": "power_cut", "rate": "often", "lasts": "5m"}], "0.1/device/day"),
        ("random", [{"kind": "power_cut", "rate": "1/device/day"}], "needs 'lasts'"),
        ("random", [{"kind": "pause", "rate": "1/device/day", "target": "server"}], "no box"),
    ],
)
def test_what_is_wrong_in_a_scenario_is_refused_and_named(
    path: str, value: object, said: str
) -> None:
    with pytest.raises(ScenarioError, match=re.escape(said)):
        parse(changed(path, value))


def test_a_key_that_is_missing_is_named() -> None:
    found = a_scenario()
    del found["release"]["to"]

    with pytest.raises(ScenarioError, match=r"scenario\.release\.to is missing"):
        parse(found)


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "story.toml").write_text("schema = ")

    with pytest.raises(ScenarioError, match="is not TOML"):
        load(tmp_path / "story.toml")


def test_the_hash_covers_what_was_left_out() -> None:
    explicit = changed("rollout.lease", "1h")

    assert parse(explicit).sha256 == parse(a_scenario()).sha256
    assert parse(changed("rollout.lease", "2h")).sha256 != parse(a_scenario()).sha256


@pytest.mark.parametrize(
    ("text", "seeds"), [("7", [7]), ("2..4", [2, 3, 4]), ("sweep:1..2", [1, 2])]
)
def test_a_seed_names_one_run_or_many(text: str, seeds: list[int]) -> None:
    assert list(parse(changed("seed", text)).seeds) == seeds


def test_a_moment_may_lie_before_another() -> None:
    found = changed("fault.0.kind", "clock")
    found["fault"][0]["by"] = "-10d"

    assert parse(found).fault[0].by == -10 * 86_400_000
