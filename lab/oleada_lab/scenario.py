"""A scenario: a story with an ending, in TOML (``schema = "lab.scenario/1"``).

A key that is not known is refused, because a fault that is misspelt would be a fault that
never happens. Durations are ``90s``, ``30m``, ``2h`` or ``1d``, sizes ``64KiB`` or ``1MiB``,
shares 0 to 1. docs/reference/scenarios.md has the table.
"""

import hashlib
import json
import re
import tomllib
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, get_type_hints

from oleada_agent.boot.choice import Behaviour
from oleada_server.rollouts.states import RolloutState
from oleada_wire.words import Phase

from oleada_lab.errors import LabError

SCHEMA: Final = "lab.scenario/1"
BOXES_MAX: Final = 5_000
DURATION_S_MAX: Final = 5 * 86_400
"""Assignments are not renewed in a story, and are believed for seven days."""
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SIZES: Final = {"B": 1, "KiB": 1024, "MiB": 1024 * 1024}

T = TypeVar("T")


class ScenarioError(LabError):
    """A scenario can not be read; says which key and why."""


class Duration(int):
    """Seconds, written as ``30m``."""


class Size(int):
    """Bytes, written as ``64KiB``."""


HALF_AN_HOUR: Final = Duration(1800)
AN_HOUR: Final = Duration(3600)
FOUR_HOURS: Final = Duration(4 * 3600)
A_DAY: Final = Duration(86_400)
A_MINUTE: Final = Duration(60)
A_SMALL_IMAGE: Final = Size(16 * 1024)


@dataclass(frozen=True, slots=True)
class Fleet:
    """The boxes: how many, and how many lose power once at a random flash write."""

    count: int
    model: str = "VX-410"
    power_cut_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Release:
    """What is rolled out.

    Attributes:
        behaviour: Of the new version on every box.
        unhealthy_share: Of boxes on which it is ``unhealthy`` instead.
    """

    start: str
    to: str
    size: Size = A_SMALL_IMAGE
    behaviour: str = "good"
    unhealthy_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Gate:
    """What a wave must keep before the next one opens; *window* is the soak."""

    max_fail_share: float = 0.02
    min_success_share: float = 0.95
    max_silent_share: float = 0.05
    min_observed: int = 10
    window: Duration = HALF_AN_HOUR


@dataclass(frozen=True, slots=True)
class Plan:
    """The rollout: cumulative shares, and the limits of every wave."""

    waves: tuple[float, ...]
    gate: Gate = field(default_factory=Gate)
    silent_after: Duration = FOUR_HOURS
    attempts_max: int = 3
    in_flight_max: int = 1000
    spread: Duration = A_MINUTE
    lease: Duration = AN_HOUR


@dataclass(frozen=True, slots=True)
class Fault:
    """The plug of some boxes is pulled, at a time or when they report a phase.

    Attributes:
        target: ``all``, a share such as ``10%``, or ``device:<number>`` from 1.
        at: Since the beginning; or *when*.
        when: ``state==<phase>``; or *at*.
        times: How often for each box, with *when*.
        lasts: When the plug is put in again; None for never.
    """

    kind: str
    target: str
    at: Duration | None = None
    when: str | None = None
    times: int = 1
    lasts: Duration | None = None


@dataclass(frozen=True, slots=True)
class Expect:
    """The ending. A number that is not given is not judged."""

    rollout: str
    reason: str = ""
    boxes_updated_min: int = 0
    boxes_updated_max: int = BOXES_MAX
    boxes_failed_max: int = BOXES_MAX
    boxes_silent_min: int = 0
    boxes_silent_max: int = BOXES_MAX
    waves_opened_max: int = 20


