"""Which action may begin now, and why another one may not: pure.

One action that does more than read runs at a time, and two that only read; a few more
wait, and none that has grown stale begins.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

EXCLUSIVE_MAX: Final = 1
READING_MAX: Final = 2
WAITING_MAX: Final = 8


class Turn(NamedTuple):
    """One action that waits or runs.

    Attributes:
        is_exclusive: It does more than read.
        expires_ms: It must have begun before; UTC milliseconds.
    """

    cmd_id: str
    is_exclusive: bool
    expires_ms: int


def has_room(waiting: Sequence[Turn]) -> bool:
    """Return whether one more may wait."""
    return len(waiting) < WAITING_MAX


def stale(waiting: Sequence[Turn], now_ms: int) -> list[Turn]:
    """Return those of *waiting* that are too late to begin at *now_ms*."""
    return [turn for turn in waiting if turn.expires_ms <= now_ms]


def next_turn(running: Sequence[Turn], waiting: Sequence[Turn]) -> Turn | None:
    """Return which of *waiting* begins beside *running*; None while there is no room.

    First come, first served; what only reads overtakes what must wait for another one.
    """
    exclusive = sum(turn.is_exclusive for turn in running)
    reading = len(running) - exclusive
    for turn in waiting:
        if turn.is_exclusive and exclusive < EXCLUSIVE_MAX:
            return turn
        if not turn.is_exclusive and reading < READING_MAX:
            return turn
    return None
