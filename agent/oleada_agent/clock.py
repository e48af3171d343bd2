"""The one module of the agent that reads clocks and dice."""

import secrets
import time


def now_ms() -> int:
    """Return the wall clock: UTC milliseconds. It may jump, and be wrong after a power cut."""
    return time.time_ns() // 1_000_000


def steady_ms() -> int:
    """Return milliseconds of a clock that never jumps; only differences mean something."""
    return time.monotonic_ns() // 1_000_000


def below(limit: int) -> int:
    """Return a number from 0 to *limit* - 1, each as likely as the next."""
    return secrets.randbelow(limit)


def hex_id(digits: int) -> str:
    """Return *digits* random lowercase hex digits; *digits* is even."""
    return secrets.token_hex(digits // 2)
