"""A disk in memory that forgets what was not fsynced when the plug is pulled."""

from dataclasses import dataclass, field

from oleada_agent.errors import StorageError

FREE_BYTES = 1 << 30


class PowerCutError(BaseException):
    """The plug was pulled in the middle of a write; nothing in the agent may catch this."""


@dataclass(slots=True)
class _File:
    now: bytearray = field(default_factory=bytearray)
    durable: bytes = b""


class SimDisk:
    """A ``ports.Disk`` in memory.

    Attributes:
        cut_after: The plug is pulled after so many changes more; None for never.
        forbidden: The slot that runs; writing it is the bug that the lab looks for.
    """

    def __init__(self) -> None:
        self._names: dict[str, _File] = {}
        self._durable_names: dict[str, _File] = {}
        self.cut_after: int | None = None
        self.forbidden = ""

    def lose_power(self) -> None:
        """Forget every byte that was not fsynced and every name that was not either."""
        self._names = dict(self._durable_names)
        for file in self._names.values():
            file.now = bytearray(file.durable)
        self.cut_after = None

    def create(self, path: str) -> None:
        """Make *path* an empty file."""
        self._names[path] = _File()
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
        assert path != self.forbidden, f"{path} runs and was written"  # noqa: S101 - S4
        file = self._file(path)
        if len(file.now) < offset:
            file.now.extend(bytes(offset - len(file.now)))
        file.now[offset : offset + len(data)] = data
        self._changed()

    def truncate(self, path: str, size_bytes: int) -> None:
        """Make the file *size_bytes* long."""
        file = self._file(path)
        file.now = file.now[:size_bytes].ljust(size_bytes, b"\0")
        self._changed()

    def fsync(self, path: str) -> None:
        """Make the file's bytes durable."""
        file = self._file(path)
        file.durable = bytes(file.now)
        self._changed()

    def fsync_dir(self, path: str) -> None:
        """Make the names in directory *path* durable."""
        outside = {n: f for n, f in self._durable_names.items() if _folder(n) != path}
        inside = {n: f for n, f in self._names.items() if _folder(n) == path}
        self._durable_names = outside | inside
        self._changed()

    def rename(self, old: str, new: str) -> None:
        """Give the file a new name, over any file there."""
        self._names[new] = self._file(old)
        del self._names[old]
        self._changed()

    def unlink(self, path: str) -> None:
        """Remove the file, if it is there."""
        if self._names.pop(path, None) is not None:
            self._changed()

    def list(self, path: str) -> list[str]:
        """Return the sorted names of the files in directory *path*."""
        return sorted(n.rpartition("/")[2] for n in self._names if _folder(n) == path)

    def free_bytes(self) -> int:
        """Return how much may still be written."""
        return FREE_BYTES

    def _file(self, path: str) -> _File:
        try:
            return self._names[path]
        except KeyError as error:
            raise StorageError(f"{path}: no such file.") from error

    def _changed(self) -> None:
        if self.cut_after is not None:
            self.cut_after -= 1
            if self.cut_after < 0:
                raise PowerCutError


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
