"""How far each box has come in a rollout, read from its journal while it works.

A journal is replaced as a whole, so it can be read beside the agent; it is read again
only after it has changed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from oleada_agent.boot.disk import RealDisk
from oleada_agent.errors import StorageError
from oleada_agent.journal import FILES, Journal
from oleada_agent.machine_states import (
    Armed,
    Assigned,
    Committed,
    Declined,
    Downloading,
    Failed,
    Rebooting,
    ReportDraft,
    RolledBack,
    SlotBad,
    State,
    Trial,
    Written,
)

from oleada_lab.boxes import Box
from oleada_lab.chaos.schedule import ORDER, Moment


def moment_of(state: State, version: str, before: ReportDraft | None) -> Moment | None:
    """Return how far a box in *state* is with *version*; None when it does not know of it.

    Args:
        before: The last verdict of the box when the rollout began.
    """
    stage = state.stage
    match stage:
        case Committed() | Declined() | Failed() | RolledBack():
            return Moment.COMMIT if state.last != before else None
        case Assigned(work) | SlotBad(work) | Downloading(work) | Written(work):
            mine = work.assignment.version == version
        case Armed(work) | Rebooting(work) | Trial(work):
            mine = work.assignment.version == version
        case _:
            return Moment.REPORT if state.last != before else None
    return _IN_WORK[type(stage)] if mine else None


_IN_WORK: Mapping[type, Moment] = {
    Assigned: Moment.ASSIGN,
    SlotBad: Moment.DOWNLOAD,
    Downloading: Moment.DOWNLOAD,
    Written: Moment.INSTALL,
    Armed: Moment.INSTALL,
    Rebooting: Moment.REBOOT,
    Trial: Moment.TRIAL,
}


class Progress:
    """Watches *boxes* on their way to *version*, from now on."""

    def __init__(self, boxes: Sequence[Box], version: str) -> None:
        self._boxes = list(boxes)
        self._version = version
        self._seen: dict[Path, tuple[int, ...]] = {}
        self._before = {box.directory: _last(_peek(box)) for box in boxes}
        self._furthest: dict[Path, Moment] = {}
        self.now: dict[Path, Moment | None] = dict.fromkeys(self._before)

    def look(self) -> None:
        """Read the journals that have changed."""
        for box in self._boxes:
            home = box.directory
            stamp = _stamp(home)
            if self._seen.get(home) == stamp:
                continue
            state = _peek(box)
            if state is None:
                continue
            self._seen[home] = stamp
            found = self.now[home] = moment_of(state, self._version, self._before[home])
            before = self._furthest.get(home)
            if found is not None and (before is None or ORDER.index(found) > ORDER.index(before)):
                self._furthest[home] = found

    def reached(self) -> dict[Moment, int]:
        """Return how many boxes have come to each moment, or beyond it."""
        ranks = [ORDER.index(moment) for moment in self._furthest.values()]
        return {moment: sum(r >= rank for r in ranks) for rank, moment in enumerate(ORDER)}

    def at(self, moment: Moment) -> list[Box]:
        """Return the boxes that are at *moment* now."""
        return [box for box in self._boxes if self.now[box.directory] is moment]


def _peek(box: Box) -> State | None:
    try:
        return Journal(RealDisk(box.directory)).peek()
    except StorageError:  # replaced under our eyes: the next look sees the new one
        return None


def _last(state: State | None) -> ReportDraft | None:
    return None if state is None else state.last


def _stamp(home: Path) -> tuple[int, ...]:
    found = []
    for name in FILES:
        try:
            found.append((home / name).stat().st_mtime_ns)
        except FileNotFoundError:
            found.append(0)
    return tuple(found)
