"""A disk in memory that loses what was not fsynced, in every way that POSIX permits.

``fsync`` makes a file's bytes durable, ``fsync_dir`` the names in a directory. The plug
is pulled after the n-th change; ``after_cut`` then returns the disk that the next start
finds. Source: powerfail design, 4.3 and 4.5.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from oleada_agent.errors import StorageError


class PowerCutError(BaseException):
    """The plug was pulled; nothing in the agent may catch this."""


class Kept(StrEnum):
    """What of the changes that were not fsynced has reached the medium."""

    ALL = "keep_all"
    NONE = "lose_all"
    NAMES = "meta_first"
    BYTES = "data_first"
    TORN = "torn"


@dataclass
class Inode:
    """One file's bytes: as read, and as the medium has them."""

    now: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    before_last: bytes = b""
    last: tuple[int, bytes] | None = None

    def torn(self) -> bytes:
        """Return the bytes with the last write half done."""
        if self.last is None:
            return bytes(self.now)
        offset, data = self.last
        found = bytearray(self.before_last)
        _put(found, offset, data[: len(data) // 2])
        return bytes(found)


class SimDisk:
    """A ``ports.Disk`` in memory.

    Attributes:
        cut_after: The plug is pulled after so many changes more; None for never.
        changes: So far.
        forbidden: Nobody may write this path: the slot that runs.
        deaf_to: Beginnings of paths whose fsync does nothing: a disk, or an agent, with a bug.
    """

    def __init__(self) -> None:
        self._names: dict[str, Inode] = {}
        self._durable_names: dict[str, Inode] = {}
        self._last_written: Inode | None = None
        self.cut_after: int | None = None
        self.changes = 0
        self.forbidden = ""
        self.deaf_to: tuple[str, ...] = ()
        self.full = False

    def after_cut(self, kept: Kept) -> "SimDisk":
        """Return the disk as the next start finds it."""
        found = SimDisk()
        found.deaf_to = self.deaf_to
        names = self._durable_names if kept in {Kept.NONE, Kept.BYTES} else self._names
        for path, inode in names.items():
            data = bytes(inode.now)
            if kept in {Kept.NONE, Kept.NAMES}:
                data = inode.durable
            elif kept is Kept.TORN and inode is self._last_written:
                data = inode.torn()
            found._names[path] = Inode(bytearray(data), data)
        found._durable_names = dict(found._names)
        return found

    def create(self, path: str) -> None:
        """Make *path* an empty file."""
        self._names[path] = Inode()
        self._changed()

    def exists(self, path: str) -> bool:
        """Return whether there is a file at *path*."""
        return path in self._names

    def size_bytes(self, path: str) -> int:
        """Return how long the file is."""
        return len(self._file(path).now)

    def read(self, path: str, offset: int = 0, size_bytes: int | None = None) -> bytes:
        """Return up to *size_bytes* from *offset*."""
        end = None if size_bytes is None else offset + size_bytes
        return bytes(self._file(path).now[offset:end])

    def pwrite(self, path: str, offset: int, data: bytes) -> None:
        """Write *data* at *offset*."""
        assert path != self.forbidden, "the slot that runs was written"
        if self.full:
            raise StorageError(f"{path}: No space left on device.")
        inode = self._file(path)
        inode.before_last = bytes(inode.now)
        inode.last = (offset, data)
        _put(inode.now, offset, data)
        self._last_written = inode
        self._changed()

    def truncate(self, path: str, size_bytes: int) -> None:
        """Make the file *size_bytes* long."""
        inode = self._file(path)
        inode.now = inode.now[:size_bytes].ljust(size_bytes, b"\0")
        self._changed()

    def fsync(self, path: str) -> None:
        """Make the file's bytes durable."""
        inode = self._file(path)
        if not path.startswith(self.deaf_to):
            inode.durable, inode.last = bytes(inode.now), None
        self._changed()

    def fsync_dir(self, path: str) -> None:
        """Make the names in directory *path* durable."""
        if not path.startswith(self.deaf_to):
            for names, others in (
                (self._names, self._durable_names),
                (self._durable_names, self._names),
            ):
                for name in [name for name in names if name.rpartition("/")[0] == path]:
                    if others is self._durable_names:
                        others[name] = names[name]
                    elif name not in others:
                        del names[name]
        self._changed()

    def rename(self, old: str, new: str) -> None:
        """Give the file a new name."""
        self._names[new] = self._file(old)
        del self._names[old]
        self._changed()

    def unlink(self, path: str) -> None:
        """Remove the file."""
        if self._names.pop(path, None) is not None:
            self._changed()

    def list(self, path: str) -> list[str]:
        """Return the names of the files in directory *path*."""
        return sorted(
            name.rpartition("/")[2] for name in self._names if name.rpartition("/")[0] == path
        )

    def free_bytes(self) -> int:
        """Return how much may still be written."""
        return 0 if self.full else 1 << 30

    def _file(self, path: str) -> Inode:
        if path not in self._names:
            raise StorageError(f"{path}: No such file or directory.")
        return self._names[path]

    def _changed(self) -> None:
        self.changes += 1
        if self.cut_after is not None and self.changes >= self.cut_after:
            raise PowerCutError


def _put(found: bytearray, offset: int, data: bytes) -> None:
    if len(found) < offset:
        found.extend(bytes(offset - len(found)))
    found[offset : offset + len(data)] = data
