"""The real disk: files under one directory, which stands for one box."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oleada_agent.boot.errors import StorageError


class RealDisk:
    """A ``ports.Disk`` over the directory *root*; opens no file for longer than a call."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self, path: str) -> None:
        """Make *path* an empty file, whatever was there; parents are made too, durably."""
        with _told(path):
            self._make_folder((self.root / path).parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            os.close(os.open(self.root / path, flags, 0o600))

    def exists(self, path: str) -> bool:
        """Return whether there is a file at *path*."""
        with _told(path):
            return (self.root / path).exists()

    def size_bytes(self, path: str) -> int:
        """Return how long the file is, a block device as well."""
        with self._open(path, os.O_RDONLY) as descriptor:
            return os.lseek(descriptor, 0, os.SEEK_END)

    def read(self, path: str, offset: int = 0, size_bytes: int | None = None) -> bytes:
        """Return up to *size_bytes* from *offset*; to the end when it is None."""
        if size_bytes is None:
            size_bytes = max(0, self.size_bytes(path) - offset)
        parts = []
        with self._open(path, os.O_RDONLY) as descriptor:
            while size_bytes > 0 and (part := os.pread(descriptor, size_bytes, offset)):
                parts.append(part)
                offset += len(part)
                size_bytes -= len(part)
        return b"".join(parts)

    def pwrite(self, path: str, offset: int, data: bytes) -> None:
        """Write *data* at *offset*; beyond the end the file grows, zeros between."""
        left = memoryview(data)
        with self._open(path, os.O_WRONLY) as descriptor:
            while left:
                done = os.pwrite(descriptor, left, offset)
                offset += done
                left = left[done:]

    def truncate(self, path: str, size_bytes: int) -> None:
        """Make the file *size_bytes* long."""
        with self._open(path, os.O_WRONLY) as descriptor:
            os.ftruncate(descriptor, size_bytes)

    def fsync(self, path: str) -> None:
        """Return when the file's bytes are durable; the next read comes from the medium."""
        with self._open(path, os.O_RDONLY) as descriptor:
            os.fsync(descriptor)
            # A read-back out of the page cache would prove nothing.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def fsync_dir(self, path: str) -> None:
        """Return when the names in directory *path* are durable."""
        with self._open(path, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
            os.fsync(descriptor)

    def rename(self, old: str, new: str) -> None:
        """Give the file a new name, over any file there, at once or not at all."""
        with _told(old):
            (self.root / old).replace(self.root / new)

    def unlink(self, path: str) -> None:
        """Remove the file; one that is not there is removed already."""
        with _told(path):
            (self.root / path).unlink(missing_ok=True)

    def list(self, path: str) -> list[str]:
        """Return the sorted names of the files in directory *path*; empty without it."""
        folder = self.root / path
        with _told(path):
            return sorted(item.name for item in folder.iterdir()) if folder.is_dir() else []

    def free_bytes(self) -> int:
        """Return how much may still be written."""
        with _told("."):
            found = os.statvfs(self.root)
        return found.f_bavail * found.f_frsize

    def _make_folder(self, folder: Path) -> None:
        """Make *folder* and what is above it; else a cut could take it with all it holds."""
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        descriptor = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def _open(self, path: str, flags: int) -> Iterator[int]:
        with _told(path):
            descriptor = os.open(self.root / path, flags | os.O_CLOEXEC)
            try:
                yield descriptor
            finally:
                os.close(descriptor)


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Turn what the system says about *path* into this package's error."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}.") from error
