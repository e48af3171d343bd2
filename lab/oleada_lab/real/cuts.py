"""The sweep over FUSE: a real box loses its power after each operation on its disk.

For every cut point a box comes from the factory, gets power and runs until it has done
that operation; right then its whole process group is killed. What a mode of loss takes
is taken, the power returns, nothing fails any more, and the box must reach its goal.
Media that are equal after the cut are recovered once: the box knows nothing else.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Final, TypeVar

from oleada_lab.boxes import Box
from oleada_lab.real.mount import Mount, mounted
from oleada_lab.real.scene import Scene, a_scene, recover, until_dark
from oleada_lab.real.steps import Logged
from oleada_lab.real.verdict import Verdict
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import Op

FACTORY: Final = "factory"
CUT: Final = "cut"
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
        is_equal: Its medium was equal to that of a cut that was recovered.
    """

    number: int
    after: Op | None
    kept: Kept
    verdict: Verdict
    said: str = ""
    is_equal: bool = False
    stage: str = ""
    fault: str = ""


class Stand:
    """One place where boxes are cut: a house and a medium under FUSE.

    Args:
        deaf_to: Paths whose syncs the medium forgets: a planted bug.
    """

    def __init__(self, scene: Scene, mount: Mount, deaf_to: Sequence[str] = ()) -> None:
        self.scene = scene
        self.mount = mount
        self._deaf_to = deaf_to
        mount.load(scene.factory)
        mount.keep(FACTORY)

    def record(self) -> tuple[list[Logged], Verdict]:
        """Return the operations of one whole update, and how it ended."""
        verdict, _ = recover(self.scene, self.new_box())
        return self.mount.log(), verdict

    def cut(self, number: int, modes: Sequence[Kept]) -> Iterator[Cut]:
        """Cut a new box's power after operation *number*; yield what each mode makes of it."""
        box = self.new_box(number)
        until_dark(self.scene, box)
        log = self.mount.log()
        after, stage = log[-1] if len(log) >= number else (None, "")
        known_then = self.scene.known()
        self.mount.keep(CUT)
        known: dict[str, Cut] = {}
        for kept in modes:
            self.mount.back(CUT)
            digest = self.mount.lose_power(kept, number)
            if digest in known:
                same = known[digest]
                yield replace(same, kept=kept, is_equal=True)
                continue
            self.scene.go_back(known_then)
            verdict, said = recover(self.scene, box)
            known[digest] = Cut(number, after, kept, verdict, said, stage=stage)
            yield known[digest]

    def new_box(self, cut_after: int | None = None) -> Box:
        """Return a box from the factory, switched off, that the house has never seen."""
        self.mount.back(FACTORY)
        self.mount.forget_syncs(*self._deaf_to)
        box = self.scene.new_box(self.mount.folder)
        self.mount.cut_after(cut_after)
        return box


@contextmanager
def a_stand(home: Path, deaf_to: Sequence[str] = ()) -> Iterator[Stand]:
    """Yield a stand over directory *home*, which is made."""
    with a_scene(home) as scene, mounted(home / "box") as mount:
        yield Stand(scene, mount, deaf_to)


@contextmanager
def stands(home: Path, count: int, deaf_to: Sequence[str] = ()) -> Iterator[list[Stand]]:
    """Yield *count* stands that know nothing of each other."""
    with ExitStack() as stack:
        yield [stack.enter_context(a_stand(home / f"stand-{i}", deaf_to)) for i in range(count)]


def sweep(places: Sequence[Stand], numbers: Sequence[int], modes: Sequence[Kept]) -> Iterator[Cut]:
    """Yield what became of the boxes cut after each of *numbers*, as it is found out."""
    for found in shared_out(places, numbers, lambda place, number: list(place.cut(number, modes))):
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
