"""A disk in memory that loses what was not fsynced, in every way that POSIX permits.

``fsync`` makes a file's bytes durable, ``fsync_dir`` the names in a directory, of files
and of directories. Each change is an operation with a number: the plug can be pulled
after the n-th one, and ``after_cut`` returns the disk that the next start finds, in one
of the modes of ``crash``. ``fork`` copies a disk for the price of its list of pages.
Source: powerfail design, 4.3 and 4.5.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple

from oleada_agent.errors import StorageError

from oleada_lab.sim.crash import Kept, crash
from oleada_lab.sim.inode import Content, Inode, content

FREE_BYTES: Final = 1 << 30
FOLDERS: Final = ("slots", "boot", "data", "run")
"""What a box is made with."""
NO_SPACE: Final = "No space left on device"
IO_ERROR: Final = "Input/output error"


class PowerCutError(BaseException):
    """The plug was pulled; nothing in the agent may catch this."""


class Op(NamedTuple):
    """One change of a disk, as it is logged.

    Attributes:
        number: From 1, over the life of the disk and its forks.
        kind: ``create``, ``mkdir``, ``pwrite``, ``truncate``, ``fsync``, ``fsync_dir``,
            ``rename`` or ``unlink``.
        path: Inside the box; the old one of a rename.
        to: The new path of a rename, else empty.
    """

    number: int
    kind: str
    path: str
    offset: int = 0
    size_bytes: int = 0
    to: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """Operations that the disk refuses; they then change nothing.

    Attributes:
        at: Number of the first operation refused.
        reason: What the system says, for example ``IO_ERROR``.
        forever: Refuse all that follow as well.
        on: Beginning of the paths that are struck; empty for all.
        but: Beginning of the paths that are not; empty for none.
        kinds: Of the operations that are struck; empty for all.
    """

    at: int
    reason: str = IO_ERROR
    forever: bool = False
    on: str = ""
    but: str = ""
    kinds: frozenset[str] = frozenset()

    def strikes(self, number: int, kind: str, path: str) -> bool:
        """Return whether operation *number*, a *kind* of it on *path*, is refused."""
        is_due = number >= self.at if self.forever else number == self.at
        is_there = path.startswith(self.on) and not (self.but and path.startswith(self.but))
        return is_due and is_there and (not self.kinds or kind in self.kinds)


class SimDisk:
    """A ``ports.Disk`` in memory.

    Args:
        folders: Are there and durable from the beginning.

    Attributes:
        changes: Operations so far.
        cut_after: The plug is pulled in the change that follows so many more; None for never.
        forbidden: The slot that runs; writing it is the bug that the lab looks for.
        deaf_to: Beginnings of paths whose fsync does nothing: a disk, or an agent, with a bug.
        full: The disk has no room: nothing is written, though files are still removed.
        faults: Operations to refuse.
        misdeeds: How often it has refused, or let a bit rot.
        watch: Hears each change when it is done, before the plug is pulled.
        wrote: Hears of how many bytes a write was; a fleet that is counted needs no more.
    """

    def __init__(self, folders: Iterable[str] = FOLDERS) -> None:
        self._names: dict[str, Inode] = {}
        self._durable_names: dict[str, Inode] = {}
        self._moved: dict[str, None] = {}
        self._folders = {"", *folders}
        self._durable_folders = set(self._folders)
        self.cut_after: int | None = None
        self.changes = 0
        self.forbidden = ""
        self.deaf_to: tuple[str, ...] = ()
        self.full = False
        self.faults: tuple[Fault, ...] = ()
        self.misdeeds = 0
        self.watch: Callable[[Op], None] | None = None
        self.wrote: Callable[[int], None] | None = None

    # -- the plug ----------------------------------------------------------------------

    def fork(self) -> "SimDisk":
        """Return a copy that goes its own way; it is watched by nobody."""
        found = SimDisk(())
        copies = {id(i): i.copy() for i in (*self._names.values(), *self._durable_names.values())}
        found._names = {path: copies[id(i)] for path, i in self._names.items()}
        found._durable_names = {path: copies[id(i)] for path, i in self._durable_names.items()}
        found._moved = dict(self._moved)
        found._folders = set(self._folders)
        found._durable_folders = set(self._durable_folders)
        found.changes, found.forbidden = self.changes, self.forbidden
        found.misdeeds = self.misdeeds
        found.deaf_to, found.full, found.faults = self.deaf_to, self.full, self.faults
        return found

    def after_cut(self, kept: Kept, dice: Random | None = None) -> "SimDisk":
        """Return the disk as the next start finds it.

        Args:
            dice: Needed by ``Kept.RANDOM``.
        """
        found = SimDisk(())
        found.changes, found.deaf_to, found.misdeeds = self.changes, self.deaf_to, self.misdeeds
        durable = kept in {Kept.NONE, Kept.BYTES}
        folders = self._durable_folders if durable else self._folders
        found._folders = {folder for folder in folders if _is_inside(folder, folders)}
        names = crash(self._names, self._durable_names, kept, dice or Random(0))
        found._names = {p: i for p, i in names.items() if _folder(p) in found._folders}
        found._settle_names()
        return found

    def lose_power(self) -> None:
        """Forget every byte that was not fsynced and every name that was not either."""
        found = self.after_cut(Kept.NONE)
        self._names, self._folders = found._names, found._folders
        self._settle_names()
        self.cut_after = None

    def settle(self) -> None:
        """Make everything durable at once; no operation of the agent does this."""
        for inode in self._names.values():
            inode.sync()
        self._settle_names()

    def rot(self, path: str, at: int) -> None:
        """Flip a bit of byte *at* of the file, on the medium too; nobody is told."""
        self._file(path).rot(at)
        self.misdeeds += 1

    def files(self) -> dict[str, Content]:
        """Return size and pages of every file by its path, so that two disks can be compared."""
        return {path: content(inode) for path, inode in sorted(self._names.items())}

    # -- the port ----------------------------------------------------------------------

    def create(self, path: str) -> None:
        """Make *path* an empty file, whatever was there; parents are made too, durably."""
        self._make_folder(_folder(path))
        self._refuse("create", path)
        self._names[path] = Inode()
        self._moved[path] = None
        self._changed("create", path)

    def exists(self, path: str) -> bool:
        """Return whether there is a file at *path*."""
        return path in self._names

    def size_bytes(self, path: str) -> int:
        """Return how long the file is."""
        return self._file(path).size_bytes

    def read(self, path: str, offset: int = 0, size_bytes: int | None = None) -> bytes:
        """Return up to *size_bytes* from *offset*."""
        inode = self._file(path)
        return inode.read(offset, inode.size_bytes if size_bytes is None else size_bytes)

    def pwrite(self, path: str, offset: int, data: bytes) -> None:
        """Write *data* at *offset*."""
        assert path != self.forbidden, f"{path} runs and was written"  # noqa: S101 - S4
        inode = self._file(path)
        self._refuse("pwrite", path)
        inode.write(offset, data, self.changes + 1)
        if self.wrote is not None:
            self.wrote(len(data))
        self._changed("pwrite", path, offset, len(data))

    def truncate(self, path: str, size_bytes: int) -> None:
        """Make the file *size_bytes* long."""
        inode = self._file(path)
        self._refuse("truncate", path)
        inode.resize(size_bytes)
        self._changed("truncate", path, 0, size_bytes)

    def fsync(self, path: str) -> None:
        """Make the file's bytes durable."""
        inode = self._file(path)
        try:
            self._refuse("fsync", path)
        except StorageError:
            inode.fail_to_sync()
            raise
        if not path.startswith(self.deaf_to):
            inode.sync()
        self._changed("fsync", path)

    def fsync_dir(self, path: str) -> None:
        """Make the names in directory *path* durable."""
        if path not in self._folders:
            raise StorageError(f"{path}: No such file or directory.")
        self._refuse("fsync_dir", path)
        if not path.startswith(self.deaf_to):
            self._sync_names(path)
        self._changed("fsync_dir", path)

    def rename(self, old: str, new: str) -> None:
        """Give the file a new name, over any file there."""
        inode = self._file(old)
        self._refuse("rename", old)
        self._names[new] = inode
        del self._names[old]
        self._moved[old] = self._moved[new] = None
        self._changed("rename", old, to=new)

    def unlink(self, path: str) -> None:
        """Remove the file, if it is there."""
        if path in self._names:
            self._refuse("unlink", path)
            del self._names[path]
            self._moved[path] = None
            self._changed("unlink", path)

    def list(self, path: str) -> list[str]:
        """Return the sorted names of the files in directory *path*."""
        return sorted(n.rpartition("/")[2] for n in self._names if _folder(n) == path)

    def free_bytes(self) -> int:
        """Return how much may still be written."""
        return 0 if self.full else FREE_BYTES

    # -- inside ------------------------------------------------------------------------

    def _sync_names(self, folder: str) -> None:
        """Make durable what has come into *folder* and what has gone since it was last synced."""
        for name in [name for name in self._moved if _folder(name) == folder]:
            del self._moved[name]
            if name in self._names:
                self._durable_names[name] = self._names[name]
            else:
                self._durable_names.pop(name, None)
        if len(self._durable_folders) < len(self._folders):
            self._durable_folders |= {f for f in self._folders if f and _folder(f) == folder}

    def _settle_names(self) -> None:
        self._durable_names = dict(self._names)
        self._moved.clear()
        self._durable_folders = set(self._folders)

    def _file(self, path: str) -> Inode:
        try:
            return self._names[path]
        except KeyError as error:
            raise StorageError(f"{path}: No such file or directory.") from error

    def _make_folder(self, path: str) -> None:
        if path in self._folders:
            return
        self._make_folder(_folder(path))
        self._refuse("mkdir", path)
        self._folders.add(path)
        self._changed("mkdir", path)
        self.fsync_dir(_folder(path))

    def _refuse(self, kind: str, path: str) -> None:
        """Raise StorageError if this operation is not to be done."""
        if not self.full and not self.faults:
            return
        if self.full and kind in {"create", "mkdir", "pwrite"}:
            raise StorageError(f"{path}: {NO_SPACE}.")
        for fault in self.faults:
            if fault.strikes(self.changes + 1, kind, path):
                self.misdeeds += 1
                if not fault.forever:
                    self.faults = tuple(other for other in self.faults if other is not fault)
                raise StorageError(f"{path}: {fault.reason}.")

    def _changed(
        self, kind: str, path: str, offset: int = 0, size_bytes: int = 0, to: str = ""
    ) -> None:
        self.changes += 1
        if self.watch is not None:
            self.watch(Op(self.changes, kind, path, offset, size_bytes, to))
        if self.cut_after is not None:
            self.cut_after -= 1
            if self.cut_after < 0:
                raise PowerCutError


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _is_inside(folder: str, folders: set[str]) -> bool:
    """Return whether *folder* and every one above it are among *folders*."""
    while folder:
        if folder not in folders:
            return False
        folder = _folder(folder)
    return True
