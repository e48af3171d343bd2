"""How long a peer may make a thread of ours wait: by what it has sent or taken so far.

A limit for each read is none: a peer that sends one byte a second meets it for ever, and
as many of them as there are threads close the door to everybody. A limit for the whole
request would cut honest uploads over slow lines. So a peer is given some seconds, and
then must keep a pace; both are stricter while the threads are nearly all taken. Only the
time that we wait for the peer counts, never our own work.
Source of the idea and of the relaxed numbers: Apache's mod_reqtimeout, its defaults.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Pace:
    """What a peer is allowed.

    Attributes:
        grace_s: Seconds of waiting that cost nothing.
        bytes_per_s: Beyond these, each second of waiting must have brought so many bytes.
    """

    grace_s: float
    bytes_per_s: int


READING: Final = Pace(20.0, 500)
READING_IN_A_CROWD: Final = Pace(3.0, 16 * 1024)
WRITING: Final = Pace(30.0, 500)
WRITING_IN_A_CROWD: Final = Pace(15.0, 4 * 1024)
"""A box that takes an image more slowly is cut and goes on by Range, so that others get in."""
CROWD_SHARE: Final = 0.75
"""Of the threads; when so many are asked for, it is a crowd."""


@dataclass(slots=True)
class Allowance:
    """What one request has used of its peer's time, in one direction.

    Attributes:
        moved_bytes: That came, or that were taken.
        waited_s: For them.
    """

    relaxed: Pace
    strict: Pace
    moved_bytes: int = 0
    waited_s: float = 0.0

    def left_s(self, *, is_crowd: bool) -> float:
        """Return how much longer we wait for the next byte; 0 or less for no longer."""
        pace = self.strict if is_crowd else self.relaxed
        return pace.grace_s + self.moved_bytes / pace.bytes_per_s - self.waited_s

    def add(self, moved_bytes: int, waited_s: float) -> None:
        """Count *moved_bytes* that came after *waited_s* seconds; 0 for in vain."""
        self.moved_bytes += moved_bytes
        self.waited_s += waited_s


def is_crowd(asked: int, threads: int) -> bool:
    """Return whether *asked* requests, running or waiting, are a crowd for *threads*."""
    return asked >= threads * CROWD_SHARE
