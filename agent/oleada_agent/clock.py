"""The one module of the agent that reads clocks and dice."""

import os
import secrets
import time
from contextlib import suppress
from typing import Final

LAB_OFFSET_MS: Final = round(float(os.environ.get("OLEADA_LAB_CLOCK_OFFSET_S") or 0) * 1000)
"""How far the lab lets this box's clock be ahead; nobody else sets it."""
LAB_OFFSET_FILE: Final = os.environ.get("OLEADA_LAB_CLOCK_FILE")
"""Holds a further offset in milliseconds, which the lab changes while the box runs."""


def now_ms() -> int:
    """Return the wall clock: UTC milliseconds. It may jump, and be wrong after a power cut."""
    jump_ms = _lab_jump_ms(LAB_OFFSET_FILE) if LAB_OFFSET_FILE else 0
    return time.time_ns() // 1_000_000 + LAB_OFFSET_MS + jump_ms


def steady_ms() -> int:
    """Return milliseconds of a clock that never jumps; only differences mean something."""
    return time.monotonic_ns() // 1_000_000


def steady_us() -> int:
    """Return microseconds of a clock that never jumps; only differences mean something."""
    return time.monotonic_ns() // 1_000


def pause_ms(delay_ms: int) -> None:
    """Return after *delay_ms*; for processes that have nothing else to do."""
    time.sleep(delay_ms / 1000)


def below(limit: int) -> int:
    """Return a number from 0 to *limit* - 1, each as likely as the next."""
    return secrets.randbelow(limit)


def hex_id(digits: int) -> str:
    """Return *digits* random lowercase hex digits; *digits* is even."""
    return secrets.token_hex(digits // 2)


def _lab_jump_ms(path: str) -> int:
    with suppress(OSError, ValueError), open(path, encoding="ascii") as file:
        return int(file.read())
    return 0
