"""The table: releases down, rules across; every figure is computed here, none is typed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from oleada_server.rollouts.evidence import bounds
from oleada_server.rollouts.evidence.judge import Terms

from oleada_lab.rollouts import peers
from oleada_lab.rollouts.fleet import Fate, Fleet
from oleada_lab.rollouts.ours import Ended, Planner

DARK: Final = 0.02
BAD: Final = {
    "silent brick, 100 %": Fate(killed=1.0, dark=DARK),
    "silent, 20 %": Fate(killed=0.20, dark=DARK),
    "silent, 5 %": Fate(killed=0.05, dark=DARK),
    "silent, 2 %": Fate(killed=0.02, dark=DARK),
    "reported, 5 %": Fate(failed=0.05, dark=DARK),
    "reported, 2 %": Fate(failed=0.02, dark=DARK),
}
AT_P0: Final = "good, 0.5 % fail, 2 % dark"
GOOD: Final = {
    AT_P0: Fate(failed=0.005, dark=0.02),
    "good, 0.5 % fail, 1 % dark": Fate(failed=0.005, dark=0.01),
    "good, 0.5 % fail, 3 % dark": Fate(failed=0.005, dark=0.03),
    "good, 0.1 % fail, 2 % dark": Fate(failed=0.001, dark=0.02),
}
RULES: Final[dict[str, Callable[[Fleet], Ended]]] = {
    "all at once": lambda fleet: peers.play(fleet, peers.all_at_once),
    "timed phases (Mender)": lambda fleet: peers.play(fleet, peers.timed_phases),
    "phases, a person looks (XConf)": lambda fleet: peers.play(fleet, peers.a_person_looks),
    "AWS IoT Jobs": lambda fleet: peers.play(fleet, peers.Aws(), peers.AWS_TIMEOUT_MIN),
    "hawkBit": lambda fleet: peers.play(fleet, peers.HawkBit()),
    "FreeACS": lambda fleet: peers.play(fleet, peers.FreeAcs(), peers.FREE_ACS_TIMEOUT_MIN),
}
_N = TypeVar("_N", int, float)
OURS: Final = "Oleada"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is played: *boxes* a fleet, *runs* a cell, *good_runs* of the release at p0.

    *peer_runs* is less: other rules hardly depend on chance. *in_flight_max* is W_max.
    """

    boxes: int
    runs: int
    good_runs: int
    peer_runs: int
    in_flight_max: int


SHORT: Final = Size(boxes=5000, runs=40, good_runs=60, peer_runs=1, in_flight_max=500)
WHOLE: Final = Size(boxes=50_000, runs=200, good_runs=2000, peer_runs=5, in_flight_max=2000)


def ours(fate: Fate, size: Size, seed: int, in_flight_max: int | None = None) -> Ended:
    """Play the shipped planner over one fleet."""
    terms = Terms(in_flight_max=in_flight_max or size.in_flight_max)
    return Planner(Fleet(size.boxes, fate, seed), terms).play()


def measure(size: Size, seed: int = 1) -> dict[str, Any]:
    """Return the whole table as JSON."""
    return {
        "boxes": size.boxes,
        "seed": seed,
        "in_flight_max": size.in_flight_max,
        "bad": {name: bad_row(fate, size, seed) for name, fate in BAD.items()},
        "good": {
            name: good_row(fate, size, seed, size.good_runs if name == AT_P0 else size.runs)
            for name, fate in GOOD.items()
        },
    }


def bad_row(fate: Fate, size: Size, seed: int) -> dict[str, Any]:
    """Return how many boxes each rule lets a bad release harm."""
    row = {OURS: _harm(ours(fate, size, seed + run) for run in range(size.runs))}
    for name, play in RULES.items():
        row[name] = _harm(
            play(Fleet(size.boxes, fate, seed + run)) for run in range(size.peer_runs)
        )
    return row


def good_row(fate: Fate, size: Size, seed: int, runs: int) -> dict[str, Any]:
    """Return how often our planner halts a good release, and how long it takes."""
    ended = [ours(fate, size, seed + run) for run in range(runs)]
    halted = sum(one.how == "halted" for one in ended)
    held = sum(one.how == "held" for one in ended)
    hours = sorted(one.minutes / 60 for one in ended if one.how == "finished")
    return {
        "runs": len(ended),
        "halted": halted,
        "held": held,
        "halted_share": halted / len(ended),
        "halted_share_95": interval(halted, len(ended)),
        "hours": {"median": _rank(hours, 0.5), "p95": _rank(hours, 0.95)} if hours else None,
    }


def interval(hits: int, runs: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a share (Clopper & Pearson)."""
    low = 1 - bounds.share_at_most(runs - hits, runs, 0.025)
    return round(low, 5), round(bounds.share_at_most(hits, runs, 0.025), 5)


def _harm(ended: Iterable[Ended]) -> dict[str, Any]:
    found = list(ended)
    harmed = sorted(one.harmed for one in found)
    ways = {one.how for one in found}
    return {
        "runs": len(found),
        "harmed_median": _rank(harmed, 0.5),
        "harmed_p95": _rank(harmed, 0.95),
        "how": {way: sum(one.how == way for one in found) for way in sorted(ways)},
    }


def _rank(found: list[_N], share: float) -> _N:
    return found[min(int(len(found) * share), len(found) - 1)]


def markdown(found: dict[str, Any]) -> str:
    """Return what :func:`measure` *found* as two tables of Markdown."""
    rules = [OURS, *RULES]
    head = f"| Boxes harmed of {found['boxes']:,} (median) | {' | '.join(rules)} |"
    lines = [head, "|---" * (len(rules) + 1) + "|"]
    for name, row in found["bad"].items():
        cells = [f"{row[rule]['harmed_median']:,}" for rule in rules]
        worst = row[OURS]["harmed_p95"]
        cells[0] = f"**{cells[0]}** (95 %: {worst:,})"
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "| Release | Runs | Halted | 95 % interval | A person asked | Hours to the end |"]
    lines.append("|---" * 6 + "|")
    for name, row in found["good"].items():
        low, high = row["halted_share_95"]
        hours = row["hours"] or {"median": 0.0, "p95": 0.0}
        lines.append(
            f"| {name} | {row['runs']:,} | {row['halted']} | {low:.2%} to {high:.2%} "
            f"| {row['held']} | {hours['median']:.1f} (95 %: {hours['p95']:.1f}) |"
        )
    return "\n".join(lines)
