"""The server's rows in memory: counted as they change, so that a tick costs what is due."""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from oleada_server.rollouts import plan_box
from oleada_server.rollouts.plan import Tally
from oleada_server.rollouts.states import IN_FLIGHT, BoxState, WaveState


@dataclass(slots=True, eq=False)
class Row:
    """One box in a wave.

    Attributes:
        verdicts: Attempts that have ended.
        number: Of the newest assignment that was retained for it.
        was_given: The place that it has, if it has one; else it works on without.
        has_assignment: The broker holds one for it.
    """

    device_id: str
    wave: int
    state: BoxState = BoxState.QUEUED
    attempt: int = 0
    step: int = 0
    reason: str | None = None
    deadline_at: datetime | None = None
    lease_until: datetime | None = None
    was_given: bool = False
    verdicts: set[int] = field(default_factory=set)
    number: int = 0
    has_assignment: bool = False


@dataclass(slots=True)
class WaveRow:
    """One wave; *position* from 1."""

    position: int
    state: WaveState = WaveState.WAITING
    soak_from: datetime | None = None
    held_for: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether its boxes are commanded."""
        return self.state not in (WaveState.WAITING, WaveState.HALTED)


class Rows:
    """Every box of a rollout.

    Attributes:
        by_id: In their order.
        due: Boxes whose assignment may have to change.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self.by_id = {row.device_id: row for row in rows}
        self.due: dict[Row, None] = {}
        self._counts = Counter((row.wave, row.state, row.reason) for row in self.by_id.values())
        self._of_wave: dict[int, list[Row]] = {}
        for row in self.by_id.values():
            self._of_wave.setdefault(row.wave, []).append(row)
        self._deadlines: list[tuple[datetime, str]] = []
        self._leases: list[tuple[datetime, str]] = []
        self._at_work: dict[str, datetime] = {}

    def of_wave(self, wave: int) -> list[Row]:
        """Return the boxes of *wave*."""
        return self._of_wave.get(wave, [])

    def move(self, row: Row, state: BoxState, reason: str | None) -> None:
        """Let *row* be in *state* for *reason*."""
        self._counts[row.wave, row.state, row.reason] -= 1
        row.state, row.reason = state, reason
        self._counts[row.wave, state, reason] += 1
        if state not in IN_FLIGHT:
            row.lease_until, row.was_given = None, False
            self._at_work.pop(row.device_id, None)
        self.due[row] = None

    def tally(self, wave: int) -> Tally:
        """Return the outcomes of *wave*."""
        found = plan_box.tally_of([
            (state, reason, boxes)
            for (number, state, reason), boxes in self._counts.items()
            if number == wave and boxes
        ])  # fmt: skip
        return Tally(**{str(outcome): boxes for outcome, boxes in found.items()})

    def states(self) -> dict[BoxState, int]:
        """Return how many boxes are in each state; those of no box are left out."""
        found: Counter[BoxState] = Counter()
        for (_, state, _), boxes in self._counts.items():
            found[state] += boxes
        return {state: boxes for state, boxes in found.items() if boxes}

    def set_deadline(self, row: Row, at: datetime | None) -> None:
        """Let *row* be silent at *at* unless it speaks; None: never."""
        row.deadline_at = at
        if at is not None:
            heapq.heappush(self._deadlines, (at, row.device_id))

    def set_lease(self, row: Row, until: datetime) -> None:
        """Give *row* a place until *until*."""
        row.was_given = True
        self._work(row, until)

    def renew_lease(self, row: Row, until: datetime, now: datetime) -> None:
        """Let *row*, which works at *now*, work until *until*, with its place if it has one."""
        row.was_given = row.was_given and plan_box.keeps_place(row.lease_until, now)
        self._work(row, until)

    def _work(self, row: Row, until: datetime) -> None:
        row.lease_until = until
        self._at_work[row.device_id] = until
        heapq.heappush(self._leases, (until, row.device_id))

    def others_in_flight(self, row: Row, now: datetime) -> int:
        """Return how many other boxes hold a lease that has not run out."""
        while self._leases and self._leases[0][0] <= now:
            until, device_id = heapq.heappop(self._leases)
            if self._at_work.get(device_id) == until:
                del self._at_work[device_id]
        return len(self._at_work) - (row.device_id in self._at_work)

    def late(self, now: datetime) -> Iterator[Row]:
        """Yield the rows whose deadline has passed; each deadline once."""
        while self._deadlines and self._deadlines[0][0] <= now:
            at, device_id = heapq.heappop(self._deadlines)
            row = self.by_id[device_id]
            if row.deadline_at == at:
                yield row

    def next_deadline(self) -> datetime | None:
        """Return when somebody may fall silent next."""
        while self._deadlines:
            at, device_id = self._deadlines[0]
            if self.by_id[device_id].deadline_at == at:
                return at
            heapq.heappop(self._deadlines)
        return None
