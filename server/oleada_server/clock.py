"""The one module that reads the wall clock and the steady clock."""

import time
from datetime import UTC, datetime


def now_utc() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - this module is the clock


def monotonic_s() -> float:
    """Return seconds of a clock that never jumps; only differences mean something."""
    return time.monotonic()  # noqa: TID251 - this module is the clock


def to_ms(at: datetime) -> int:
    """Return aware *at* as UTC milliseconds, as the wire carries time."""
    return int(at.timestamp() * 1000)


def from_ms(at_ms: int) -> datetime:
    """Return UTC milliseconds as an aware time."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)
