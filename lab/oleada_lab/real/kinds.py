"""The kinds of cutting: how each is done, and what came of it."""

import resource
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Final, TypeVar

from oleada_lab.clock import monotonic_s
from oleada_lab.errors import LabError
from oleada_lab.real import cuts, faults, traced, traced_faults
from oleada_lab.real.cuts import Cut, Recording, Stand
from oleada_lab.real.kept import Keep
from oleada_lab.real.report import Swept
from oleada_lab.real.steps import steps
from oleada_lab.real.tale import DEAD, SICK, UPDATED, Tale
from oleada_lab.real.twin import a_twin
from oleada_lab.real.verdict import Fate, Verdict
from oleada_lab.sim.crash import Kept
from oleada_lab.sweep.bugs import Bug
from oleada_lab.sweep.power import DOUBLE_MODES, SEED

JOBS: Final = 2
TOLD_EVERY: Final = 25
KILLED_EVERY: Final = 40
"""Of the operations that are cut: where a box is killed as well."""
DOUBLE, SECONDS = 6, 4
"""Recoveries that are cut again, and cuts in each of them."""
WELL: Final = Verdict(Fate.WELL)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Choice:
    """What to sweep.

    Attributes:
        every: Cut after each so-many-th operation, the last one always.
        at: Cut after this operation alone; None for all that *every* leaves.
        jobs: Boxes at a time.
        killed: Kill a box in each so-many-th operation that is cut; 0 for none.
        bug: Planted in the disk, here and in virtual time.
        double: How many recoveries are cut again; None for all.
        seed: Of which these are.
    """

    modes: tuple[Kept, ...]
    every: int = 1
    at: int | None = None
    jobs: int = JOBS
    bug: Bug | None = None
    killed: int = KILLED_EVERY
    double: int | None = DOUBLE
    seed: int = SEED

    @property
    def deaf_to(self) -> tuple[str, ...]:
        """Return the paths whose syncs do nothing."""
        return () if self.bug is None else self.bug.deaf_to

    def of(self, count: int, first: int = 1) -> list[int]:
        """Return which of *first* to *count* to cut at.

        Raises:
            LabError: there is no such operation.
        """
        if self.at is None:
            return sorted({*range(first, count + 1, self.every), count})
        if not 1 <= self.at <= count:
            raise LabError(f"There is no operation {self.at}; the update has {count}.")
        return [self.at]

    def to_kill(self, numbers: Sequence[int]) -> list[int]:
        """Return in which of the operations *numbers* a box is killed."""
        return list(numbers[:: self.killed]) if self.killed else []

    def to_cut_again(self, firsts: Sequence[T]) -> list[T]:
        """Return which of the cuts *firsts* are cut again in their recovery."""
        if self.double is None:
            return list(firsts)
        dice = Random(f"{self.seed}/double")
        return dice.sample(list(firsts), min(self.double, len(firsts)))

    def in_recovery(self, count: int) -> list[int]:
        """Return which of the *count* operations of a recovery are cut, from 0."""
        if self.double is None:
            return list(range(count))
        dice = Random(f"{self.seed}/{count}")
        return sorted(dice.sample(range(count), min(SECONDS, count)))


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
            self.keep.add(kind, cut, cpu_s=cpu_s(), wall_s=self.wall_s())
            if cut.verdict.fate is not Fate.WELL:
                bad += 1
                what = cut.fault or cut.kept
                _say(f"{kind}: {cut.verdict.fate} at {cut.number}, {what}: {cut.verdict.why}")
            if cut.number not in numbers:
                numbers.add(cut.number)
                if len(numbers) % TOLD_EVERY == 0:
                    _say(f"{kind}: {len(numbers)} of {count} cut points, {bad} failures")


def over_fuse(kind: str, tale: Tale, home: Path, choice: Choice, book: Book) -> Swept:
    """Return what became of boxes of *tale* on a medium that forgets."""
    keep = book.keep
    with cuts.stands(home, choice.jobs, choice.deaf_to, tale) as places:
        life = _recorded(places)
        numbers = choice.of(len(life.log), _first(life, tale))

        def left(some: Sequence[int], *, killed: bool) -> list[tuple[int, list[Kept]]]:
            found = []
            for number in some:
                name = life.names[number - 1]
                modes = [m for m in choice.modes if not keep.has(kind, name, m, killed=killed)]
                found += [(number, modes)] if modes else []
            return found

        wanted = left(numbers, killed=False)
        book.take(kind, cuts.sweep(places, wanted), len(wanted))
        wanted = left(choice.to_kill(numbers), killed=True)
        named = [(life.names[number - 1], modes) for number, modes in wanted]
        book.take(kind, cuts.sweep_by_killing(places, named), len(named))
    done = keep.of(kind, life.numbers)
    twin = a_twin(choice.bug, tale.parts)
    return Swept(kind, len(life.log), len(numbers), done, steps(life.log), twin)


