"""What a scenario's values must be, beyond their types; every refusal is a sentence."""

import re
from typing import Final

from oleada_agent.boot.choice import Behaviour
from oleada_server.rollouts.errors import BadPlanError
from oleada_server.rollouts.evidence.spec import EvidenceSpec
from oleada_server.rollouts.states import RolloutState
from oleada_wire.words import Phase

from oleada_lab.check.watch import chosen
from oleada_lab.errors import LabError
from oleada_lab.fault_kinds import KINDS
from oleada_lab.scenario_read import ScenarioError
from oleada_lab.scenario_shapes import (
    DISK_OP,
    SERVER_COMMIT,
    TICK_COMMIT,
    Chance,
    Evidence,
    Explore,
    Fault,
    Scenario,
)
from oleada_lab.sim.crash import Kept

BOXES_MAX: Final = 100_000
DURATION_S_MAX: Final = 400 * 86_400
AXES: Final = (DISK_OP, TICK_COMMIT, SERVER_COMMIT)
LEVELS: Final = frozenset({"sim", "proc", "vm", "board"})
TARGET: Final = re.compile(
    r"all|broker|server|device:[1-9][0-9]{0,5}|(100|[1-9]?[0-9])%|region:[a-z]+"
)
WHEN: Final = re.compile(rf"(state|back)==({'|'.join(Phase)})")
RATE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)/device/(hour|day)")


def evidence_spec(found: Evidence) -> EvidenceSpec:
    """Return *found* as the server reads a plan.

    Raises:
        BadPlanError: a figure is out of range.
    """
    return EvidenceSpec(
        accepted_share=found.accepted_share,
        bad_share_max=found.bad_share_max,
        start_boxes=found.start_boxes,
        ripe_after_s=found.ripe_after,
        watches_hours=found.watches_hours,
    )


def check(scenario: Scenario) -> None:
    """Return if every value of *scenario* makes sense.

    Raises:
        ScenarioError: one does not; says which.
    """
    fleet, shares = scenario.fleet, scenario.rollout.waves
    behaviour = scenario.release.behaviour
    checks = {
        f"fleet.count is 1 to {BOXES_MAX}": 1 <= fleet.count <= BOXES_MAX,
        "duration is at most 400d": 0 < scenario.duration <= DURATION_S_MAX,
        "level contains sim": "sim" in scenario.level and set(scenario.level) <= LEVELS,
        "server is services, rows or empty": scenario.server in {"", "services", "rows"},
        "release.behaviour is crash_after:20m or one of " + ", ".join(Behaviour): (
            behaviour in set(Behaviour) or re.fullmatch(r"crash_after:[0-9]+m", behaviour)
        ),
        "expect.rollout is a state": scenario.expect.rollout in {"", *RolloutState},
        "shares are 0 to 1": all(
            0 <= share <= 1
            for share in (
                fleet.power_cut_share, fleet.old_share, scenario.release.unhealthy_share,
                sum(fleet.regions.values()), *fleet.regions.values(), *shares,
            )
        ),
        "rollout.opens and rollout.closes come together": (
            (scenario.rollout.opens is None) == (scenario.rollout.closes is None)
        ),
        "rollout.goes_back is played with the server's services": (
            scenario.has_services or not scenario.rollout.goes_back
        ),
        "rollout.waves rises": bool(shares) and list(shares) == sorted(set(shares)),
        "fleet.profile is a table [profile.NAME]": fleet.profile in {"home", *scenario.profile},
        "fleet.old_share needs fleet.old_version": not fleet.old_share or bool(fleet.old_version),
        "release.breaks_from is release.from or fleet.old_version": (
            scenario.release.breaks_from in {"", scenario.release.start, fleet.old_version}
        ),
        "profile.burst has four numbers": all(
            len(line.burst) in (0, 4) for line in scenario.profile.values()
        ),
    }  # fmt: skip
    for claim, holds in checks.items():
        if not holds:
            raise ScenarioError(f"{scenario.name}: it must be that {claim}.")
    for fault in scenario.fault:
        _check_fault(scenario, fault)
    for chance in scenario.random:
        _check_chance(scenario, chance)
    _check_rest(scenario)


