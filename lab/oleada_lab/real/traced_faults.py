"""A plain disk that fails under a real box: at the k-th system call, or from it on.

Where ``faults`` lets a medium of the lab fail, here a kernel does: strace answers one
call with EIO in the kernel's place, or stops the process there while a real ext4 is
filled, or finds an error and refuses every change from then on. What the box owes is
the same.
"""

import errno
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from oleada_lab.boxes import Box
from oleada_lab.clock import monotonic_s, sleep_s
from oleada_lab.real.cuts import Cut, shared_out
from oleada_lab.real.ext4 import Ext4, a_disk
from oleada_lab.real.faults import SLOW_SYNC_S, endure
from oleada_lab.real.patience import Patience, delays_of
from oleada_lab.real.scene import LIMIT_S, POLL_S, Scene, a_scene
from oleada_lab.real.traced import Point, TracedStand
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import Op

STOPPED: Final = "--- stopped by SIGSTOP ---"
ONCE: Final = "inject={call}:error=EIO:when={when}"
STOP: Final = "inject={call}:signal=STOP:when={when}"
SLOW: Final = f"inject=fsync:delay_enter={int(SLOW_SYNC_S * 1e6)}"


@dataclass(frozen=True, slots=True)
class Failure:
    """One way in which a plain disk fails.

    Attributes:
        code: What the system calls it; None when nothing is refused.
        inject: What strace is told, with the call and its number.
        strike: What becomes of the disk while the process stands still at the call.
    """

    name: str
    code: int | None
    inject: str
    strike: Callable[[Ext4], None] | None = None


FAILURES: Final = (
    Failure("eio", errno.EIO, ONCE),
    Failure("enospc", errno.ENOSPC, STOP, Ext4.fill),
    Failure("erofs", errno.EROFS, STOP, Ext4.fail),
)
SLOWNESS: Final = Failure("slow", None, SLOW)
Task = tuple[Failure, Point]


class FailingStand(TracedStand):
    """One place where plain disks fail: a house, and a box on an ext4."""

    def __init__(self, scene: Scene, home: Path, disk: Ext4) -> None:
        super().__init__(scene, home, disk.box)
        self._disk = disk

    def suffer(self, task: Task, before: Sequence[Op]) -> Cut:
        """Let the disk of a new box fail as *task* says; return what becomes of the box.

        Args:
            before: The changes of a whole update, to name the last one before the failure.
        """
        failure, point = task
        log = self.home / "fault.log"
        inject = failure.inject.format(call=point.name, when=point.when)
        call = point.name if failure.code else "fsync"
        options = ["-e", "signal=STOP", "-e", f"trace={call}", "-e", inject]
        box = self.new_box(log, options, point.start if failure.code else None)
        self._disk.settle()
        try:
            box.power_on()
            if failure.strike is not None:
                self._strike(failure.strike, box, log)
            verdict, said = endure(self.scene, box, failure.code, self._mended)
        finally:
            box.power_cut()
            self._disk.mend()
        after = before[point.done - 1] if point.done else None
        return Cut(point.done, after, Kept.ALL, verdict, said, fault=failure.name, name=point.title)

    def _strike(self, strike: Callable[[Ext4], None], box: Box, log: Path) -> None:
        """Let the disk fail when *box* stands still at its call, and let it go on.

        A box that comes to rest without that call does not meet the failure.
        """
        patience = Patience(LIMIT_S, monotonic_s())
        while box.is_on and self.scene.rest(box) is None:
            if log.exists() and STOPPED in log.read_text(errors="replace"):
                strike(self._disk)
                os.killpg(box.pid, signal.SIGCONT)
                return
            if patience.is_out(monotonic_s(), lambda: delays_of(box.pid)):
                return
            sleep_s(POLL_S)

    def _mended(self) -> Box:
        self._disk.mend()
        return self.scene.box_in(self.box)


def tasks(points: Sequence[Point]) -> list[Task]:
    """Return in which ways a disk is to fail at which of *points*; it is slow once."""
    slow = [(SLOWNESS, points[0])] if points else []
    return [*slow, *((failure, point) for point in points for failure in FAILURES)]


@contextmanager
def stands(home: Path, count: int) -> Iterator[list[FailingStand]]:
    """Yield *count* stands that know nothing of each other."""
    with ExitStack() as stack:
        made = []
        for number in range(count):
            place = home / f"stand-{number}"
            scene = stack.enter_context(a_scene(place))
            made.append(FailingStand(scene, place, stack.enter_context(a_disk(place / "ext4"))))
        yield made


def sweep(
    places: Sequence[FailingStand], wanted: Sequence[Task], before: Sequence[Op]
) -> Iterator[Cut]:
    """Yield what became of the boxes whose disks failed as *wanted*, as it is found out."""
    return shared_out(places, wanted, lambda place, task: place.suffer(task, before))
