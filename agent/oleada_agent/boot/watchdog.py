"""When the watchdog bites: an agent that never began, or one that fell silent.

The first sign of life is the file ``run/agent.alive``. An agent may promise more: the
file then holds the seconds within which it will be written again. One that is empty
promises nothing, so an image whose agent is older than this rule is never bitten for it.
Pure: it is told what was seen, and when by a clock that never jumps.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROMISE_BYTES_MAX: Final = 16
PROMISE_S_MAX: Final = 86_400


@dataclass(frozen=True, slots=True)
class Sign:
    """What the file says.

    Attributes:
        stamp: Another one means that it was written again.
        promised_s: It will be, within so many seconds; None for no promise.
    """

    stamp: int
    promised_s: float | None = None


class Watchdog:
    """Watches one start of the agent.

    Args:
        limit_s: For the first sign.
        now_s: Of the start.
    """

    def __init__(self, limit_s: float, now_s: float) -> None:
        self._bites_at_s = now_s + limit_s
        self._sign: Sign | None = None

    def bites(self, sign: Sign | None, now_s: float) -> bool:
        """Return whether it bites, with *sign* seen at *now_s*; None when there is no file."""
        if sign is not None and sign != self._sign:
            self._sign = sign
            self._bites_at_s = now_s + (sign.promised_s or 0)
        is_bound = self._sign is None or self._sign.promised_s is not None
        return is_bound and now_s > self._bites_at_s


def look(path: Path, known: Sign | None = None) -> Sign | None:
    """Return what is in the file at *path*; None when it is not there or can not be read.

    Args:
        known: What was seen last; a promise that was not written again is not read again.
    """
    try:
        stamp = path.stat().st_mtime_ns
        if known is not None and known.promised_s is not None and known.stamp == stamp:
            return known
        with path.open("rb") as file:
            text = file.read(PROMISE_BYTES_MAX)
    except OSError:
        return None
    promised_s = None
    with suppress(ValueError):
        promised_s = float(text)
    if promised_s is None or not 0 < promised_s <= PROMISE_S_MAX:
        return Sign(stamp)
    return Sign(stamp, promised_s)
