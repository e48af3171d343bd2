"""The table: releases down, rules across; every figure is computed here, none is typed."""

import hashlib
import importlib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, TypeVar

from oleada_server.rollouts.evidence import bounds
from oleada_server.rollouts.evidence.judge import Terms

from oleada_lab.kept_lines import KeptLines
from oleada_lab.rollouts import edges, exact, peers
from oleada_lab.rollouts.fleet import Fate, Fleet, Later
from oleada_lab.rollouts.ours import LIMITS, Ended, Planned, Planner
from oleada_lab.rollouts.plans import STORIES
from oleada_lab.rollouts.signs import CORE, PACKAGE

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
USUAL: Final = Planned()
A_DAY: Final = timedelta(days=1)
WATCHED: Final = Planned((0.1, 0.9, 1.0), limits=replace(LIMITS, soak=A_DAY), watches_hours=True)
"""Each wave lives for a day, and the hours of its boxes are watched beside boxes that wait."""
AFTER: Final = {
    "3 % more restart in a day": Later("restart", 0.03 / 24, 0.03 / 24),
    "3 % more crash in a day": Later("crash", 0.03 / 24, 0.03 / 24),
    "10 % more are dark at night": Later("dark", night=0.10),
    "zapping is slow in 1 % more hours": Later("slow", 0.01, 0.01),
    "nothing is worse than before": Later(),
}
_N = TypeVar("_N", int, float)
OURS: Final = "Oleada"
ROW: Final = "row"
PLAYED: Final = tuple(f"oleada_lab.rollouts.{name}" for name in ("fleet", "ours", "peers", "waves"))


@dataclass(frozen=True, slots=True)
class Size:
    """How much is played: *boxes* a fleet, *runs* a cell, *good_runs* of the release at p0.

    *peer_runs* is less: other rules hardly depend on chance. *in_flight_max* is W_max.
    *after_runs* are of releases that do harm later, which take days.
    """

    boxes: int
    runs: int
    good_runs: int
    peer_runs: int
    in_flight_max: int
    after_runs: int


SHORT: Final = Size(boxes=5000, runs=40, good_runs=40, peer_runs=1, in_flight_max=500, after_runs=3)
WHOLE: Final = Size(
    boxes=50_000, runs=200, good_runs=2000, peer_runs=5, in_flight_max=2000, after_runs=50
)


def ours(fate: Fate, size: Size, seed: int, planned: Planned = USUAL) -> Ended:
    """Play the shipped planner over one fleet."""
    terms = Terms(in_flight_max=size.in_flight_max)
    return Planner([Fleet(size.boxes, fate, seed)], replace(planned, terms=terms)).play()


def rows(runs: int, seed: int = 1) -> dict[str, Callable[[], Any]]:
    """Return by name what plays *runs* of each row of the short table, the quickest rows first.

    These are all that our planner decides in it; a sign of the core that is turned round
    has to show in one of them (``signs.py``).
    """

    def of(play: Callable[[int], Ended], runs: int) -> Callable[[], list[Ended]]:
        return lambda: [play(seed + run) for run in range(runs)]

    found: dict[str, Callable[[], Any]] = {"moments": edges.play, "to the last bit": exact.play}
    found |= {name: of(story.play, runs) for name, story in STORIES.items()}
    found |= {
        name: of(lambda seed, fate=fate: ours(fate, SHORT, seed), runs)  # type: ignore[misc]
        for name, fate in {**BAD, **GOOD}.items()
    }
    few = -(-runs // 4)
    return found | {
        name: of(lambda seed, later=later: ours(Fate(later=later), SHORT, seed, WATCHED), few)  # type: ignore[misc]
        for name, later in AFTER.items()
    }


def measure(size: Size, seed: int = 1, kept: KeptLines | None = None) -> dict[str, Any]:
    """Return the whole table as JSON; rows that are *kept* are not played again."""
    lines = KeptLines(None, ROW) if kept is None else kept
    whole = f"{size} {seed} {digest()}"

    def row(name: str, play: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] | None = lines.get(f"{name}: {whole}")
        if found is None:
            found = play()
            lines.add(f"{name}: {whole}", found)
        return found

    return {
        "boxes": size.boxes,
        "seed": seed,
        "in_flight_max": size.in_flight_max,
        "bad": {
            name: row(name, lambda fate=fate: bad_row(fate, size, seed))  # type: ignore[misc]
            for name, fate in BAD.items()
        },
        "good": {
            name: row(name, lambda name=name: good_row(name, size, seed))  # type: ignore[misc]
            for name in GOOD
        },
        "after": {
            name: row(name, lambda later=later: after_row(later, size, seed))  # type: ignore[misc]
            for name, later in AFTER.items()
        },
    }


def digest(*more: str) -> str:
    """Return what names the code that decides, the fleets and *more* modules of the rows.

    So nothing is taken for kept that another code has played.
    """
    found = hashlib.sha256()
    also = (f"oleada_lab.rollouts.{name}" for name in more)
    for module in (*(f"{PACKAGE}.{name}" for name in CORE), *PLAYED, *also):
        found.update(inspect.getsource(importlib.import_module(module)).encode())
    return found.hexdigest()[:16]


def bad_row(fate: Fate, size: Size, seed: int) -> dict[str, Any]:
    """Return how many boxes each rule lets a bad release harm."""
    row = {OURS: _harm(ours(fate, size, seed + run) for run in range(size.runs))}
    for name, play in RULES.items():
        row[name] = _harm(
            play(Fleet(size.boxes, fate, seed + run)) for run in range(size.peer_runs)
        )
    return row


def good_row(name: str, size: Size, seed: int) -> dict[str, Any]:
    """Return how often our planner halts the good release *name*, and how long it takes."""
    runs = size.good_runs if name == AT_P0 else size.runs
    ended = [ours(GOOD[name], size, seed + run) for run in range(runs)]
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


def after_row(later: Later, size: Size, seed: int) -> dict[str, Any]:
    """Return when our planner halts a release that does harm long after the trial."""
    fate = Fate(later=later)
    ended = [ours(fate, size, seed + run, WATCHED) for run in range(size.after_runs)]
    halted = [one for one in ended if one.how == "halted"]
    row = _harm(ended) | {"begun_median": _rank(sorted(one.begun for one in ended), 0.5)}
    hours = sorted(one.minutes / 60 for one in halted)
    row["hours"] = {"median": _rank(hours, 0.5), "p95": _rank(hours, 0.95)} if hours else None
    row["halted_share_95"] = interval(len(halted), len(ended))
    return row


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
    """Return what :func:`measure` *found* as three tables of Markdown."""
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
    return "\n".join([*lines, "", *_after_markdown(found["after"])])


def _after_markdown(found: dict[str, Any]) -> list[str]:
    lines = [
        "| After the update | Runs | Halted | Boxes that had begun | Bad hours it caused "
        "| Hours until then |",
        "|---" * 6 + "|",
    ]
    for name, row in found.items():
        hours = row["hours"]
        until = "-" if hours is None else f"{hours['median']:.0f} (95 %: {hours['p95']:.0f})"
        lines.append(
            f"| {name} | {row['runs']} | {row['how'].get('halted', 0)} | {row['begun_median']:,} "
            f"| {row['harmed_median']:,} (95 %: {row['harmed_p95']:,}) | {until} |"
        )
    return lines
