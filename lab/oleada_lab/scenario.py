"""A scenario: a story with an ending, in TOML (``schema = "lab.scenario/1"``).

What may stand in it is in ``scenario_shapes``, what its values must be in ``scenario_check``.
"""

import tomllib
from pathlib import Path
from typing import Any, Final

from oleada_lab import scenario_check
from oleada_lab.scenario_read import Duration, Moment, ScenarioError, Size, table
from oleada_lab.scenario_shapes import (
    ROWS,
    SERVICES,
    SERVICES_BOXES_MAX,
    Budget,
    Chance,
    Evidence,
    Expect,
    Explore,
    Fault,
    Fleet,
    Gate,
    Line,
    Plan,
    Proc,
    Release,
    Scenario,
    seeds_of,
)

__all__ = [
    "ROWS",
    "SCHEMA",
    "SERVICES",
    "SERVICES_BOXES_MAX",
    "Budget",
    "Chance",
    "Duration",
    "Evidence",
    "Expect",
    "Explore",
    "Fault",
    "Fleet",
    "Gate",
    "Line",
    "Moment",
    "Plan",
    "Proc",
    "Release",
    "Scenario",
    "ScenarioError",
    "Size",
    "load",
    "parse",
    "seeds_of",
]

SCHEMA: Final = "lab.scenario/1"


def load(path: Path) -> Scenario:
    """Return the scenario in *path*.

    Raises:
        ScenarioError: It is not there, is no TOML, has an unknown key or schema, or a
            value that makes no sense.
    """
    try:
        found = tomllib.loads(path.read_text())
    except OSError as error:
        known = ", ".join(sorted(each.stem for each in path.parent.glob("*.toml"))) or "none"
        raise ScenarioError(f"{path} can not be read; stories here: {known}.") from error
    except (ValueError, RecursionError) as error:
        raise ScenarioError(f"{path} is not TOML: {error}.") from error
    try:
        return parse(found)
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from error


def parse(found: dict[str, Any]) -> Scenario:
    """Return the scenario that the tables *found* describe; see :func:`load`."""
    if found.get("schema") != SCHEMA:
        raise ScenarioError(f"schema is {found.get('schema')!r}; {SCHEMA!r} is what is read.")
    renamed = dict(found)
    if isinstance(release := renamed.get("release"), dict) and "from" in release:
        renamed["release"] = {"start": release["from"]} | {
            key: value for key, value in release.items() if key != "from"
        }
    if type(renamed.get("seed")) is int:
        renamed["seed"] = str(renamed["seed"])
    scenario = table(Scenario, renamed, "scenario")
    seeds_of(scenario.seed)
    scenario_check.check(scenario)
    return scenario
