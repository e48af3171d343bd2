"""Fits the likelihoods on half of the seeds and judges the playbooks on the other half.

Even seeds teach, odd seeds judge. A case is one home with one fault or two of the same
playbook, some values missing; the desk then does the most telling checks, a few at a time,
as the page of a box does.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any, Final

from oleada_server.diagnosis import judge, reading
from oleada_server.diagnosis.shapes import Fact, Library, Value, Verdict

from oleada_lab.diagnosis.home_faults import home_with
from oleada_lab.diagnosis.homes import shown

NOW: Final = datetime(2026, 1, 15, 20, 0, tzinfo=UTC)
MISSING_SHARE: Final = 0.12
"""Of the facts, which this model does not report, which did not come, or nobody knows."""
ALWAYS_THERE: Final = frozenset({
    "server:silent_s", "server:crashes_24h", "server:updating", "server:fell_back_7d",
    "server:scope.region", "server:scope.firmware", "server:scope.channel",
})  # fmt: skip
"""What the server counts in its own tables."""
ROUNDS: Final = 3
CHECKS_A_ROUND: Final = 5
ON_DEMAND: Final = ("result:", "asked:")
"""Facts that exist only after somebody has looked."""
CHANCE_MIN: Final = 0.003
CHANCE_MAX: Final = 0.97
MAKES_MIN: Final = 0.02


@dataclass(frozen=True, slots=True)
class Case:
    """One home with its label: what somebody complains of, and the *faults* behind it."""

    seed: int
    symptom: str
    faults: tuple[str, ...]
    values: Mapping[str, Value]


def case(library: Library, seed: int, *, faults_max: int = 2) -> Case:
    """Return the case of *seed*; every cause of every playbook has its turn."""
    dice = Random(f"case {seed}")
    books = sorted(set(library.playbooks) - {"unsaid"})
    every = [(book, cause) for book in books for cause in sorted(library.playbooks[book].priors)]
    symptom, first = every[(seed // 2) % len(every)]
    faults = [first]
    if faults_max > 1 and dice.random() < 0.3:
        others = sorted(set(library.playbooks[symptom].priors) - {first})
        faults.append(dice.choice(others))
    values = shown(home_with(faults, dice), dice)
    return Case(seed, symptom, tuple(faults), _some(values, dice))


def healthy_day(seed: int) -> dict[str, Value]:
    """Return what a box of a healthy home shows on one day."""
    dice = Random(f"healthy {seed}")
    values = shown(home_with((), dice), dice)
    return _some(values, dice)


def _some(values: Mapping[str, Value], dice: Random) -> dict[str, Value]:
    """Return *values* without those that are missing."""
    missing = {name for name in sorted(values) if dice.random() < MISSING_SHARE} - ALWAYS_THERE
    return {name: value for name, value in values.items() if name not in missing}


def verdict_of(library: Library, found: Case) -> tuple[Verdict, Verdict, int]:
    """Return the verdict at once, the one after the checks, and how many checks that took."""
    book = reading.playbook(library, found.symptom)
    asked: set[str] = set()
    look = partial(_facts, found.values)
    first = last = judge.diagnose(library, book, look(asked), NOW)
    for _ in range(ROUNDS):
        wanted = [
            one.sign.fact
            for one in last.checks
            if one.sign.fact.startswith(ON_DEMAND) and one.sign.fact not in asked
        ]
        new = list(dict.fromkeys(wanted))[:CHECKS_A_ROUND]
        if not new:
            break
        asked.update(new)
        last = judge.diagnose(library, book, look(asked), NOW)
    return first, last, len(asked)


def _facts(values: Mapping[str, Value], asked: Iterable[str]) -> dict[str, Fact]:
    there = set(asked)
    return {
        name: Fact(value, NOW)
        for name, value in values.items()
        if not name.startswith(ON_DEMAND) or name in there
    }


def fit(library: Library, seeds: Iterable[int], healthy_seeds: Iterable[int]) -> dict[str, Any]:
    """Return the likelihoods as measured on homes with one fault; only even seeds may teach.

    A cause's share is what it adds to the sign's own background (noisy or).
    """
    seeds = list(seeds)
    assert all(seed % 2 == 0 for seed in seeds), "odd seeds judge"  # noqa: S101
    background = _shares(library, [healthy_day(seed) for seed in healthy_seeds])
    by_cause: dict[str, list[Mapping[str, Value]]] = {}
    for seed in seeds:
        found = case(library, seed, faults_max=1)
        by_cause.setdefault(found.faults[0], []).append(found.values)
    background = {name: min(chance, CHANCE_MAX) for name, chance in background.items()}
    fitted: dict[str, Any] = {"background": _rounded(background)}
    for name, cause in sorted(library.causes.items()):
        seen = _shares(library, by_cause.get(name, []))
        makes = {}
        for sign in cause.makes:
            base = background[sign]
            adds = 1 - (1 - seen[sign]) / (1 - base)
            if adds >= MAKES_MIN:
                makes[sign] = min(adds, CHANCE_MAX)
        fitted[name] = _rounded(makes)
    return fitted


def _rounded(chances: Mapping[str, float]) -> dict[str, float]:
    return {name: round(chance, 3) for name, chance in sorted(chances.items())}


def _shares(library: Library, homes: Sequence[Mapping[str, Value]]) -> dict[str, float]:
    """Return how often each sign holds where its fact is there, smoothed by half a home."""
    holds: Counter[str] = Counter()
    there: Counter[str] = Counter()
    for values in homes:
        for name, sign in library.signs.items():
            truth = judge.holds(sign, values[sign.fact]) if sign.fact in values else None
            if truth is not None:
                there[name] += 1
                holds[name] += truth
    return {
        name: max((holds[name] + 0.25) / (there[name] + 0.5), CHANCE_MIN)
        if there[name]
        else CHANCE_MIN
        for name in library.signs
    }


def spelt(fitted: Mapping[str, Any], seeds: int, homes: int) -> str:
    """Return *fitted* as the file ``likelihoods.toml``."""
    lines = [
        "# How often a cause shows a sign, and how often a sign is there by itself. Measured by",
        f"# `oleada-lab diagnose --fit` on {seeds} even seeds and {homes} healthy homes; the odd",
        "# seeds judge. Never edited by hand.",
        "schema = 1",
        "version = 1",
    ]
    for name in ["background", *sorted(set(fitted) - {"background"})]:
        chances = fitted.get(name, {}).items()
        lines += ["", f"[{name}]", *(f"{sign} = {chance}" for sign, chance in chances)]
    return "\n".join(lines) + "\n"


def judge_cases(library: Library, seeds: Iterable[int]) -> dict[str, Any]:
    """Return precision and recall over the cases of *seeds*, at once and after the checks."""
    tallies = {"at_once": Counter[str](), "checked": Counter[str]()}
    by_cause: dict[str, Counter[str]] = {}
    cases = two = checks = 0
    for seed in seeds:
        found = case(library, seed)
        first, last, looked = verdict_of(library, found)
        cases, two, checks = cases + 1, two + (len(found.faults) > 1), checks + looked
        _count(tallies["at_once"], first, found)
        _count(tallies["checked"], last, found)
        if len(found.faults) > 1:
            _count(tallies.setdefault("two_faults", Counter()), last, found)
        named = {one.cause.id for one in last.likely}
        for name in {*found.faults, *named}:
            tally = by_cause.setdefault(name, Counter())
            _tally(tally, name in named, name in found.faults)
    return {
        "cases": cases,
        "with_two_faults": two,
        "checks_mean": round(checks / max(cases, 1), 2),
        **{name: _figures(tally) for name, tally in tallies.items()},
        "by_cause": {name: _figures(tally) for name, tally in sorted(by_cause.items())},
    }


def _count(tally: Counter[str], verdict: Verdict, found: Case) -> None:
    named = {one.cause.id for one in verdict.likely}
    for name in {*named, *found.faults}:
        _tally(tally, name in named, name in found.faults)
    tally["top"] += bool(verdict.causes) and verdict.causes[0].cause.id in found.faults
    tally["cases"] += 1


def _tally(tally: Counter[str], is_named: bool, is_there: bool) -> None:
    tally["right"] += is_named and is_there
    tally["named"] += is_named
    tally["there"] += is_there


def _figures(tally: Mapping[str, int]) -> dict[str, float | int | None]:
    found: dict[str, float | int | None] = {
        "precision": _share(tally["right"], tally["named"]),
        "recall": _share(tally["right"], tally["there"]),
        "faults": tally["there"],
    }
    if "cases" in tally:
        found["first_is_right"] = _share(tally["top"], tally["cases"])
    return found


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def false_alarms(library: Library, seeds: Iterable[int]) -> dict[str, Any]:
    """Return on how many healthy box-days anything was called likely, nobody having complained."""
    book = reading.playbook(library, "unsaid")
    days, alarms = 0, Counter[str]()
    for seed in seeds:
        verdict = judge.diagnose(library, book, _facts(healthy_day(seed), ()), NOW)
        days += 1
        alarms.update(one.cause.id for one in verdict.likely)
    return {"box_days": days, "incidents": sum(alarms.values()), "by_cause": dict(alarms)}
