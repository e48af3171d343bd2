"""What a disk has refused, so that somebody is told: a box hides no failing flash.

Many an error is made good where it happens: a message is kept in memory, a second copy
is read, metadata is stored later. The box lives on, and its flash is dying all the same.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from oleada_agent.errors import StorageError
from oleada_agent.ports import Disk

TELL_AGAIN_MS: Final = 3_600_000
TOLD_MAX: Final = 64
"""Kinds of file that are told apart; a box has fewer."""
MISSING: Final = "No such file"
"""Of a file that was read and is not there: nothing is wrong with a disk that says so."""
LINE_CHARS_MAX: Final = 300

T = TypeVar("T")


class ToldDisk:
    """A ``ports.Disk`` that takes note of what the *disk* beneath it refuses.

    Args:
        steady_ms: A clock that never jumps.
    """

    def __init__(self, disk: Disk, steady_ms: Callable[[], int]) -> None:
        self._disk = disk
        self._steady_ms = steady_ms
        self._told_ms: dict[tuple[str, str], int] = {}
        self._news: list[str] = []

    def news(self) -> list[str]:
        """Return a line for each kind of refusal since the last call; each once an hour."""
        found, self._news = self._news, []
        return found

    def create(self, path: str) -> None:
        """Make *path* an empty file, whatever was there; parents are made too, durably."""
        self._heed("create", path, lambda: self._disk.create(path))

    def exists(self, path: str) -> bool:
        """Return whether there is a file at *path*."""
        return self._heed("look for", path, lambda: self._disk.exists(path))

    def size_bytes(self, path: str) -> int:
        """Return how long the file is."""
        return self._heed("measure", path, lambda: self._disk.size_bytes(path))

    def read(self, path: str, offset: int = 0, size_bytes: int | None = None) -> bytes:
        """Return up to *size_bytes* from *offset*; to the end when it is None."""
        return self._heed("read", path, lambda: self._disk.read(path, offset, size_bytes))

    def pwrite(self, path: str, offset: int, data: bytes) -> None:
        """Write *data* at *offset*; beyond the end the file grows, zeros between."""
        self._heed("write", path, lambda: self._disk.pwrite(path, offset, data))

    def truncate(self, path: str, size_bytes: int) -> None:
        """Make the file *size_bytes* long."""
        self._heed("truncate", path, lambda: self._disk.truncate(path, size_bytes))

    def fsync(self, path: str) -> None:
        """Return when the file's bytes are durable."""
        self._heed("sync", path, lambda: self._disk.fsync(path))

    def fsync_dir(self, path: str) -> None:
        """Return when the names in directory *path* are durable."""
        self._heed("sync", path, lambda: self._disk.fsync_dir(path))

    def rename(self, old: str, new: str) -> None:
        """Give the file a new name, over any file there, at once or not at all."""
        self._heed("rename", old, lambda: self._disk.rename(old, new))

    def unlink(self, path: str) -> None:
        """Remove the file; one that is not there is removed already."""
        self._heed("remove", path, lambda: self._disk.unlink(path))

    def list(self, path: str) -> list[str]:
        """Return the sorted names of the files in directory *path*; empty without it."""
        return self._heed("list", path, lambda: self._disk.list(path))

    def free_bytes(self) -> int:
        """Return how much may still be written."""
        return self._heed("measure", "", self._disk.free_bytes)

    def _heed(self, act: str, path: str, do: Callable[[], T]) -> T:
        try:
            return do()
        except StorageError as error:
            if MISSING not in str(error):
                self._note(act, _kind_of(path), str(error))
            raise

    def _note(self, act: str, kind: str, detail: str) -> None:
        now_ms = self._steady_ms()
        told_ms = self._told_ms.get((act, kind))
        if told_ms is not None and now_ms - told_ms < TELL_AGAIN_MS:
            return
        if len(self._told_ms) >= TOLD_MAX:
            self._told_ms.clear()
        self._told_ms[act, kind] = now_ms
        self._news.append(f"the disk refused to {act} {detail}"[:LINE_CHARS_MAX])


def _kind_of(path: str) -> str:
    """Return *path* without what differs from one message, or one way to write, to the next."""
    folder, _, name = path.removesuffix(".tmp").rpartition("/")
    return f"{folder}/{name.partition('-')[0] if not name[:1].isdigit() else ''}"
