"""Where trusted metadata lies so that no power cut forgets what was trusted.

Each file is written whole beside its place, fsynced, renamed, and the directory
fsynced. A box keeps two copies and writes the second only when the first is durable:
a reader takes the newest copy that *verifies*, so a torn or bit-rotten copy can not
lower a floor (trust design 0.2).
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

SECOND_COPY: Final = "second"
FILE_BYTES_MAX: Final = 8 * 1024 * 1024


def file_name(role: str) -> str:
    """Return the name under which *role* is stored and asked for: quoted, no slash."""
    return f"{quote(role, safe='')}.json"


def write_durably(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Put *data* at *path*: after a power cut there is the old content or the new.

    Raises:
        OSError: the disk refused; the old content is untouched.
    """
    beside = path.with_name(f"{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    fsync_directory(path.parent)


def fsync_directory(path: Path) -> None:
    """Make the names in directory *path* durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class MetadataStore:
    """Trusted metadata under plain names (``root.json``), in one copy or two.

    Args:
        directory: Made if absent.
        copies: 2 on a box; 1 for the ``tuf`` command, whose directory belongs to the user.
    """

    def __init__(self, directory: Path, copies: int = 2) -> None:
        self._places = [directory, directory / SECOND_COPY][:copies]
        with suppress(OSError):  # it is missed when something is kept, which may fail too
            for place in self._places:
                place.mkdir(parents=True, exist_ok=True)

    def read(self, role: str) -> Iterator[bytes]:
        """Yield each copy of *role* that can be read, the first first."""
        for place in self._places:
            with suppress(OSError), open(place / file_name(role), "rb") as file:
                yield file.read(FILE_BYTES_MAX)

    def write(self, role: str, data: bytes) -> None:
        """Keep *data* as the trusted metadata of *role*, durable before this returns.

        Raises:
            OSError: the disk refused.
        """
        for place in self._places:
            write_durably(place / file_name(role), data)
