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
from oleada_lab.real.cuts import Cut, Stand
from oleada_lab.real.kept import Keep
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
KILLED_EVERY: Final = 40
"""Of the operations that are cut: where a box is killed as well."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What to sweep.

    Attributes:
        every: Cut after each so-many-th operation, the last one always.
        at: Cut after this operation alone; None for all that *every* leaves.
        jobs: Boxes at a time.
        killed: Kill a box in each so-many-th operation that is cut; 0 for none.
        deaf_to: Paths whose syncs do nothing: a planted bug.
    """

    modes: tuple[Kept, ...]
    every: int = 1
    at: int | None = None
    jobs: int = JOBS
    deaf_to: tuple[str, ...] = ()
    killed: int = KILLED_EVERY

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

    def to_kill(self, numbers: Sequence[int]) -> list[int]:
        """Return in which of the operations *numbers* a box is killed."""
        return list(numbers[:: self.killed]) if self.killed else []


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
    real.add_argument(
        "--killed", type=int, default=KILLED_EVERY, metavar="N",
        help="kill a box in each N-th of them, beside the recorded one; 0: none (%(default)s)",
    )  # fmt: skip
    real.add_argument(
        "--keep", type=Path, metavar="FILE",
        help="keep what is found in FILE; go on from what it holds",
    )  # fmt: skip


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
    choice = Choice(tuple(modes), options.every, options.at, options.jobs, deaf_to, options.killed)
    known = environment(options.seed, command_line())
    head = {"commit": known["commit"], "mutant": options.mutant, "seed": options.seed}
    book = Book(Keep(options.keep, head))
    twin = a_twin(modes, bug)
    swept = []
    with tempfile.TemporaryDirectory(prefix="oleada-real-") as home:
        for kind in kinds:
            swept.append(KINDS[kind](Path(home, kind), choice, book))
    found = {
        **report.to_json(swept, twin, [str(kept) for kept in modes]),
        "wall_s": round(book.keep.wall_s + book.wall_s(), 1),
        "cpu_s": round(book.keep.cpu_s + _cpu_s(), 1),
        **known,
    }
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print(report.to_text(found))
    return 0 if report.is_well(found) else 1


class Book:
    """Takes down what is found, and says on standard error each failure and how far it is."""

    def __init__(self, keep: Keep) -> None:
        self.keep = keep
        self._started_s = monotonic_s()

    def wall_s(self) -> float:
        """Return how long this run has taken."""
        return monotonic_s() - self._started_s

    def take(self, kind: str, found: Iterable[Cut], count: int) -> None:
        """Take down *found*, cuts of *kind* at *count* points in all."""
        numbers: set[int] = set()
        bad = 0
        for cut in found:
            self.keep.add(kind, cut, cpu_s=_cpu_s(), wall_s=self.wall_s())
            if cut.verdict.fate is not Fate.WELL:
                bad += 1
                what = cut.fault or cut.kept
                _say(f"{kind}: {cut.verdict.fate} at {cut.number}, {what}: {cut.verdict.why}")
            if cut.number not in numbers:
                numbers.add(cut.number)
                if len(numbers) % TOLD_EVERY == 0:
                    _say(f"{kind}: {len(numbers)} of {count} cut points, {bad} failures")


def over_fuse(home: Path, choice: Choice, book: Book) -> Swept:
    """Return what became of boxes on a medium that forgets."""
    keep = book.keep
    with cuts.stands(home, choice.jobs, choice.deaf_to) as places:
        life = _recorded(places)
        numbers = choice.of(len(life.log))

        def left(some: Sequence[int], *, killed: bool) -> list[tuple[int, list[Kept]]]:
            found = []
            for number in some:
                name = life.names[number - 1]
                modes = [m for m in choice.modes if not keep.has("fuse", name, m, killed=killed)]
                found += [(number, modes)] if modes else []
            return found

        wanted = left(numbers, killed=False)
        book.take("fuse", cuts.sweep(places, wanted), len(wanted))
        wanted = left(choice.to_kill(numbers), killed=True)
        book.take("fuse", cuts.sweep_by_killing(places, wanted), len(wanted))
    done = keep.of("fuse", life.numbers)
    return Swept("fuse", len(life.log), len(numbers), done, steps(life.log))


def by_strace(home: Path, choice: Choice, book: Book) -> Swept:
    """Return what became of boxes whose processes were killed at a call, on a plain disk."""
    keep = book.keep
    with traced.stands(home, choice.jobs) as places:
        log, points, verdict = places[0].record()
        _must_be_well(verdict)
        chosen = [points[number - 1] for number in choice.of(len(points))]
        if choice.at is not None:  # a point is named by the operations before it
            chosen = [point for point in points if point.done == choice.at]
        wanted = [p for p in chosen if not keep.has("strace", p.title, Kept.ALL, killed=True)]
        book.take("strace", traced.sweep(places, wanted, log), len(wanted))
    done = keep.of("strace", {point.title: point.done for point in points})
    return Swept("strace", len(log), len(chosen), done, None)


def with_faults(home: Path, choice: Choice, book: Book) -> Swept:
    """Return what became of boxes whose disk failed and was mended."""
    keep = book.keep
    with cuts.stands(home, choice.jobs) as places:
        life = _recorded(places[:1])
        numbers = choice.of(len(life.log))
        wanted = [
            (trouble, number)
            for trouble, number in faults.tasks(numbers)
            if not keep.has("faults", life.names[number - 1], Kept.ALL, trouble.name, killed=False)
        ]
        book.take("faults", faults.sweep(places, wanted, life), len(numbers))
    done = keep.of("faults", life.numbers)
    return Swept("faults", len(life.log), len(numbers), done, steps(life.log))


KINDS: Final[dict[str, Callable[[Path, Choice, Book], Swept]]] = {
    "fuse": over_fuse,
    "strace": by_strace,
    "faults": with_faults,
}


def _recorded(places: Sequence[Stand]) -> cuts.Recording:
    """Let every place record a life; return the first one.

    Raises:
        LabError: a life did not end well.
    """
    lives = list(cuts.shared_out(places, places, lambda _, place: place.recording))
    for life in lives:
        _must_be_well(life.verdict)
    return lives[0]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _must_be_well(verdict: Verdict) -> None:
    if verdict.fate is not Fate.WELL:
        raise LabError(f"The update fails without any cut, so cuts prove nothing: {verdict.why}")


def _cpu_s() -> float:
    """Return CPU seconds of this process and of all that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
