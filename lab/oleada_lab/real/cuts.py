"""The sweep over FUSE: a real box loses its power after each operation on its disk.

One box comes from the factory, gets power and runs to its goal, once; the medium is kept
after each operation, while the process that did it still waits for the answer, and so is
what the server knew then. Each of these media is then cut in each mode: what the mode
loses is lost, the power returns, nothing fails any more, and the box must reach its goal.
Where medium and server are equal to those of an earlier cut, the same will happen: the
box knows nothing else. In a sample of the operations a box is really killed instead, in
the operation itself; that must end as the cut of the record did.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Final, TypeVar

from oleada_agent.disk import RealDisk

from oleada_lab.boxes import Box
from oleada_lab.real.medium import recorded
from oleada_lab.real.mount import Mount, mounted
from oleada_lab.real.scene import Known, Scene, a_scene, recover, until_dark
from oleada_lab.real.steps import Logged, names, stage_of
from oleada_lab.real.tale import UPDATED, Tale
from oleada_lab.real.verdict import Verdict
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import Op

FACTORY: Final = "factory"
KILLED: Final = "killed"
WHOLE: Final = "whole"
AGAIN: Final = "again"
BATCH: Final = 12
"""Operations that one stand cuts in a row: neighbours leave equal media."""
P = TypeVar("P")
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Cut:
    """What became of a box after one cut.

    Attributes:
        after: The operation after which the power went; None when the update had ended.
        stage: Of the machine then, by its journal; empty when it was not looked at.
        kept: The mode of loss.
        said: The end of the console, for people; empty when all is well.
        fault: What the medium did instead of losing its power; empty for a cut.
        is_equal: Medium and server were equal to those of a cut that was recovered.
        name: Of the operation, the same in every life of a box.
        is_killed: A box was killed in the operation; else the medium was kept after it.
        first: The cut in whose recovery this one is the second; None for a single cut.
    """

    number: int
    after: Op | None
    kept: Kept
    verdict: Verdict
    said: str = ""
    is_equal: bool = False
    stage: str = ""
    fault: str = ""
    name: str = ""
    is_killed: bool = False
    first: "Cut | None" = None


@dataclass(frozen=True, slots=True)
class Recording:
    """One undisturbed life of a box.

    Attributes:
        names: Of the operations, as ``steps.names`` gives them.
        known: What the server knew when each was done.
    """

    log: Sequence[Logged]
    names: Sequence[str]
    known: Sequence[Known]
    verdict: Verdict
    said: str

    @property
    def numbers(self) -> dict[str, int]:
        """Return the number of each operation by its name."""
        return {name: number for number, name in enumerate(self.names, 1)}


class Stand:
    """One place where boxes are cut: a house and a medium under FUSE.

    Args:
        deaf_to: Paths whose syncs the medium forgets: a planted bug.

    Attributes:
        recording: Of the life that is cut; made when it is first asked for.
    """

    def __init__(self, scene: Scene, mount: Mount, deaf_to: Sequence[str] = ()) -> None:
        self.scene = scene
        self.mount = mount
        self._deaf_to = deaf_to
        self._recording: Recording | None = None
        self._ends: dict[tuple[str, Known], tuple[Verdict, str]] = {}
        mount.load(scene.factory)
        mount.keep(FACTORY)

    @property
    def recording(self) -> Recording:
        """Return the life that is cut."""
        if self._recording is None:
            self._recording = self._record()
        return self._recording

    def _record(self) -> Recording:
        box = self.new_box()
        self.mount.record_as(WHOLE)
        verdict, said = recover(self.scene, box)
        log = self.mount.log()
        known = [self.scene.known(moment) for moment in self.mount.moments()]
        return Recording(log, names(log), known, verdict, said)

    def cut(self, number: int, modes: Sequence[Kept]) -> Iterator[Cut]:
        """Cut the recorded box after operation *number*; yield what each mode makes of it."""
        found = self.recording
        after, stage = found.log[number - 1]
        for kept in modes:
            ended, is_equal = self._lose(
                recorded(WHOLE, number), found.known[number - 1], kept, number
            )
            yield Cut(number, after, kept, *ended, is_equal, stage, name=found.names[number - 1])

    def kill(self, name: str, modes: Sequence[Kept]) -> Iterator[Cut]:
        """Kill a new box in the operation *name*; yield what each mode makes of it."""
        box = self.new_box()
        self.mount.cut_at(name)
        until_dark(self.scene, box)
        log = self.mount.log()
        number = len(log)
        after, stage = log[-1] if names(log)[-1] == name else (None, "")
        known = self.scene.known()
        self.mount.keep(KILLED)
        for kept in modes:
            ended, is_equal = self._lose(KILLED, known, kept, number)
            yield Cut(number, after, kept, *ended, is_equal, stage, name=name, is_killed=True)

    def cut_again(
        self, first: Cut, choose: Callable[[int], list[int]], modes: Sequence[Kept]
    ) -> Iterator[Cut]:
        """Cut the recovery of *first* too; yield what becomes of the box.

        Args:
            first: A cut of the recorded life, by its own number.
            choose: Told how many operations the recovery has, says which of them, from 0.
            modes: Of the second cut.
        """
        self.mount.back(recorded(WHOLE, first.number))
        self.mount.lose_power(first.kept, first.number)
        self.scene.go_back(self.recording.known[first.number - 1])
        before = stage_of(RealDisk(self.mount.folder))
        self.mount.record_as(AGAIN)
        recover(self.scene, self.scene.box_in(self.mount.folder))
        log = self.mount.log()
        known = [self.scene.known(moment) for moment in self.mount.moments()]
        for at in choose(len(log)):
            op = log[at].op
            for kept in modes:
                ended, is_equal = self._lose(recorded(AGAIN, op.number), known[at], kept, op.number)
                yield Cut(
                    op.number, op, kept, *ended, is_equal, log[at].stage or before,
                    name=names(log)[at], first=first,
                )  # fmt: skip
        self.mount.forget(AGAIN)

    def _lose(
        self, medium: str, known: Known, kept: Kept, seed: int
    ) -> tuple[tuple[Verdict, str], bool]:
        """Return what becomes of the box of *medium* in mode *kept*, and whether it was known."""
        self.mount.back(medium)
        key = self.mount.lose_power(kept, seed), known
        if is_equal := key in self._ends:
            return self._ends[key], is_equal
        self.scene.go_back(known)
        self._ends[key] = recover(self.scene, self.scene.box_in(self.mount.folder))
        return self._ends[key], is_equal

    def new_box(self) -> Box:
        """Return a box from the factory, switched off, that the house has never seen."""
        self.mount.back(FACTORY)
        self.mount.forget_syncs(*self._deaf_to)
        return self.scene.new_box(self.mount.folder)


@contextmanager
def a_stand(home: Path, deaf_to: Sequence[str] = (), tale: Tale = UPDATED) -> Iterator[Stand]:
    """Yield a stand over directory *home*, which is made."""
    with a_scene(home, tale) as scene, mounted(home / "box") as mount:
        yield Stand(scene, mount, deaf_to)


@contextmanager
def stands(
    home: Path, count: int, deaf_to: Sequence[str] = (), tale: Tale = UPDATED
) -> Iterator[list[Stand]]:
    """Yield *count* stands that know nothing of each other."""
    with ExitStack() as stack:
        places = (a_stand(home / f"stand-{i}", deaf_to, tale) for i in range(count))
        yield [stack.enter_context(place) for place in places]


def sweep(places: Sequence[Stand], wanted: Sequence[tuple[int, Sequence[Kept]]]) -> Iterator[Cut]:
    """Yield what became of the boxes cut after each of the operations *wanted*, in its modes.

    Numbers are those of the first place; another one cuts the operation of the same name
    in the life that it has recorded, and leaves what there is none of to the first.
    """
    first = places[0].recording
    batches = [wanted[at : at + BATCH] for at in range(0, len(wanted), BATCH)]
    left: list[tuple[int, Sequence[Kept]]] = []

    def some(place: Stand, batch: Sequence[tuple[int, Sequence[Kept]]]) -> list[Cut]:
        done: list[Cut] = []
        for number, modes in batch:
            own = place.recording.numbers.get(first.names[number - 1])
            if own is None:
                left.append((number, modes))
            else:
                done += (replace(cut, number=number) for cut in place.cut(own, modes))
        return done

    for found in shared_out(places, batches, some):
        yield from found
    for number, modes in left:
        yield from places[0].cut(number, modes)


def sweep_again(
    places: Sequence[Stand],
    firsts: Sequence[Cut],
    choose: Callable[[int], list[int]],
    modes: Sequence[Kept],
) -> Iterator[Cut]:
    """Yield what became of the boxes that were cut again in the recoveries of *firsts*.

    Args:
        firsts: Cuts of the life that the first place has recorded.
        choose: As for ``Stand.cut_again``.
    """

    def one(place: Stand, first: Cut) -> list[Cut]:
        own = place.recording.numbers.get(first.name)
        if own is None:  # a message that only the first place has sent
            return []
        found = place.cut_again(replace(first, number=own), choose, modes)
        return [replace(cut, first=first) for cut in found]

    for found in shared_out(places, firsts, one):
        yield from found


def sweep_by_killing(
    places: Sequence[Stand], wanted: Sequence[tuple[str, Sequence[Kept]]]
) -> Iterator[Cut]:
    """Yield what became of the boxes killed in each of the operations *wanted*, in its modes."""
    for found in shared_out(places, wanted, lambda place, one: list(place.kill(*one))):
        yield from found


def shared_out(places: Sequence[P], tasks: Sequence[T], do: Callable[[P, T], R]) -> Iterator[R]:
    """Yield what *do* makes of each of *tasks*, in order; each place does one at a time."""
    free: SimpleQueue[P] = SimpleQueue()
    for place in places:
        free.put(place)

    def one(task: T) -> R:
        place = free.get()
        try:
            return do(place, task)
        finally:
            free.put(place)

    pool = ThreadPoolExecutor(len(places))
    try:
        yield from pool.map(one, tasks)
    finally:  # who stops waits for what is under way, not for all that was asked for
        pool.shutdown(cancel_futures=True)
