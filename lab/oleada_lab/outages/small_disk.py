"""A disk of a few megabytes that can be filled to the last byte and emptied again."""

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from oleada_lab.errors import LabError

BALLAST: Final = "ballast"
PIECE_BYTES: Final = 64 * 1024


class SmallDisk:
    """A file system of *size_bytes* in memory, over *place*; needs the rights of root."""

    def __init__(self, place: Path, size_bytes: int) -> None:
        self._place = place
        self._size_bytes = size_bytes

    def __enter__(self) -> Self:
        self._place.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = [(path, path.read_bytes()) for path in self._place.iterdir() if path.is_file()]
        options = f"size={self._size_bytes},mode=0700"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "oleada-lab", str(self._place)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise LabError(f"A small disk can not be mounted ({done.stderr.strip()}); be root.")
        for path, content in kept:
            path.write_bytes(content)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        subprocess.run(["umount", "--lazy", str(self._place)], capture_output=True, check=False)

    @property
    def free_bytes(self) -> int:
        """How much may still be written."""
        found = os.statvfs(self._place)
        return found.f_bavail * found.f_frsize

    def fill(self, but_bytes: int = 0) -> None:
        """Leave no room, or *but_bytes* of it."""
        with (self._place / BALLAST).open("ab", buffering=0) as file, suppress(OSError):
            while (left := self.free_bytes - but_bytes) > 0:
                if not file.write(bytes(min(PIECE_BYTES, left))):
                    return

    def make_room(self) -> None:
        """Take away what filled it."""
        (self._place / BALLAST).unlink(missing_ok=True)