def twice(home: Path, choice: Choice, book: Book) -> Swept:
    """Return what became of boxes that lost their power again while they recovered."""
    with cuts.stands(home, choice.jobs, choice.deaf_to) as places:
        life = _recorded(places)
        firsts = [
            Cut(number, op, kept, WELL, stage=stage, name=life.names[number - 1])
            for number in choice.of(len(life.log))
            for op, stage in [life.log[number - 1]]
            for kept in DOUBLE_MODES
        ]
        known = {(cut.first.name, cut.first.kept) for cut in book.keep.of("double") if cut.first}
        chosen = choice.to_cut_again(firsts)
        wanted = [cut for cut in chosen if (cut.name, cut.kept) not in known]
        found = cuts.sweep_again(places, wanted, choice.in_recovery, DOUBLE_MODES)
        book.take("double", found, len(wanted))
    done = book.keep.of("double")
    twin = a_twin(choice.bug)
    return Swept("double", len(life.log), len(chosen), done, None, twin)


def by_strace(home: Path, choice: Choice, book: Book) -> Swept:
    """Return what became of boxes whose processes were killed at a call, on a plain disk."""
    keep = book.keep
    with traced.stands(home, choice.jobs) as places:
        log, points, verdict = places[0].record()
        _must_be_well(verdict)
        chosen = _chosen(points, choice)
        wanted = [p for p in chosen if not keep.has("strace", p.title, Kept.ALL, killed=False)]
        book.take("strace", traced.sweep(places, wanted, log), len(wanted))
    done = keep.of("strace", {point.title: point.done for point in points})
    twin = a_twin(choice.bug)
    return Swept("strace", len(log), len(chosen), done, None, twin)


def with_faults(home: Path, choice: Choice, book: Book) -> Swept:
    """Return what became of boxes whose disk failed and was mended."""
    keep = book.keep
    with cuts.stands(home, choice.jobs) as places:
        life = _recorded(places[:1])
        numbers = choice.of(len(life.log))
        wanted = [
            (trouble, number)
            for trouble, number in faults.tasks(numbers, life.log)
            if not keep.has("faults", life.names[number - 1], Kept.ALL, trouble.name, killed=False)
        ]
        book.take("faults", faults.sweep(places, wanted, life), len(wanted))
    done = keep.of("faults", life.numbers)
    return Swept("faults", len(life.log), len(numbers), done, steps(life.log), a_twin())


def with_faults_of_ext4(home: Path, choice: Choice, book: Book) -> Swept:
    """Return what became of boxes on a plain disk that failed and was mended."""
    kind, keep = "faults-strace", book.keep
    with traced_faults.stands(home, choice.jobs) as places:
        log, points, verdict = places[0].record()
        _must_be_well(verdict)
        chosen = _chosen(points, choice)
        wanted = [
            (failure, point)
            for failure, point in traced_faults.tasks(chosen)
            if not keep.has(kind, point.title, Kept.ALL, failure.name, killed=False)
        ]
        book.take(kind, traced_faults.sweep(places, wanted, log), len(wanted))
    done = keep.of(kind, {point.title: point.done for point in points})
    return Swept(kind, len(log), len(chosen), done, None, a_twin())


KINDS: Final[dict[str, Callable[[Path, Choice, Book], Swept]]] = {
    "fuse": partial(over_fuse, "fuse", UPDATED),
    "unhealthy": partial(over_fuse, "unhealthy", SICK),
    "unbootable": partial(over_fuse, "unbootable", DEAD),
    "double": twice,
    "strace": by_strace,
    "faults": with_faults,
    "faults-strace": with_faults_of_ext4,
}
"""What can be asked for, in the order in which it is done."""


def _first(life: Recording, tale: Tale) -> int:
    """Return the number of the operation from which on *tale* is cut."""
    stages = [logged.stage for logged in life.log]
    return stages.index(tale.from_stage) + 1 if tale.from_stage in stages else 1


def _chosen(points: Sequence[traced.Point], choice: Choice) -> list[traced.Point]:
    """Return at which of *points* to cut; one of them is named by the operations before it."""
    if choice.at is not None:
        return [point for point in points if point.done == choice.at]
    return [points[number - 1] for number in choice.of(len(points))]


def _recorded(places: Sequence[Stand]) -> Recording:
    """Let every place record a life; return the first one.

    Raises:
        LabError: a life did not end well.
    """
    lives = list(cuts.shared_out(places, places, lambda _, place: place.recording))
    for life in lives:
        _must_be_well(life.verdict)
    return lives[0]


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _must_be_well(verdict: Verdict) -> None:
    if verdict.fate is not Fate.WELL:
        raise LabError(f"The update fails without any cut, so cuts prove nothing: {verdict.why}")


def cpu_s() -> float:
    """Return CPU seconds of this process and of all that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
