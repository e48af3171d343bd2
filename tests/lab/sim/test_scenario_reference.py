import re
import tomllib
from dataclasses import fields
from pathlib import Path

from oleada_lab import scenario
from oleada_lab.fault_kinds import KINDS
from oleada_lab.faults import STRIKE

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "reference" / "scenarios.md").read_text()
TABLES = {
    "fleet.": scenario.Fleet,
    "profile.NAME.": scenario.Line,
    "release.": scenario.Release,
    "rollout.": scenario.Plan,
    "rollout.gate.": scenario.Gate,
    "rollout.evidence.": scenario.Evidence,
    "fault.": scenario.Fault,
    "random.": scenario.Chance,
    "explore.": scenario.Explore,
    "expect.": scenario.Expect,
    "limits.": scenario.Budget,
    "proc.": scenario.Proc,
}
TABLE_KEYS = {
    "fleet", "release", "rollout", "fault", "expect", "gate", "random", "explore", "limits",
    "profile", "proc",
}  # fmt: skip


def test_the_page_names_every_key_of_a_scenario() -> None:
    known = {one.name for one in fields(scenario.Scenario)} - TABLE_KEYS
    for prefix, shape in TABLES.items():
        known |= {prefix + one.name for one in fields(shape)}
    known -= {"rollout.gate", "rollout.evidence", "proc.profile"}
    known.add("proc.profile.NAME")
    wanted = {name.replace("release.start", "release.from") for name in known}

    named = set(re.findall(r"`([a-zA-Z_.]+)`", PAGE))

    assert wanted - named == set()


def test_the_page_lists_every_story_as_it_is() -> None:
    listed = dict(re.findall(r"^\| `([a-z0-9_]+)` \| (.+?) \|", PAGE.split("## Keys")[0], re.M))
    found = {
        path.stem: tomllib.loads(path.read_text())["story"].rstrip(".")
        for path in (ROOT / "lab" / "scenarios").glob("*.toml")
    }

    assert listed == found


def test_the_page_lists_every_kind_of_fault_as_it_is() -> None:
    listed = re.findall(r"^\| `([a-z_]+)` \| (\w+) \| (.+?) \|", PAGE, re.M)
    table = [row for row in listed if row[1] in {"box", "broker", "server"}]

    assert table == [(name, kind.on, kind.says) for name, kind in KINDS.items()]


def test_every_kind_that_strikes_a_box_has_its_hand() -> None:
    assert set(STRIKE) == {name for name, kind in KINDS.items() if kind.on == "box"}
