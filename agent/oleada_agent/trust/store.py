"""Where trusted metadata lies so that no power cut forgets what was trusted.

Each file is written whole beside its place, fsynced, renamed, and the directory
fsynced. A box keeps two copies and writes the second only when the first is durable:
a reader takes the newest copy that *verifies*, so a torn or bit-rotten copy can not
lower a floor (trust design 0.2).
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final
from urllib.parse import quote

from oleada_agent.errors import StorageError
from oleada_agent.journal import write_whole
from oleada_agent.ports import Disk

TRUST: Final = "data/trust"
"""Of a box."""
SECOND_COPY: Final = "second"
FILE_BYTES_MAX: Final = 8 * 1024 * 1024


def file_name(role: str) -> str:
    """Return the name under which *role* is stored and asked for: quoted, no slash."""
    return f"{quote(role, safe='')}.json"


def inside(folder: str, name: str) -> str:
    """Return the path of *name* in *folder*, which is empty for the root of the disk."""
    return f"{folder}/{name}" if folder else name


class MetadataStore:
    """Trusted metadata under plain names (``root.json``), in one copy or two.

    Args:
        folder: On the *disk*; empty for its root.
        copies: 2 on a box; 1 for the ``tuf`` command, whose directory belongs to the user.
    """

    def __init__(self, disk: Disk, folder: str = "", copies: int = 2) -> None:
        self._disk = disk
        self._places = [folder, inside(folder, SECOND_COPY)][:copies]

    def read(self, role: str) -> Iterator[bytes]:
        """Yield each copy of *role* that can be read, the first first."""
        for place in self._places:
            with suppress(StorageError):
                yield self._disk.read(inside(place, file_name(role)), 0, FILE_BYTES_MAX)

    def write(self, role: str, data: bytes) -> None:
        """Keep *data* as the trusted metadata of *role*, durable before this returns.

        Raises:
            StorageError: the disk refused.
        """
        for place in self._places:
            write_whole(self._disk, inside(place, file_name(role)), data)

    def mend(self, role: str, data: bytes) -> None:
        """Bring every copy of *role* to *data*, which is trusted: a cut may have parted them.

        A disk that refuses keeps the copy that there is.
        """
        with suppress(StorageError):
            for place in self._places:
                path = inside(place, file_name(role))
                if not self._disk.exists(path) or self._disk.read(path) != data:
                    write_whole(self._disk, path, data)
