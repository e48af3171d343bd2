"""The one module of the lab that reads the wall clock and the steady clock.

Simulations never use it: their time is an argument.
"""

import os
import time
from datetime import UTC, datetime


def now_utc() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - this module is the clock


def monotonic_s() -> float:
    """Return seconds of a clock that never jumps; only differences mean something."""
    return time.monotonic()  # noqa: TID251 - this module is the clock


def cpu_s() -> float:
    """Return the processor seconds of this process; only differences mean something."""
    times = os.times()
    return times.user + times.system


def sleep_s(seconds: float) -> None:
    """Wait *seconds*; for what runs beside real processes, never for tests."""
    time.sleep(seconds)
