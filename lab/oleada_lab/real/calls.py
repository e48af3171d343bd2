"""What strace wrote down, read: which system calls changed a box's disk, in order. Pure.

A line is ``PID CALL(ARGUMENTS) = RESULT``; a call that another thread interrupted stands
in two lines, ``… <unfinished ...>`` and ``<... CALL resumed>…``. With ``-y`` a descriptor
is followed by its path in angle brackets. Source: strace(1), checked with 6.1.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from oleada_lab.real.steps import VOLATILE
from oleada_lab.sim.disk import Op

WATCHED: Final = (
    *("openat", "write", "pwrite64", "fsync", "fdatasync", "rename", "renameat", "renameat2"),
    *("unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "ftruncate", "truncate"),
)
"""Every call by which a program can change a file system, as Python and debugfs make them."""
KILLED_AT: Final = ("pwrite64", "fsync", "rename", "unlink", "mkdir", "ftruncate", "rmdir")
"""Where the power is cut. An openat can not be told from one that only reads, and leaves
its empty file to be found by the call that follows; a write is the log's or a socket's."""
KINDS: Final = {
    "write": "pwrite",
    "pwrite64": "pwrite",
    "fdatasync": "fsync",
    "renameat": "rename",
    "renameat2": "rename",
    "unlinkat": "unlink",
    "mkdirat": "mkdir",
    "ftruncate": "truncate",
}
_LINE: Final = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+|\?)(<.*>)?(?: .*)?")
_UNFINISHED: Final = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>")
_RESUMED: Final = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)")
_QUOTED: Final = re.compile(r'"([^"]*)"')
_DESCRIPTOR: Final = re.compile(r"\d+<([^>]*)>")


@dataclass(frozen=True, slots=True)
class Call:
    """One finished system call.

    Attributes:
        result: What it returned; negative when it was refused.
    """

    pid: int
    name: str
    arguments: str
    result: int

    @property
    def paths(self) -> list[str]:
        """The paths that are named, or the one of the descriptor."""
        return _QUOTED.findall(self.arguments) if '"/' in self.arguments else self._held()

    def _held(self) -> list[str]:
        return _DESCRIPTOR.findall(self.arguments)[:1]


def read(lines: Iterable[str]) -> Iterator[Call]:
    """Yield the calls in *lines*, in the order in which they ended."""
    begun: dict[str, str] = {}
    for line in lines:
        if match := _UNFINISHED.fullmatch(line):
            begun[match[1]] = f"{match[1]} {match[2]}({match[3]}"
            continue
        whole = line
        if match := _RESUMED.fullmatch(line):
            whole = begun.pop(match[1], f"{match[1]} {match[2]}(") + match[3]
        if (found := _LINE.fullmatch(whole)) and found[4] != "?":
            yield Call(int(found[1]), found[2], found[3], int(found[4]))


def changes(calls: Iterable[Call], box: str) -> list[Op]:
    """Return the *calls* that changed the disk of the box in folder *box*, as operations.

    ``run/`` is memory on a box, so it is left out.
    """
    folders = {box, *(f"{box}/{name}" for name in ("slots", "boot", "data"))}
    found: list[Op] = []
    for call in calls:
        names = [name for name in call.paths if name == box or name.startswith(f"{box}/")]
        if call.result < 0 or not names or _is_volatile(names[0], box):
            continue
        if (kind := _kind(call, names[0], folders)) is None:
            continue
        if kind == "mkdir":
            folders.add(names[0])
        path, *to = (name.removeprefix(f"{box}/") for name in names)
        size_bytes = call.result if kind == "pwrite" else 0
        offset = int(call.arguments.rpartition(", ")[2]) if call.name == "pwrite64" else 0
        found.append(Op(len(found) + 1, kind, path, offset, size_bytes, *to))
    return found


def _kind(call: Call, path: str, folders: set[str]) -> str | None:
    """Return what *call* did to *path*; None when it changed nothing."""
    if call.name == "openat":
        return "create" if "O_TRUNC" in call.arguments else None
    if call.name in ("fsync", "fdatasync") and path in folders:
        return "fsync_dir"
    return KINDS.get(call.name, call.name)


def _is_volatile(path: str, box: str) -> bool:
    name = path.removeprefix(f"{box}/")
    return name == VOLATILE or name.startswith(f"{VOLATILE}/")
