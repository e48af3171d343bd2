"""The journal: the machine's state on disk, in two files that take turns.

A file holds one line of JSON: ``{"crc32", "schema", "seq", "state"}``, the CRC-32 (as in
zlib) over the canonical JSON of the other three. A store writes beside the file, fsyncs,
renames and fsyncs the directory, so at any moment at least one file is whole. The highest
valid ``seq`` wins. A broken file is set aside as ``.broken`` and named, never trusted.
Source: powerfail design, 4.6.
"""

import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from oleada_wire import canonical
from oleada_wire.errors import WireError

from oleada_agent import machine_codec
from oleada_agent.errors import JournalError, StorageError
from oleada_agent.machine_states import State
from oleada_agent.ports import Disk

FOLDER: Final = "data"
FILES: Final = (f"{FOLDER}/journal.0", f"{FOLDER}/journal.1")
JOURNAL_BYTES_MAX: Final = 1024 * 1024
"""More than the two assignments of the largest envelopes that a state may hold."""
ROOM: Final = f"{FOLDER}/room"
ROOM_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the journal held.

    Attributes:
        state: None when there is no journal: a new box, or one that lost both files.
        broken: Files set aside, to be told of.
        is_lost: There was a state, but none that can be read.
    """

    state: State | None
    broken: tuple[str, ...] = ()
    is_lost: bool = False


class Journal:
    """The state of one box on its *disk*."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._seq = 0

    def load(self) -> Loaded:
        """Return the newest state that this agent can read, and sweep what a cut has left.

        What it can not read is set aside: a box that begins anew is told what to do by
        the server, one that does not start is silent for ever.
        """
        names = set(self._disk.list(FOLDER))
        broken: list[str] = []
        found: list[tuple[int, State]] = []
        for path in FILES:
            if path.removeprefix(f"{FOLDER}/") not in names:
                continue
            entry = self._read(path)
            if entry is None:
                broken.append(path)
            else:
                found.append(entry)
        self._clear_away(broken)
        if not found:
            set_aside = any(name.endswith(".broken") for name in names)
            return Loaded(None, tuple(broken), is_lost=bool(broken) or set_aside)
        self._seq, state = max(found, key=lambda entry: entry[0])
        return Loaded(state, tuple(broken))

    def peek(self) -> State | None:
        """Return the newest state that can be read, None without one; changes nothing."""
        names = set(self._disk.list(FOLDER))
        there = [path for path in FILES if path.removeprefix(f"{FOLDER}/") in names]
        found = [entry for path in there if (entry := self._read(path)) is not None]
        return max(found, key=lambda entry: entry[0])[1] if found else None

    def store(self, state: State) -> None:
        """Return when *state* is durable.

        Raises:
            StorageError: it is not; the one before still is.
        """
        seq = self._seq + 1
        entry = {
            "schema": machine_codec.SCHEMA,
            "seq": seq,
            "state": machine_codec.to_json(state),
        }
        path = FILES[seq % len(FILES)]
        write_whole(self._disk, path, canonical.dumps({"crc32": _crc32(entry), **entry}))
        self._seq = seq

    def _clear_away(self, broken: Sequence[str]) -> None:
        """Set *broken* files aside, and remove what a cut has left; a disk that refuses keeps them.

        What can be read counts all the same: a box that forgot its floors would be worse.
        """
        with suppress(StorageError):
            for path in FILES:
                self._disk.unlink(f"{path}.tmp")
            for path in broken:
                self._disk.rename(path, f"{path}.broken")
            if broken:
                self._disk.fsync_dir(FOLDER)

    def _read(self, path: str) -> tuple[int, State] | None:
        """Return sequence and state in *path*; None when this agent can not read it."""
        try:
            data = self._disk.read(path, 0, JOURNAL_BYTES_MAX + 1)
            value = canonical.loads(data, "journal", JOURNAL_BYTES_MAX)
            crc32, seq = value.pop("crc32", None), value.get("seq")
            if crc32 != _crc32(value) or type(seq) is not int:
                return None
            if value.get("schema") != machine_codec.SCHEMA:
                return None
            return seq, machine_codec.from_json(value.get("state"))
        except (WireError, JournalError, StorageError):
            return None


def write_whole(disk: Disk, path: str, data: bytes) -> None:
    """Make *path* hold *data*, durably and all at once: the old bytes or the new ones.

    Raises:
        StorageError: it could not; the old bytes are still there.
    """
    beside = f"{path}.tmp"
    try:
        disk.create(beside)
        disk.pwrite(beside, 0, data)
        disk.fsync(beside)
        disk.rename(beside, path)
    except StorageError:
        with suppress(StorageError):
            disk.unlink(beside)  # else it would lie there until the next start, or for ever
        raise
    disk.fsync_dir(path.rpartition("/")[0])


def has_room(disk: Disk) -> bool:
    """Return whether *disk* takes what a store may need."""
    try:
        write_whole(disk, ROOM, bytes(ROOM_BYTES))
        disk.unlink(ROOM)
    except StorageError:
        return False
    return True


def _crc32(entry: dict[str, Any]) -> int:
    return zlib.crc32(canonical.dumps(entry))
