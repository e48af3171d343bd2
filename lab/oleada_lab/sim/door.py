"""The artifacts' door, and the box's way through it: ranges, retries, what may be wrong.

A request costs a connection; parts come over the box's line. When to try again is the
agent's own ``Patience``, when to call what came durable its own checkpoint rule.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from oleada_agent.download import CHECKPOINT_BYTES, CHECKPOINT_MS
from oleada_agent.errors import StorageError
from oleada_agent.http_range import Patience
from oleada_agent.machine_events import Checkpointed, Event, Fetched, FetchFailed
from oleada_agent.ports import Slots
from oleada_wire.messages import Assignment
from oleada_wire.words import Reason

from oleada_lab.sim.images import Image
from oleada_lab.sim.link import DeadError, SilentError, SimLink, Way
from oleada_lab.sim.world import Dice, World

READ_LIMIT_MS: Final = 30_000
PARTS: Final = 8
PACE_MS: Final = (2_000, 30_000)
"""What the household and the flash leave for each part; the rest of the time is the line's."""


class Wrong(StrEnum):
    """What a door, or somebody in front of it, may do instead of answering."""

    NOTHING = ""
    PORTAL = "captive_portal"
    NOT_FOUND = "not_found"
    BUSY = "busy"
    CORRUPT = "corrupt"
    TRUNCATED = "truncated"
    OVERSIZED = "oversized"


@dataclass(slots=True)
class Door:
    """Images by digest, and what is wrong with the answers.

    Attributes:
        pace_ms: Least and most of what each part takes beside the line.
    """

    images: dict[str, Image]
    wrong: Wrong = Wrong.NOTHING
    parts: int = PARTS
    pace_ms: tuple[int, int] = PACE_MS
    requests: int = 0


@dataclass(slots=True)
class _Fetch:
    assignment: Assignment
    slot: str
    at: int
    durable: int
    durable_ms: int
    failures: int = 0
    is_corrupt: bool = False


@dataclass(slots=True)
class SimFetcher:
    """The ``Fetcher`` port of one box.

    Args:
        later: Lets something happen after a while, unless the box restarts before.
    """

    world: World
    door: Door
    link: SimLink
    slots: Slots
    feed: Callable[[Event], None]
    later: Callable[[int, Callable[[], None]], None]
    dice: Dice
    patience: Patience = field(default_factory=Patience)
    wrong: Wrong = Wrong.NOTHING
    _number: int = 0
    _fetch: _Fetch | None = None

    def fetch(self, assignment: Assignment, slot: str, from_bytes: int) -> None:
        """Begin at *from_bytes*, instead of whatever is being fetched."""
        self._fetch = _Fetch(assignment, slot, from_bytes, from_bytes, self.world.now_ms)
        self._number += 1
        self._request()

    def stop(self) -> None:
        """Fetch nothing."""
        self._number += 1
        self._fetch = None

    def _soon(self, delay_ms: int, act: Callable[[], None]) -> None:
        number = self._number

        def happen() -> None:
            if number == self._number:
                act()

        self.later(delay_ms, happen)

    def _request(self) -> None:
        self.door.requests += 1
        try:
            wait_ms = self.link.connect_ms()
        except DeadError:
            self._failed(0)
        except SilentError:
            self._soon(READ_LIMIT_MS, lambda: self._failed(0))
        else:
            self._soon(wait_ms, self._answer)

    def _answer(self) -> None:
        fetch = self._fetch
        assert fetch is not None, "it was asked for"  # noqa: S101
        wrong = self.wrong or self.door.wrong
        match wrong:
            case Wrong.PORTAL | Wrong.NOT_FOUND | Wrong.TRUNCATED:
                self._failed(0)
            case Wrong.BUSY:
                self._failed(60)
            case Wrong.OVERSIZED:
                self._end(Reason.WRONG_SIZE, "the server's image has another size")
            case _:
                fetch.is_corrupt = fetch.is_corrupt or wrong is Wrong.CORRUPT
                self._next_part()

    def _next_part(self) -> None:
        fetch = self._fetch
        assert fetch is not None, "it goes on"  # noqa: S101
        size_bytes = fetch.assignment.size_bytes
        end = min(size_bytes, fetch.at + max(1, size_bytes // self.door.parts))
        try:
            wait_ms = self.link.carry(end - fetch.at, Way.DOWN, self.world.now_ms)
        except DeadError:
            self._failed(0)
        except SilentError:
            self._soon(READ_LIMIT_MS, lambda: self._failed(0))
        else:
            self._soon(wait_ms + self.dice.between(*self.door.pace_ms), lambda: self._come(end))

    def _come(self, end: int) -> None:
        fetch = self._fetch
        assert fetch is not None, "it goes on"  # noqa: S101
        if self.link.is_cut:
            self._failed(0)
            return
        if Way.DOWN in self.link.silent:
            self._soon(READ_LIMIT_MS, lambda: self._failed(0))
            return
        data = self.door.images[fetch.assignment.sha256].data[fetch.at : end]
        if fetch.is_corrupt:
            data = bytes([data[0] ^ 1]) + data[1:]
        try:
            self._take(fetch, data, end)
        except StorageError as error:
            self._end(Reason.STORAGE, str(error))

    def _take(self, fetch: _Fetch, data: bytes, end: int) -> None:
        self.slots.write(fetch.slot, fetch.at, data)
        fetch.at, fetch.failures = end, 0
        assignment = fetch.assignment
        name, attempt = assignment.assignment_id, assignment.attempt
        if end == assignment.size_bytes:
            self.slots.finish(fetch.slot, end)
            self.stop()
            self.feed(Fetched(name, attempt))
            return
        now_ms = self.world.now_ms
        is_due = (
            end - fetch.durable >= CHECKPOINT_BYTES or now_ms - fetch.durable_ms >= CHECKPOINT_MS
        )
        if is_due:
            self.slots.checkpoint(fetch.slot)
            fetch.durable, fetch.durable_ms = end, now_ms
        number = self._number
        if is_due:
            self.feed(Checkpointed(name, attempt, end))
        if number == self._number:  # the machine may have stopped it
            self._next_part()

    def _failed(self, after_s: int) -> None:
        fetch = self._fetch
        assert fetch is not None, "it goes on"  # noqa: S101
        fetch.failures += 1
        if fetch.failures >= self.patience.attempts_max:
            self._end(Reason.DOWNLOAD, f"Gave up after {fetch.failures} attempts.")
            return
        self._soon(self.patience.pause_ms(fetch.failures, after_s, self.dice.below), self._request)

    def _end(self, reason: Reason, detail: str) -> None:
        fetch = self._fetch
        assert fetch is not None, "it ends"  # noqa: S101
        self.stop()
        name, attempt = fetch.assignment.assignment_id, fetch.assignment.attempt
        self.feed(FetchFailed(name, attempt, reason, detail))