@dataclass(frozen=True, slots=True)
class Scenario:
    """One story."""

    schema: str
    name: str
    story: str
    seed: int
    fleet: Fleet
    release: Release
    rollout: Plan
    expect: Expect
    duration: Duration = A_DAY
    level: tuple[str, ...] = ("sim",)
    fault: tuple[Fault, ...] = ()

    @property
    def sha256(self) -> str:
        """Return the hash of every option, those that were left out too."""
        return hashlib.sha256(self.spelt().encode()).hexdigest()

    def spelt(self) -> str:
        """Return every option as one line of JSON."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


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
    scenario = _table(Scenario, renamed, "scenario")
    _check(scenario)
    return scenario


def _check(scenario: Scenario) -> None:
    shares = scenario.rollout.waves
    checks = {
        "fleet.count is 1 to 5000": 1 <= scenario.fleet.count <= BOXES_MAX,
        "duration is at most 5d": 0 < scenario.duration <= DURATION_S_MAX,
        "level contains sim": "sim" in scenario.level,
        "release.behaviour is one of "
        + ", ".join(Behaviour): scenario.release.behaviour in set(Behaviour),
        "expect.rollout is a state": scenario.expect.rollout in set(RolloutState),
        "shares are 0 to 1": all(
            0 <= share <= 1
            for share in (
                scenario.fleet.power_cut_share, scenario.release.unhealthy_share, *shares
            )
        ),
        "rollout.waves rises": bool(shares) and list(shares) == sorted(set(shares)),
    }  # fmt: skip
    for claim, holds in checks.items():
        if not holds:
            raise ScenarioError(f"{scenario.name}: it must be that {claim}.")
    for fault in scenario.fault:
        _check_fault(fault)


def _check_fault(fault: Fault) -> None:
    if fault.kind not in ("power_cut", "unplug"):
        raise ScenarioError(f"fault.kind is {fault.kind!r}; power_cut or unplug was expected.")
    if (fault.at is None) == (fault.when is None):
        raise ScenarioError("a fault needs either 'at' or 'when', and not both.")
    if fault.when is not None and fault.when.removeprefix("state==") not in set(Phase):
        raise ScenarioError(f"fault.when is {fault.when!r}; state==downloading was expected.")
    if not re.fullmatch(r"all|device:[1-9][0-9]{0,3}|(100|[1-9]?[0-9])%", fault.target):
        raise ScenarioError(f"fault.target is {fault.target!r}; all, 10% or device:3 is read.")
    if (fault.kind == "power_cut") != (fault.lasts is not None):
        raise ScenarioError("a power_cut has 'lasts'; an unplug, which is for ever, has not.")


def _table(shape: type[T], found: Any, where: str) -> T:
    if not isinstance(found, dict):
        raise ScenarioError(f"{where} is {found!r}; a table was expected.")
    known: dict[str, Field[Any]] = {one.name: one for one in fields(shape)}  # type: ignore[arg-type]
    if unknown := sorted(set(found) - set(known)):
        raise ScenarioError(f"{where}.{unknown[0]} is not known; known: {', '.join(known)}.")
    hints = get_type_hints(shape)
    values = {}
    for name, one in known.items():
        if name in found:
            values[name] = _value(hints[name], found[name], f"{where}.{name}")
        elif one.default is MISSING and one.default_factory is MISSING:
            raise ScenarioError(f"{where}.{name} is missing.")
    return shape(**values)


def _value(hint: Any, found: Any, where: str) -> Any:
    options = getattr(hint, "__args__", ())
    if type(None) in options:
        return _value(next(one for one in options if one is not type(None)), found, where)
    if options:
        if not isinstance(found, list):
            raise ScenarioError(f"{where} is {found!r}; a list was expected.")
        return tuple(_value(options[0], item, f"{where}[{i}]") for i, item in enumerate(found))
    if is_dataclass(hint):
        return _table(hint, found, where)  # type: ignore[arg-type]
    if hint in (Duration, Size):
        units = _UNITS_S if hint is Duration else _SIZES
        return hint(_quantity(found, units, where))
    if hint is float and type(found) is int:
        return float(found)
    if type(found) is not hint:
        raise ScenarioError(f"{where} is {found!r}; {hint.__name__} was expected.")
    return found


def _quantity(found: Any, units: dict[str, int], where: str) -> int:
    match = re.fullmatch(r"([0-9]{1,9})([A-Za-z]+)", found) if isinstance(found, str) else None
    if match is None or match[2] not in units:
        raise ScenarioError(f"{where} is {found!r}; a number with one of {', '.join(units)}.")
    return int(match[1]) * units[match[2]]
