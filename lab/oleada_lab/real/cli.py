"""``oleada-lab sweep power --real``: choose what to cut, let it be cut, say what was found."""

import argparse
import json
import resource
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from oleada_lab.bench.report import command_line, environment
from oleada_lab.clock import monotonic_s
from oleada_lab.errors import LabError
from oleada_lab.real import cuts, faults, report, tools, traced
from oleada_lab.real.cuts import Cut
from oleada_lab.real.report import Swept
from oleada_lab.real.steps import steps
from oleada_lab.real.twin import a_twin
from oleada_lab.real.verdict import Fate, Verdict
from oleada_lab.sim.crash import Kept
from oleada_lab.sweep.bugs import Bug

NEEDS: Final = {"fuse": ("fuse",), "strace": ("strace",), "faults": ("fuse",)}
"""What of the machine each kind needs, by the names of ``oleada-lab doctor``."""
JOBS: Final = 2
TOLD_EVERY: Final = 25


@dataclass(frozen=True, slots=True)
class Choice:
    """What to sweep.

    Attributes:
        every: Cut after each so-many-th operation, the last one always.
        at: Cut after this operation alone; None for all that *every* leaves.
        jobs: Boxes at a time.
        deaf_to: Paths whose syncs do nothing: a planted bug.
    """

    modes: tuple[Kept, ...]
    every: int = 1
    at: int | None = None
    jobs: int = JOBS
    deaf_to: tuple[str, ...] = ()

    def of(self, count: int) -> list[int]:
        """Return which of 1 to *count* to cut at.

        Raises:
            LabError: there is no such operation.
        """
        if self.at is None:
            return sorted({*range(1, count + 1, self.every), count})
        if not 1 <= self.at <= count:
            raise LabError(f"There is no operation {self.at}; the update has {count}.")
        return [self.at]


def add_options(found: argparse.ArgumentParser) -> None:
    """Add what only the sweep with real processes knows."""
    real = found.add_argument_group("with real processes")
    real.add_argument(
        "--real", action="store_true", help="boot program and agent as processes, on real disks"
    )
    real.add_argument(
        "--kind", action="append", choices=sorted(KINDS), help="how to cut; repeatable (all)"
    )
    real.add_argument(
        "--every", type=int, default=1, metavar="N", help="cut after each N-th operation only"
    )
    real.add_argument("--at", type=int, metavar="N", help="cut after operation N only")
    real.add_argument(
        "--jobs", type=int, default=JOBS, help="boxes at a time (default: %(default)s)"
    )


def run(options: argparse.Namespace, modes: Sequence[Kept], bug: Bug | None) -> int:
    """Sweep as *options* ask; return the exit code.

    Raises:
        LabError: a tool is missing, or the update fails without any cut.
    """
    kinds = options.kind or (["fuse"] if bug is not None else list(KINDS))
    if said := tools.missing(*{need for kind in kinds for need in NEEDS[kind]}):
        raise LabError(said)
    if options.every < 1 or options.jobs < 1:
        raise LabError("--every and --jobs are 1 or more.")
    deaf_to = bug.deaf_to if bug is not None else ()
    choice = Choice(tuple(modes), options.every, options.at, options.jobs, deaf_to)
    started_s = monotonic_s()
    twin = a_twin(modes, bug)
    swept = []
    with tempfile.TemporaryDirectory(prefix="oleada-real-") as home:
        for kind in kinds:
            swept.append(KINDS[kind](Path(home, kind), choice))
    found = {
        **report.to_json(swept, twin, [str(kept) for kept in modes]),
        "wall_s": round(monotonic_s() - started_s, 1),
        "cpu_s": round(_cpu_s(), 1),
        **environment(options.seed, command_line()),
    }
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print(report.to_text(found))
    return 0 if report.is_well(found) else 1


def over_fuse(home: Path, choice: Choice) -> Swept:
    """Return what became of boxes on a medium that forgets."""
    with cuts.stands(home, choice.jobs, choice.deaf_to) as places:
        log, verdict = places[0].record()
        _must_be_well(verdict)
        numbers = choice.of(len(log))
        done = list(_told("fuse", cuts.sweep(places, numbers, choice.modes), len(numbers)))
    return Swept("fuse", len(log), len(numbers), done, steps(log))


def by_strace(home: Path, choice: Choice) -> Swept:
    """Return what became of boxes whose processes were killed at a call, on a plain disk."""
    with traced.stands(home, choice.jobs) as places:
        log, points, verdict = places[0].record()
        _must_be_well(verdict)
        chosen = [points[number - 1] for number in choice.of(len(points))]
        if choice.at is not None:  # a point is named by the operations before it
            chosen = [point for point in points if point.done == choice.at]
        done = list(_told("strace", traced.sweep(places, chosen, log), len(chosen)))
    return Swept("strace", len(log), len(chosen), done, None)


def with_faults(home: Path, choice: Choice) -> Swept:
    """Return what became of boxes whose disk failed and was mended."""
    with cuts.stands(home, choice.jobs) as places:
        log, verdict = places[0].record()
        _must_be_well(verdict)
        numbers = choice.of(len(log))
        done = list(_told("faults", faults.sweep(places, numbers, log), len(numbers)))
    return Swept("faults", len(log), len(numbers), done, steps(log))


KINDS: Final[dict[str, Callable[[Path, Choice], Swept]]] = {
    "fuse": over_fuse,
    "strace": by_strace,
    "faults": with_faults,
}


def _told(kind: str, found: Iterable[Cut], count: int) -> Iterable[Cut]:
    """Yield *found*; say on standard error each failure, and now and then how far it is."""
    numbers: set[int] = set()
    bad = 0
    for cut in found:
        if cut.verdict.fate is not Fate.WELL:
            bad += 1
            what = cut.fault or cut.kept
            print(f"{kind}: {cut.verdict.fate} at {cut.number}, {what}: {cut.verdict.why}",
                  file=sys.stderr, flush=True)  # fmt: skip
        if cut.number not in numbers:
            numbers.add(cut.number)
            if len(numbers) % TOLD_EVERY == 0:
                print(f"{kind}: {len(numbers)} of {count} cut points, {bad} failures",
                      file=sys.stderr, flush=True)  # fmt: skip
        yield cut


def _must_be_well(verdict: Verdict) -> None:
    if verdict.fate is not Fate.WELL:
        raise LabError(f"The update fails without any cut, so cuts prove nothing: {verdict.why}")


def _cpu_s() -> float:
    """Return CPU seconds of this process and of all that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
