"""Which file a worker takes next: some workers take what waits, the others what computes.

A test that starts servers and boxes mostly waits for them. If every worker waits, the
processors have nothing to do; if none does, the waiting comes last and adds up.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

WAITING_MAX: Final = 2
"""Workers that take what waits: of four, on two processors, the other two compute."""


class Lanes(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Hands out files in the order of the suite, each to a worker of its lane.

    Args:
        waiting: Beginnings of the names of files that mostly wait.
    """

    def __init__(self, config: pytest.Config, log: Producer, waiting: Sequence[str]) -> None:
        super().__init__(config, log)
        self._waiting = waiting

    def _assign_work_unit(self, node: WorkerController) -> None:
        others = [units for other, units in self.assigned_work.items() if other is not node]
        chosen = next_file(list(self.workqueue), map(unfinished, others), self._waiting)
        self.workqueue.move_to_end(chosen, last=False)
        super()._assign_work_unit(node)


def unfinished(units: Mapping[str, Mapping[str, bool]]) -> list[str]:
    """Return the files of one worker that have a test to run; *units* say which has run."""
    return [name for name, tests in units.items() if not all(tests.values())]


def next_file(
    queue: Sequence[str], of_others: Iterable[Sequence[str]], waiting: Sequence[str]
) -> str:
    """Return the first file of *queue* that belongs to a worker's lane, else the first.

    Args:
        queue: Files that nobody has taken, in their order; at least one.
        of_others: For each of the other workers, the files that it has to finish.
        waiting: Beginnings of the names of files that mostly wait.
    """

    def waits(name: str) -> bool:
        return name.startswith(tuple(waiting))

    shall_wait = sum(any(map(waits, names)) for names in of_others) < WAITING_MAX
    return next((name for name in queue if waits(name) is shall_wait), queue[0])
