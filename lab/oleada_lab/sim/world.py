"""Virtual time: events on a heap in the order (time, number), seeded chance, a trace.

The same seed gives the same trace, byte for byte: events at one moment keep the order
in which they were asked for, and every purpose of every box draws from a stream of its
own, so that one draw more does not shift the others.
"""

import hashlib
import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""The first moment of every story; a story says times since then."""
EVENTS_MAX: Final = 20_000_000
DAY_S: Final = 86_400


class World:
    """Time, chance and the trace of one run.

    Attributes:
        now_ms: Since the beginning of the story.
        story: Lines for people, in order.
    """

    def __init__(self, seed: int) -> None:
        self.now_ms = 0
        self.story: list[str] = []
        self._seed = seed
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._numbered = 0
        self._trace = hashlib.sha256()

    @property
    def now(self) -> datetime:
        """Return the time as a server reads it."""
        return START + timedelta(milliseconds=self.now_ms)

    def stream(self, purpose: str, who: str) -> Random:
        """Return the chance of *who* for *purpose*; always begins with the same draws."""
        return Random(f"{self._seed}/{purpose}/{who}")

    def after(self, delay_ms: int, act: Callable[[], None]) -> None:
        """Let *act* happen in *delay_ms*, behind everything that happens then already."""
        self._numbered += 1
        heapq.heappush(self._heap, (self.now_ms + max(0, delay_ms), self._numbered, act))

    def note(self, who: str, what: str) -> None:
        """Add to the trace that *who* did *what* now."""
        self._trace.update(f"{self.now_ms} {who} {what}\n".encode())

    def tell(self, line: str) -> None:
        """Add *line* to the story, and to the trace."""
        self.note("story", line)
        self.story.append(f"{clock_time(self.now_ms)} {line}")

    def run(self, until_ms: int, is_over: Callable[[], bool]) -> None:
        """Let everything happen up to *until_ms*, or until *is_over*."""
        for _ in range(EVENTS_MAX):
            if not self._heap or self._heap[0][0] > until_ms or is_over():
                return
            self.now_ms, _, act = heapq.heappop(self._heap)
            act()
        raise AssertionError(f"more than {EVENTS_MAX} events; something asks itself for ever")

    def trace_sha256(self) -> str:
        """Return the hash of everything that happened, 64 hex digits."""
        return self._trace.hexdigest()


def clock_time(at_ms: int) -> str:
    """Return day, hour and minute of a story: ``01 00:10`` is ten minutes into day one."""
    day, second = divmod(at_ms // 1000, DAY_S)
    return f"{day + 1:02d} {second // 3600:02d}:{second % 3600 // 60:02d}"
