import re
from dataclasses import fields
from pathlib import Path

from oleada_lab import scenario

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "reference" / "scenarios.md").read_text()
TABLES = {
    "fleet.": scenario.Fleet,
    "release.": scenario.Release,
    "rollout.": scenario.Plan,
    "rollout.gate.": scenario.Gate,
    "fault.": scenario.Fault,
    "expect.": scenario.Expect,
}
TABLE_KEYS = {"fleet", "release", "rollout", "fault", "expect", "gate"}


def test_the_page_names_every_key_of_a_scenario() -> None:
    known = {one.name for one in fields(scenario.Scenario)}
    for prefix, shape in TABLES.items():
        known |= {prefix + one.name for one in fields(shape)}
    known = {name.replace("release.start", "release.from") for name in known}
    wanted = {name for name in known if name.split(".")[-1] not in TABLE_KEYS}

    named = set(re.findall(r"`([a-z_.]+)`", PAGE))

    assert wanted - named == set()


def test_the_page_lists_every_story() -> None:
    stories = {path.stem for path in (ROOT / "lab" / "scenarios").glob("*.toml")}

    assert set(re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.M)) >= stories
