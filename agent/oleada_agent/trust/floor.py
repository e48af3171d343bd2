"""The time floor: a time that has certainly passed, whatever the clock says.

A box whose clock battery is dead wakes up in 1970, and an expired timestamp looks fresh
to it. So every *signed* time that was seen raises a floor that outlives power cuts;
the box's own clock never does, because a wrong clock must not lock the box for ever.
Source: trust design 8, rows 5 and 6.
"""

import zlib
from contextlib import suppress
from typing import Final

from oleada_agent.errors import StorageError
from oleada_agent.journal import write_whole
from oleada_agent.ports import Disk
from oleada_agent.trust.store import inside

STEP_MS: Final = 3_600_000
"""The floor is stored in steps of an hour, so that it wears no flash."""
BEHIND_MAX_MS: Final = 24 * 3_600_000
"""Two clocks that are right differ a little; a dead one lies years behind."""
FLOOR_BYTES_MAX: Final = 64
AHEAD_MAX_MS: Final = 10 * 365 * 24 * 3_600_000
"""No box is in a cupboard for longer; a clock that says so is wrong."""


class TimeFloor:
    """The floor and its two copies on disk; a copy that is torn or rotten is not read.

    Args:
        folder: On the *disk*; holds ``floor.0`` and ``floor.1``.
    """

    def __init__(self, disk: Disk, folder: str = "") -> None:
        self._disk = disk
        self._paths = [inside(folder, "floor.0"), inside(folder, "floor.1")]
        copies = [_read_ms(disk, path) for path in self._paths]
        self._floor_ms = max(copies)
        # A cut may have parted the two; the lower one is mended by the next signed time.
        self._stored_ms = min(copies)

    @property
    def floor_ms(self) -> int:
        """UTC milliseconds that have certainly passed; 0 when nothing is known."""
        return self._floor_ms

    def not_before(self, now_ms: int) -> int:
        """Return *now_ms*, or the floor if the clock lags behind it."""
        return max(now_ms, self._floor_ms)

    def is_likely(self, now_ms: int) -> bool:
        """Return whether a clock that says *now_ms* may be right."""
        if not self._floor_ms:
            return True
        return -BEHIND_MAX_MS <= now_ms - self._floor_ms <= AHEAD_MAX_MS

    def raise_to(self, signed_ms: int) -> None:
        """Take note that *signed_ms*, which was read from something signed, has passed.

        Raises:
            StorageError: the disk refused; the floor is raised in memory all the same.
        """
        self._floor_ms = max(self._floor_ms, signed_ms)
        if self._floor_ms < self._stored_ms + STEP_MS and self._stored_ms:
            return
        if self._floor_ms > self._stored_ms:
            self._store()

    def forget(self) -> None:
        """Begin anew: whoever has raised the floor is nobody any more.

        Raises:
            StorageError: the disk refused; nothing is forgotten durably.
        """
        self._floor_ms = 0
        self._store()

    def _store(self) -> None:
        text = str(self._floor_ms)
        for path in self._paths:
            line = f"{text} {zlib.crc32(text.encode()):08x}\n"
            write_whole(self._disk, path, line.encode())
        self._stored_ms = self._floor_ms


def _read_ms(disk: Disk, path: str) -> int:
    with suppress(StorageError, ValueError):
        text, crc = disk.read(path, 0, FLOOR_BYTES_MAX).decode("ascii").split()
        if int(crc, 16) == zlib.crc32(text.encode()):
            return int(text)
    return 0
