"""A sweep's result for programs and for people, and the command that repeats a failure."""

from collections import Counter
from typing import Any

from oleada_lab.sweep.finding import Failure, Kind
from oleada_lab.sweep.power import Plan, Result

FAILURES_SHOWN = 20


def to_json(result: Result) -> dict[str, Any]:
    """Return the figures that docs/how-to/read-a-sweep.md explains."""
    kinds = Counter(failure.finding.kind for failure in result.failures)
    stories = result.stories.values()
    return {
        "cut_points": result.cut_points,
        "modes": [str(mode) for mode in result.plan.modes],
        "cuts": sum(swept.cuts for swept in stories),
        "double_cuts": sum(swept.double_cuts for swept in stories),
        "recoveries": sum(swept.recoveries for swept in stories),
        "bricks": kinds[Kind.BRICK],
        "stuck": kinds[Kind.STUCK],
        "lies": kinds[Kind.LIE],
        "cpu_s": round(result.cpu_s, 2),
        "stories": {
            name: {
                "operations": len(swept.ops),
                "cut_points": len(swept.ops) - swept.shared,
                "cuts": swept.cuts,
                "double_cuts": swept.double_cuts,
                "recoveries": swept.recoveries,
                "failures": len(swept.failures),
            }
            for name, swept in result.stories.items()
        },
        "paths": dict(sorted(paths(result).items())),
        "failures": [_failure(one, result.plan) for one in result.failures[:FAILURES_SHOWN]],
    }


def paths(result: Result) -> Counter[str]:
    """Return how many operations touched each storage path; messages are counted together."""
    return Counter(
        storage_path(op.path)
        for swept in result.stories.values()
        for op in swept.ops[swept.shared :]
    )


def storage_path(path: str) -> str:
    """Return what *path* is, whatever message it holds and however it is written."""
    path = path.removesuffix(".tmp")
    folder = path.rpartition("/")[0]
    return f"{folder}/*" if folder == "data/outbox" else path


def to_text(result: Result) -> str:
    """Return the result in words, failures with the command that repeats each."""
    found = to_json(result)
    lines = [
        f"{found['cuts']} cuts after {found['cut_points']} operations in "
        f"{len(found['modes'])} modes, and {found['double_cuts']} in recoveries: "
        f"{found['bricks']} bricks, {found['stuck']} stuck, {found['lies']} lies "
        f"({found['cpu_s']} s of CPU)"
    ]
    for name, swept in found["stories"].items():
        lines.append(
            f"  {name}: {swept['cut_points']} of {swept['operations']} operations, "
            f"{swept['recoveries']} recoveries, {swept['failures']} failures"
        )
    for failure in found["failures"]:
        lines += [
            f"{failure['kind']}: {failure['sentence']}",
            f"  story {failure['story']}, cut after {'; then '.join(failure['cuts'])}",
            f"  again: {failure['again']}",
        ]
    return "\n".join(lines)


def _failure(failure: Failure, plan: Plan) -> dict[str, Any]:
    return {
        "kind": str(failure.finding.kind),
        "sentence": failure.finding.sentence,
        "story": failure.story,
        "cuts": [str(cut) for cut in failure.cuts],
        "again": again(failure, plan),
    }


def again(failure: Failure, plan: Plan) -> str:
    """Return the command that repeats *failure* alone."""
    cuts = ",".join(
        f"{cut.op.number}:{cut.kept}" + (f":{cut.draw}" if cut.draw else "") for cut in failure.cuts
    )
    bug = "" if plan.bug is None else f" --mutant {plan.bug.name}"
    return f"oleada-lab sweep power --story {failure.story} --seed {plan.seed} --cut {cuts}{bug}"
