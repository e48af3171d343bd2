"""The one module that reads the wall clock and the steady clock."""

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Final

APART: Final = timedelta(seconds=5)
"""Clocks that differ by less agree: more than that no network or busy machine makes."""
LAB_OFFSET: Final = timedelta(seconds=float(os.environ.get("OLEADA_LAB_CLOCK_OFFSET_S") or 0))
"""The lab's wrong clock: what this process takes its machine's clock to be ahead."""
_ahead = timedelta()


def now_utc() -> datetime:
    """Return the current time, aware, in UTC, as the database's clock has it."""
    return machine_now_utc() - _ahead


def machine_now_utc() -> datetime:
    """Return what this machine's own clock says, aware, in UTC."""
    return datetime.now(UTC) + LAB_OFFSET  # noqa: TID251 - this module is the clock


def follow(ahead: timedelta) -> bool:
    """Correct :func:`now_utc` by how far this machine is *ahead*; return whether that is news."""
    global _ahead  # noqa: PLW0603 - a process has one clock
    before, found = _ahead, ahead if abs(ahead) > APART else timedelta()
    if abs(found - before) > APART or not found:
        _ahead = found
    return abs(found - before) > APART


def monotonic_s() -> float:
    """Return seconds of a clock that never jumps; only differences mean something."""
    return time.monotonic()  # noqa: TID251 - this module is the clock


def to_ms(at: datetime) -> int:
    """Return aware *at* as UTC milliseconds, as the wire carries time."""
    return int(at.timestamp() * 1000)


def from_ms(at_ms: int) -> datetime:
    """Return UTC milliseconds as an aware time."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def box_time(at_ms: int, now: datetime) -> datetime:
    """Return the time that a box wrote on a message, or *now* where it can not be true.

    A box's clock may stand in 1970 or run ahead: only the last 400 days are believed.
    """
    age_ms = to_ms(now) - at_ms
    return from_ms(at_ms) if 0 <= age_ms <= 400 * 86_400_000 else now


def wait_s(seconds: float) -> None:
    """Wait; only processes of ours do, between two tries of something outside."""
    time.sleep(seconds)
