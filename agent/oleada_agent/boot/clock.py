"""The boot program's clock: only how long, never what time."""

import time


def steady_s() -> float:
    """Return seconds of a clock that never jumps; only differences mean something."""
    return time.monotonic()  # noqa: TID251 - this module is the clock


def pause(seconds: float) -> None:
    """Return after *seconds*, or earlier when a signal comes."""
    time.sleep(seconds)
