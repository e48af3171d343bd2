"""The lab's disk under a real kernel: what FUSE asks for, answered by ``sim.disk.SimDisk``.

One model for both levels: what a real agent loses in a power cut here is decided by the
code that decides it in virtual time. ``run/`` is no part of the medium, for on a box it
lies in memory: it is counted nowhere and gone after a cut. Knows no FUSE library, so it
is tested without a mount. Paths begin with a slash, as FUSE has them.
Source: lab design, 0.2 and 4.1.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

from oleada_agent.errors import StorageError

from oleada_lab.real.steps import VOLATILE, Names, stage_after
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import NO_SPACE, Fault, Op, SimDisk

BLOCK_BYTES: Final = 4096


class _Folders(SimDisk):
    """A disk whose folders can be asked for, as a kernel does."""

    def is_folder(self, path: str) -> bool:
        return path in self._folders

    def folder_names(self, path: str) -> list[str]:
        inside = (name for name in self._folders if name and _folder(name) == path)
        return sorted(name.rpartition("/")[2] for name in inside)

    def mkdir(self, path: str) -> None:
        """Make a folder whose name is durable when the folder above is synced."""
        self._refuse("mkdir", path)
        self._folders.add(path)
        self._changed("mkdir", path)

    def rmdir(self, path: str) -> None:
        self._folders.discard(path)


class Medium:
    """A box's file system; every method raises OSError as a kernel does.

    Attributes:
        log: Operations that changed the medium, since ``load`` or ``back``.
        stages: Of the machine at each of them, as its journal said then; empty before it has one.
        cut_after: The plug is pulled right after the operation of this number; None for never.
        cut_at: Or right after the operation of this name, as ``steps.Names`` has it.
        on_cut: Called then, before anybody is answered; kills whoever has no power.
        is_dark: There is no power: every call is refused until ``lose_power``.
        is_read_only: The kernel has remounted the medium after an error.
        full_after: No room is left after the operation of this number; None for never.
        read_only_after: The kernel remounts after the operation of this number; None for never.
        before_sync: Called before each fsync is done: a slow medium waits here.
        recorded_as: The medium is kept under this name and the number of the operation after
            each one; empty for no record.
        moments: When each operation was done, by *clock*.
        clock: Seconds of a steady clock.
    """

    def __init__(self) -> None:
        self._disk = _Folders(())
        self._run = _Folders(())
        self._kept: dict[str, _Folders] = {}
        self.log: list[Op] = []
        self.stages: list[str] = []
        self.cut_after: int | None = None
        self.cut_at = ""
        self._names = Names()
        self.on_cut: Callable[[], None] = lambda: None
        self.is_dark = False
        self.is_read_only = False
        self.full_after: int | None = None
        self.read_only_after: int | None = None
        self.before_sync: Callable[[], None] = lambda: None
        self.recorded_as = ""
        self.moments: list[float] = []
        self.clock: Callable[[], float] = lambda: 0.0

    # -- the lab's side ----------------------------------------------------------------

    def load(self, folder: Path) -> None:
        """Hold what lies in *folder*, durably; number operations from 1."""
        inside = [path for path in sorted(folder.rglob("*")) if path.is_dir()]
        disk = _Folders(str(path.relative_to(folder)) for path in inside)
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            if path.is_file() and not name.startswith(f"{VOLATILE}/"):
                disk.create(name)
                disk.pwrite(name, 0, path.read_bytes())
        disk.settle()
        disk.changes = 0
        self._insert(disk)

    def keep(self, name: str) -> None:
        """Keep the medium as it is now, also what is not durable yet, under *name*."""
        self._kept[name] = _fork(self._disk)

    def forget(self, name: str) -> None:
        """Drop what was recorded as *name*."""
        self._kept = {key: disk for key, disk in self._kept.items() if not _is_of(name, key)}

    def back(self, name: str) -> None:
        """Be as ``keep`` kept it, with power and without faults."""
        self._insert(_fork(self._kept[name]))

    def lose_power(self, kept: Kept, seed: int = 0) -> str:
        """Lose what the mode *kept* loses and have power again; return a digest of what is left."""
        found = self._disk.after_cut(kept, Random(seed))
        numbers = self._disk.changes
        self._insert(_grown(found))
        self._disk.changes = numbers
        return self.digest()

    def digest(self) -> str:
        """Return the SHA-256 of names and bytes; equal for equal media."""
        found = hashlib.sha256()
        for path, (size_bytes, pages) in self._disk.files().items():
            found.update(f"{path}\0{size_bytes}\0".encode())
            for number, page in pages:
                found.update(number.to_bytes(8, "big") + page)
        return found.hexdigest()

    @property
    def changes(self) -> int:
        """Number of the last operation."""
        return self._disk.changes

    def forget_syncs(self, paths: tuple[str, ...]) -> None:
        """Be deaf to the syncs of what begins with one of *paths*: a bug to be found."""
        self._disk.deaf_to = paths

    def strike(self, faults: tuple[Fault, ...] = ()) -> None:
        """Refuse *faults* from now on."""
        self._disk.faults = faults

    def mend(self) -> None:
        """Take everything again, and at once."""
        self._disk.faults, self._disk.full, self.is_read_only = (), False, False
        self.full_after = self.read_only_after = None
        self.before_sync = lambda: None

    def _insert(self, disk: _Folders) -> None:
        self._disk, self._run = disk, _Folders((VOLATILE,))
        disk.watch = self._done
        self.log, self.stages, self.moments = [], [], []
        self.recorded_as = ""
        self.is_dark = False
        self.cut_after, self.cut_at, self._names = None, "", Names()
        self.mend()

    def _done(self, op: Op) -> None:
        before = self.stages[-1] if self.stages else ""
        self.log.append(op)
        self.stages.append(stage_after(op, self._disk, before))
        self.moments.append(self.clock())
        if self.recorded_as:
            self.keep(recorded(self.recorded_as, op.number))
        if op.number == self.full_after:
            self._disk.full = True
        if op.number == self.read_only_after:
            self.is_read_only = True
        is_named = self._names.of(op) == self.cut_at
        if is_named or op.number == self.cut_after:
            self.is_dark = True
            self.on_cut()
            raise OSError(errno.EIO, "the plug was pulled")

    # -- the kernel's side -------------------------------------------------------------

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        """Return mode, size and links of the file or folder at *path*."""
        disk, name = self._find(path)
        if name == "" or disk.is_folder(name):
            return {"st_mode": stat.S_IFDIR | 0o700, "st_nlink": 2}
        self._must_exist(disk, name)
        return {
            "st_mode": stat.S_IFREG | 0o600,
            "st_nlink": 1,
            "st_size": disk.size_bytes(name),
            "st_blksize": BLOCK_BYTES,
        }

    def readdir(self, path: str, fh: int) -> list[str]:
        """Return the names in the folder at *path*."""
        disk, name = self._find(path)
        here = [*disk.folder_names(name), *disk.list(name)]
        if name == "" and self._run.is_folder(VOLATILE) and VOLATILE not in here:
            here.append(VOLATILE)
        return [".", "..", *here]

    def create(self, path: str, mode: int, flags: int = 0) -> int:
        """Make a file that was not there."""
        disk, name = self._writable(path)
        if not disk.is_folder(_folder(name)):
            raise OSError(errno.ENOENT, path)
        with _as_errno():
            disk.create(name)
        return 0

    def open(self, path: str, flags: int) -> int:
        """Open a file; O_TRUNC empties it, which is an operation."""
        disk, name = self._find(path)
        self._must_exist(disk, name)
        if flags & os.O_TRUNC:
            self.create(path, 0)
        elif flags & (os.O_WRONLY | os.O_RDWR):
            self._writable(path)
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """Return up to *size* bytes from *offset*."""
        disk, name = self._find(path)
        self._must_exist(disk, name)
        return disk.read(name, offset, size)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        """Write *data* at *offset*; return how much."""
        disk, name = self._writable(path)
        self._must_exist(disk, name)
        with _as_errno():
            disk.pwrite(name, offset, data)
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        """Make the file *length* bytes long."""
        disk, name = self._writable(path)
        self._must_exist(disk, name)
        with _as_errno():
            disk.truncate(name, length)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        """Make the file's bytes durable."""
        disk, name = self._find(path)
        self._must_exist(disk, name)
        self.before_sync()
        with _as_errno():
            disk.fsync(name)
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        """Make the names in the folder durable."""
        disk, name = self._find(path)
        self.before_sync()
        with _as_errno():
            disk.fsync_dir(name)
        return 0

    def rename(self, old: str, new: str, flags: int = 0) -> int:
        """Give a file a new name, over any file there."""
        disk, name = self._writable(old)
        other, to = self._writable(new)
        self._must_exist(disk, name)
        if other is not disk:
            raise OSError(errno.EXDEV, new)
        with _as_errno():
            disk.rename(name, to)
        return 0

    def unlink(self, path: str) -> int:
        """Remove a file."""
        disk, name = self._writable(path)
        self._must_exist(disk, name)
        with _as_errno():
            disk.unlink(name)
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        """Make a folder; FUSE has looked whether it is there."""
        disk, name = self._writable(path)
        with _as_errno():
            disk.mkdir(name)
        return 0

    def rmdir(self, path: str) -> int:
        """Remove an empty folder of ``run/``, or ``run/`` itself; a box removes no other."""
        disk, name = self._writable(path)
        if disk is not self._run:
            raise OSError(errno.EPERM, path)
        disk.rmdir(name)
        return 0

    def chmod(self, path: str, mode: int) -> int:
        """Take note of nothing: who may read is not what a power cut decides."""
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        """Take note of nothing: no part of a box looks at times of files."""
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        """Return how much room there is."""
        blocks = self._disk.free_bytes() // BLOCK_BYTES
        return {
            "f_bsize": BLOCK_BYTES,
            "f_frsize": BLOCK_BYTES,
            "f_blocks": 1 << 20,
            "f_bfree": blocks,
            "f_bavail": blocks,
            "f_namemax": 255,
        }

    # -- inside ------------------------------------------------------------------------

    def _find(self, path: str | None) -> tuple[_Folders, str]:
        """Return the disk that *path* lies on, and its name there."""
        if self.is_dark:
            raise OSError(errno.EIO, "there is no power")
        if path is None:  # the file is gone, somebody holds it open
            raise OSError(errno.ESTALE, "removed")
        name = path.strip("/")
        is_volatile = name == VOLATILE or name.startswith(f"{VOLATILE}/")
        return (self._run if is_volatile else self._disk), name

    def _writable(self, path: str) -> tuple[_Folders, str]:
        found = self._find(path)
        if self.is_read_only and found[0] is self._disk:
            raise OSError(errno.EROFS, path)
        return found

    def _must_exist(self, disk: _Folders, name: str) -> None:
        if not disk.exists(name):
            raise OSError(errno.ENOENT, name)


def recorded(name: str, number: int) -> str:
    """Return under what name the medium of the record *name* is kept after operation *number*."""
    return f"{name}/{number}"


def _is_of(name: str, key: str) -> bool:
    return key == name or key.startswith(f"{name}/")


def _fork(disk: _Folders) -> _Folders:
    return _grown(disk.fork())


def _grown(disk: SimDisk) -> _Folders:
    """Return *disk*, which nobody else holds, with folders that can be asked for."""
    found = _Folders(())
    found.__dict__.update(disk.__dict__)
    return found


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


@contextmanager
def _as_errno() -> Iterator[None]:
    """Turn what the disk says into what a kernel says."""
    try:
        yield
    except StorageError as error:
        code = errno.ENOSPC if NO_SPACE in str(error) else errno.EIO
        raise OSError(code, str(error)) from error
