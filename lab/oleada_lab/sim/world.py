"""Virtual time: events on a heap in the order (time, number), seeded chance, a trace.

The same seed gives the same trace, byte for byte: events at one moment keep the order
in which they were asked for, and every purpose of every box draws from a stream of its
own, so that one draw more does not shift the others. The trace is the BLAKE2b hash of
one line for each thing that happened, ``<ms> <who> <what>``.
"""

import hashlib
import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, TextIO

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""The first moment of every story; a story says times since then."""
START_MS: Final = int(START.timestamp()) * 1000
EVENTS_MAX: Final = 200_000_000
DAY_S: Final = 86_400
LINES_AT_ONCE: Final = 4096
_MASK: Final = 2**64 - 1
_PARTS: Final = 2**53


class Dice:
    """A stream of chance that is small: ten thousand boxes have several each.

    SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    """

    __slots__ = ("_state",)

    def __init__(self, name: str) -> None:
        self._state = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())

    def bits(self) -> int:
        """Return 64 random bits."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return mixed ^ (mixed >> 31)

    def below(self, limit: int) -> int:
        """Return a number from 0 to *limit* - 1; *limit* is far below 2**64."""
        return (self.bits() * limit) >> 64

    def between(self, low: int, high: int) -> int:
        """Return a number from *low* to *high* - 1."""
        return low + self.below(high - low)

    def share(self) -> float:
        """Return a number from 0 up to, but not, 1."""
        return (self.bits() >> 11) / _PARTS


class World:
    """Time, chance and the trace of one run.

    Args:
        keep: Where the lines of the trace are written to, beside being hashed.

    Attributes:
        now_ms: Since the beginning of the story.
        events: That have happened.
        story: Lines for people, in order.
    """

    def __init__(self, seed: int, keep: TextIO | None = None) -> None:
        self.now_ms = 0
        self.events = 0
        self.story: list[str] = []
        self._seed = seed
        self._keep = keep
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._numbered = 0
        self._hash = hashlib.blake2b(digest_size=32)
        self._lines: list[str] = []

    @property
    def now(self) -> datetime:
        """Return the time as a server reads it."""
        return START + timedelta(milliseconds=self.now_ms)

    def stream(self, purpose: str, who: str) -> Dice:
        """Return the chance of *who* for *purpose*; always begins with the same draws."""
        return Dice(f"{self._seed}/{purpose}/{who}")

    def after(self, delay_ms: int, act: Callable[[], None]) -> None:
        """Let *act* happen in *delay_ms*, behind everything that happens then already."""
        self._numbered += 1
        at_ms = self.now_ms + delay_ms if delay_ms > 0 else self.now_ms
        heapq.heappush(self._heap, (at_ms, self._numbered, act))

    def note(self, who: str, what: str) -> None:
        """Add to the trace that *who* did *what* now."""
        self._lines.append(f"{self.now_ms} {who} {what}\n")
        if len(self._lines) >= LINES_AT_ONCE:
            self._flush()

    def tell(self, line: str) -> None:
        """Add *line* to the story, and to the trace."""
        self.note("story", line)
        self.story.append(f"{clock_time(self.now_ms)} {line}")

    def run(self, until_ms: int, is_over: Callable[[], bool]) -> None:
        """Let everything happen up to *until_ms*, or until *is_over*."""
        heap = self._heap
        while heap and heap[0][0] <= until_ms and not is_over():
            self.now_ms, _, act = heapq.heappop(heap)
            self.events += 1
            assert self.events <= EVENTS_MAX, "something asks itself for ever"  # noqa: S101
            act()

    def trace_hash(self) -> str:
        """Return the hash of everything that happened, 64 hex digits."""
        self._flush()
        return self._hash.hexdigest()

    def _flush(self) -> None:
        text = "".join(self._lines)
        self._lines.clear()
        self._hash.update(text.encode())
        if self._keep is not None:
            self._keep.write(text)


def clock_time(at_ms: int) -> str:
    """Return day, hour and minute of a story: ``01 00:10`` is ten minutes into day one."""
    day, second = divmod(at_ms // 1000, DAY_S)
    return f"{day + 1:02d} {second // 3600:02d}:{second % 3600 // 60:02d}"