def _check_rest(scenario: Scenario) -> None:
    if (evidence := scenario.rollout.evidence) is not None:
        try:
            evidence_spec(evidence)
        except BadPlanError as error:
            raise ScenarioError(f"rollout.evidence: {error}") from error
    try:
        chosen(scenario.expect.invariants)
    except LabError as error:
        raise ScenarioError(f"expect.invariants: {error}") from error
    if scenario.explore is not None:
        _check_explore(scenario, scenario.explore)


def _check_explore(scenario: Scenario, explore: Explore) -> None:
    if explore.axis not in AXES:
        raise ScenarioError(f"explore.axis is {explore.axis!r}; one of {', '.join(AXES)} is read.")
    for mode in explore.persistence:
        _check_mode(mode)
    if explore.axis == DISK_OP:
        return
    if not set(explore.persistence) <= {Kept.NONE, Kept.ALL}:
        raise ScenarioError("explore.persistence: a commit is whole or not; lose_all, keep_all.")
    if not scenario.has_services or scenario.level != ("sim",):
        raise ScenarioError(f"explore.axis {explore.axis} needs server = services, level = sim.")


def _check_fault(scenario: Scenario, fault: Fault) -> None:
    _check_kind(scenario, fault.kind, fault.target, has_end=fault.lasts is not None)
    if (fault.at is None and fault.every is None) == (fault.when is None):
        raise ScenarioError("a fault needs either 'at' or 'when', and not both.")
    if fault.when is not None and WHEN.fullmatch(fault.when) is None:
        raise ScenarioError(f"fault.when is {fault.when!r}; state==downloading was expected.")
    for key in KINDS[fault.kind].needs:
        if not getattr(fault, key):
            raise ScenarioError(f"a {fault.kind} needs {key!r}.")
    if fault.profile and fault.profile not in {"home", *scenario.profile}:
        raise ScenarioError(f"fault.profile is {fault.profile!r}; no [profile.…] is called so.")
    _check_mode(fault.persistence)


def _check_chance(scenario: Scenario, chance: Chance) -> None:
    _check_kind(scenario, chance.kind, chance.target, has_end=chance.lasts is not None)
    if RATE.fullmatch(chance.rate) is None:
        raise ScenarioError(f"random.rate is {chance.rate!r}; 0.1/device/day was expected.")
    if KINDS[chance.kind].on != "box":
        raise ScenarioError(f"a {chance.kind} strikes no box; plant it with [[fault]].")
    _check_mode(chance.persistence)


def _check_kind(scenario: Scenario, name: str, target: str, *, has_end: bool) -> None:
    kind = KINDS.get(name)
    if kind is None:
        raise ScenarioError(f"fault.kind is {name!r}; one of {', '.join(KINDS)} was expected.")
    if TARGET.fullmatch(target) is None:
        raise ScenarioError(
            f"fault.target is {target!r}; all, 10%, device:3, region:north, broker or server "
            "is read."
        )
    if (target if target in ("broker", "server") else "box") != kind.on:
        raise ScenarioError(f"a {name} strikes a {kind.on}; its target is {target!r}.")
    if (
        target.startswith("region:")
        and target.removeprefix("region:") not in scenario.fleet.regions
    ):
        raise ScenarioError(f"fault.target is {target!r}; fleet.regions has no such name.")
    if kind.lasts == "needed" and not has_end:
        raise ScenarioError(f"a {name} needs 'lasts'.")
    if kind.lasts == "never" and has_end:
        raise ScenarioError(f"a {name} has no 'lasts'.")


def _check_mode(mode: str) -> None:
    if mode not in set(Kept):
        raise ScenarioError(f"persistence is {mode!r}; one of {', '.join(Kept)} was expected.")
