"""How long a box has been waited for, without the time in which the machine kept it waiting.

A limit on a machine that others use too must not run while the box stands in the queue
for a processor: a slow box would be called stuck. Nor may it stop while the box sleeps:
one that is stuck would never be. So what counts is the time that has passed, less what
the kernel says its tasks were ready and had no processor.
Source: Linux, Documentation/scheduler/sched-stats.rst, "/proc/<pid>/schedstat".
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from oleada_lab.errors import OperatorError

LOOK_S: Final = 1.0
"""Between two looks at the tasks; time in between counts in full until the next one."""
SLOWEST: Final = 20
"""A machine that gives a box less than this part of itself judges nothing."""
NANO: Final = 1e9

Delays = Mapping[int, float]
"""Seconds for which each task was ready and had no processor, since it began."""


class Patience:
    """Counts the time that one box has had.

    Args:
        limit_s: It may have so much.
        now_s: Of a steady clock.
    """

    def __init__(self, limit_s: float, now_s: float) -> None:
        self._limit_s = limit_s
        self._begun_s = self._looked_s = now_s
        self._had_s = 0.0
        self._delays: Delays = {}

    def is_out(self, now_s: float, look: Callable[[], Delays]) -> bool:
        """Return whether the box has had its time; *look* is asked now and then.

        Raises:
            OperatorError: the machine is so slow that nothing can be said about the box.
        """
        passed_s = now_s - self._looked_s
        if passed_s < LOOK_S:
            return False
        delays = look()
        kept_s = sum(max(0.0, new - self._delays.get(task, 0.0)) for task, new in delays.items())
        self._had_s += passed_s - min(passed_s, kept_s)
        self._delays, self._looked_s = delays, now_s
        if self._had_s >= self._limit_s:
            return True
        if now_s - self._begun_s >= SLOWEST * self._limit_s:
            raise OperatorError(
                f"This machine is too busy to judge a box: it had {self._had_s:.0f} s of "
                f"{now_s - self._begun_s:.0f} s for itself. Give it fewer --jobs."
            )
        return False


def delays_of(pid: int) -> dict[int, float]:
    """Return the delays of the tasks of process *pid*, or of the last of its descendants.

    Who has a child only waits for it, and asks it now and then whether it is done. A
    machine that counts no delays has none: then all time counts.
    """
    children = _children(pid)
    if children:
        return {task: s for child in children for task, s in delays_of(child).items()}
    found = {}
    for task in _tasks(pid):
        words = _text(task / "schedstat").split()
        if len(words) > 1:
            found[int(task.name)] = int(words[1]) / NANO
    return found


def _children(pid: int) -> list[int]:
    return [int(one) for task in _tasks(pid) for one in _text(task / "children").split()]


def _tasks(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:  # it ended just now
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
