"""What a sweep with real processes found, for programs and for people. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from oleada_lab.real.cuts import Cut
from oleada_lab.real.steps import Step, differences
from oleada_lab.real.twin import Disagreement, Twin, disagreements
from oleada_lab.real.verdict import Fate

SCHEMA: Final = "lab.sweep-real/1"
SHOWN: Final = 20
COUNTED: Final = (
    "cut_points", "cuts", "double_cuts", "recoveries", "killed", "killed_otherwise", "bricks",
    "stuck", "lies", "disagreements", "without_twin",
)  # fmt: skip
BAD: Final = ("bricks", "stuck", "lies", "disagreements", "killed_otherwise")


@dataclass(frozen=True, slots=True)
class Swept:
    """What came of one kind of cutting.

    Attributes:
        operations: Of one whole update on its disk.
        cut_points: After how many of them the power was cut.
        steps: Of the recorded update, to be held against the twin's; None when not recorded so.
        twin: What virtual time says of the same.
    """

    kind: str
    operations: int
    cut_points: int
    cuts: Sequence[Cut]
    steps: Sequence[Step] | None
    twin: Twin


def to_json(swept: Sequence[Swept], modes: Sequence[str]) -> dict[str, Any]:
    """Return the figures that docs/how-to/sweep-with-real-processes.md explains."""
    kinds = {one.kind: _of_kind(one) for one in swept}
    totals = {name: sum(found[name] for found in kinds.values()) for name in COUNTED}
    return {"schema": SCHEMA, **totals, "modes": list(modes), "kinds": kinds}


def is_well(found: Mapping[str, Any]) -> bool:
    """Return whether no box failed and virtual time says the same."""
    return not any(found[name] for name in BAD)


def to_text(found: Mapping[str, Any]) -> str:
    """Return the figures in words, each failure with the command that repeats it."""
    lines = [
        f"{found['cuts']} cuts after {found['cut_points']} operations: {found['bricks']} bricks, "
        f"{found['stuck']} stuck, {found['lies']} lies, {found['disagreements']} disagreements "
        f"with virtual time ({found['wall_s']} s)"
    ]
    for kind, one in found["kinds"].items():
        lines.append(
            f"  {kind}: {one['cut_points']} of {one['operations']} operations, {one['cuts']} cuts, "
            f"{one['recoveries']} recoveries"
        )
        for entry in (*one["failures"], *one["contradicted"]):
            lines += [f"  {entry['fate']} after {entry['after']}, {entry['kept']}: {entry['why']}"]
            lines += [f"    again: {entry['again']}"]
        lines += [
            f"  written otherwise than in virtual time: {said}" for said in one["differences"]
        ]
    return "\n".join(lines)


def _of_kind(swept: Swept) -> dict[str, Any]:
    fates = Counter(cut.verdict.fate for cut in swept.cuts)
    contradicted, unknown = disagreements(swept.cuts, swept.twin)
    unlike = [] if swept.steps is None else differences(swept.steps, swept.twin.steps)
    failed = [cut for cut in swept.cuts if cut.verdict.fate is not Fate.WELL]
    otherwise = killed_otherwise(swept.cuts)
    return {
        "operations": swept.operations,
        "cut_points": swept.cut_points,
        "cuts": sum(cut.first is None and not cut.is_killed for cut in swept.cuts),
        "double_cuts": sum(cut.first is not None for cut in swept.cuts),
        "recoveries": sum(not cut.is_equal for cut in swept.cuts),
        "killed": sum(cut.is_killed for cut in swept.cuts),
        "killed_otherwise": len(otherwise),
        "bricks": fates[Fate.BRICK],
        "stuck": fates[Fate.STUCK],
        "lies": fates[Fate.LIE],
        "disagreements": len(contradicted) + len(unlike),
        "without_twin": unknown,
        "differences": unlike,
        "failures": [_failure(swept.kind, cut) for cut in failed[:SHOWN]],
        "contradicted": [_contradicted(swept.kind, one) for one in contradicted[:SHOWN]],
    }


def killed_otherwise(cuts: Sequence[Cut]) -> list[Cut]:
    """Return the killed boxes that ended otherwise than the recorded one cut at that operation."""
    ends = {(cut.name, cut.kept): cut.verdict.fate for cut in cuts if not cut.is_killed}
    return [
        cut
        for cut in cuts
        if cut.is_killed
        and cut.verdict.fate is not ends.get((cut.name, cut.kept), cut.verdict.fate)
    ]


def _contradicted(kind: str, one: Disagreement) -> dict[str, Any]:
    return {**_failure(kind, one.cut), "simulated": sorted(one.simulated)}


def _failure(kind: str, cut: Cut) -> dict[str, Any]:
    after = "the update" if cut.after is None else f"{cut.after.kind} {cut.after.path}"
    return {
        "fate": str(cut.verdict.fate),
        "why": cut.verdict.why or "All was well.",
        "number": cut.number,
        "after": after,
        "kept": cut.fault or str(cut.kept),
        "said": cut.said,
        "again": f"oleada-lab sweep power --real --kind {kind} --at {cut.number}"
        + ("" if cut.fault else f" --modes {cut.kept}"),
    }
