"""How well the desk named what was truly wrong: counted by fault, by cause, and in confusion."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from oleada_lab.bench.report import quantile
from oleada_lab.clinic.round import Ended

NOBODY = "nothing"
"""In the confusion: nothing was named, or nothing was wrong."""


def figures(ended: Sequence[Ended]) -> dict[str, Any]:
    """Return precision and recall over the cases, at once and after the checks."""
    sick = [one for one in ended if one.case.faults]
    two = [one for one in sick if len(one.case.faults) > 1]
    seconds = [one.seconds for one in sick]
    return {
        "cases": len(sick),
        "faults": len({name for one in sick for name in one.case.faults}),
        "with_two_faults": len(two),
        "at_once": _shares((one.at_once, one.case.causes) for one in sick),
        "checked": _shares((one.named, one.case.causes) for one in sick),
        "two_faults": _shares((one.named, one.case.causes) for one in two),
        "first_is_right": _share(
            sum(bool(one.named) and one.named[0] in one.case.causes for one in sick), len(sick)
        ),
        "verdict_s_p50": quantile(seconds, 0.5) if seconds else None,
        "verdict_s_p95": quantile(seconds, 0.95) if seconds else None,
        "by_fault": _by_fault(sick),
        "by_cause": _by_cause(sick),
        "confusion": confusion(sick),
        "wrong": [_told(one) for one in sick if set(one.named) != one.case.causes],
    }


def alarms(ended: Sequence[Ended]) -> dict[str, Any]:
    """Return what was called likely in homes that are well."""
    named = Counter(cause for one in ended for cause in one.named)
    return {"boxes": len(ended), "incidents": sum(named.values()), "by_cause": dict(named)}


def confusion(ended: Iterable[Ended]) -> dict[str, dict[str, int]]:
    """Return by true cause what was named in its place, and how often.

    What is right is counted under its own name; a wrong name is put to each true cause
    that was missed, and to none if none was.
    """
    found: dict[str, Counter[str]] = {}
    for one in ended:
        wrong = sorted(set(one.named) - one.case.causes)
        for cause in sorted(one.case.causes):
            row = found.setdefault(cause, Counter())
            if cause in one.named:
                row[cause] += 1
            else:
                row.update(wrong or [NOBODY])
        if one.case.causes <= set(one.named):
            for name in wrong:
                found.setdefault(NOBODY, Counter())[name] += 1
    return {cause: dict(sorted(row.items())) for cause, row in sorted(found.items())}


def _by_fault(ended: Sequence[Ended]) -> dict[str, dict[str, Any]]:
    found: dict[str, Counter[str]] = {}
    for one in ended:
        name = one.case.faults[0]  # whose turn it is; the other one is counted in its own
        row = found.setdefault(name, Counter())
        row["cases"] += 1
        row["named"] += set(one.named) == one.case.causes
    return {
        name: {"cases": row["cases"], "wholly_right": row["named"]}
        for name, row in sorted(found.items())
    }


def _by_cause(ended: Sequence[Ended]) -> dict[str, dict[str, Any]]:
    causes = sorted({cause for one in ended for cause in (*one.case.causes, *one.named)})
    return {
        cause: _shares(
            (tuple({cause} & set(one.named)), one.case.causes & {cause}) for one in ended
        )
        for cause in causes
    }


def _shares(pairs: Iterable[tuple[Sequence[str], frozenset[str]]]) -> dict[str, Any]:
    right = named = there = 0
    for said, true in pairs:
        right += len(set(said) & true)
        named += len(set(said))
        there += len(true)
    return {
        "precision": _share(right, named), "recall": _share(right, there),
        "right": right, "named": named, "there": there,
    }  # fmt: skip


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _told(one: Ended) -> Mapping[str, Any]:
    return {
        "seed": one.case.seed,
        "faults": list(one.case.faults),
        "symptom": one.case.symptom,
        "true": sorted(one.case.causes),
        "named": list(one.named),
        "seen": sorted(name for name, holds in one.seen.items() if holds),
        "not_seen": sorted(name for name, holds in one.seen.items() if not holds),
        "checks": dict(one.statuses),
    }
