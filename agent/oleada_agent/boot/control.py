"""Boot control: the durable record that decides which slot boots.

Two files of ``RECORD_BYTES`` take turns; each is one JSON object, ``{"crc32",
"generation", "slots"}``, filled up with blanks. A change overwrites the older one in
place and fsyncs it: torn, it fails its CRC and the other one still stands. The highest
valid generation wins. Per slot, as Android and RAUC have it: *priority* (0 = never),
*tries* left, *successful*.
"""

import json
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

from oleada_wire.version import version_key

from oleada_agent.boot.disk import RealDisk
from oleada_agent.boot.errors import StorageError

RECORD_BYTES: Final = 512
FOLDER: Final = "boot"
FILES: Final = (f"{FOLDER}/control.0", f"{FOLDER}/control.1")
DEFAULT_TRIES: Final = 4
FIRST, SECOND, NEVER = 2, 1, 0
SLOTS: Final = ("A", "B")


class ControlDisk(Protocol):
    """What boot control needs of ``ports.Disk``."""

    def create(self, path: str) -> None:
        """Make *path* an empty file."""
        ...

    def exists(self, path: str) -> bool:
        """Return whether there is a file at *path*."""
        ...

    def read(self, path: str, offset: int = 0, size_bytes: int | None = None) -> bytes:
        """Return up to *size_bytes* from *offset*."""
        ...

    def pwrite(self, path: str, offset: int, data: bytes) -> None:
        """Write *data* at *offset*."""
        ...

    def fsync(self, path: str) -> None:
        """Return when the file's bytes are durable."""
        ...

    def fsync_dir(self, path: str) -> None:
        """Return when the names in directory *path* are durable."""
        ...


@dataclass(frozen=True, slots=True)
class SlotControl:
    """What decides whether one slot boots.

    Attributes:
        priority: The higher boots first; 0 never boots.
        tries: Starts left; means nothing once *successful*.
        successful: The slot has proven itself.
    """

    priority: int = NEVER
    tries: int = 0
    successful: bool = False

    @property
    def may_boot(self) -> bool:
        """Whether the boot program may choose this slot."""
        return self.priority > NEVER and (self.successful or self.tries > 0)


@dataclass(frozen=True, slots=True)
class Control:
    """One record."""

    a: SlotControl
    b: SlotControl

    def of(self, slot: str) -> SlotControl:
        """Return what is said of *slot*."""
        return self.a if slot == "A" else self.b

    def with_slot(self, slot: str, said: SlotControl) -> "Control":
        """Return the record with *said* of *slot*."""
        return replace(self, a=said) if slot == "A" else replace(self, b=said)

    def in_order(self) -> list[str]:
        """Return the slots that may boot, highest priority first; A before B."""
        ordered = sorted(SLOTS, key=lambda slot: -self.of(slot).priority)
        return [slot for slot in ordered if self.of(slot).may_boot]

    def preferred(self) -> str:
        """Return the slot that would boot if every slot were well."""
        return max(SLOTS, key=lambda slot: self.of(slot).priority)


# -- changes, pure ---------------------------------------------------------------------


def factory(slot: str) -> Control:
    """Return the record of a new box whose image is in *slot*."""
    empty = Control(SlotControl(), SlotControl())
    return empty.with_slot(slot, SlotControl(FIRST, 0, successful=True))


def default(versions: Mapping[str, str]) -> Control:
    """Return a record for a box that has lost both.

    Args:
        versions: Of the images that verify, by slot. The newest boots first; where
            another can take over, it must prove itself again.
    """
    newest_first = sorted(versions, key=lambda slot: version_key(versions[slot]), reverse=True)
    found = Control(SlotControl(), SlotControl())
    for slot, priority in zip(newest_first, (FIRST, SECOND), strict=False):
        proven = len(newest_first) == 1 or priority == SECOND
        tries = 0 if proven else DEFAULT_TRIES
        found = found.with_slot(slot, SlotControl(priority, tries, successful=proven))
    return found


def armed(control: Control, slot: str, tries: int) -> Control:
    """Return *control* with *slot* booting next, at most *tries* times."""
    return _first(control, slot, SlotControl(FIRST, tries, successful=False))


def marked_good(control: Control, slot: str) -> Control:
    """Return *control* with *slot* successful and first."""
    return _first(control, slot, SlotControl(FIRST, 0, successful=True))


def marked_bad(control: Control, slot: str) -> Control:
    """Return *control* with *slot* never booting."""
    return control.with_slot(slot, SlotControl())


def with_tries(control: Control, slot: str, change: int) -> Control:
    """Return *control* with *change* more tries for *slot*."""
    said = control.of(slot)
    return control.with_slot(slot, replace(said, tries=max(0, said.tries + change)))


def _first(control: Control, slot: str, said: SlotControl) -> Control:
    other = "B" if slot == "A" else "A"
    rest = control.of(other)
    if rest.priority > SECOND:
        control = control.with_slot(other, replace(rest, priority=SECOND))
    return control.with_slot(slot, said)


# -- the record ------------------------------------------------------------------------


def encode(control: Control, generation: int) -> bytes:
    """Return the record, ``RECORD_BYTES`` long."""
    slots = {slot: _slot_json(control.of(slot)) for slot in SLOTS}
    entry = {"generation": generation, "slots": slots}
    text = _spelt({"crc32": zlib.crc32(_spelt(entry)), **entry})
    return text.ljust(RECORD_BYTES, b" ")


def decode(record: bytes) -> tuple[int, Control] | None:
    """Return generation and content of *record*; None when one byte of it is not right."""
    try:
        value = json.loads(record)
        generation = value["generation"]
        control = Control(*(SlotControl(**value["slots"][slot]) for slot in SLOTS))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if type(generation) is not int or encode(control, generation) != record:
        return None
    return generation, control


def _slot_json(said: SlotControl) -> dict[str, Any]:
    return {"priority": said.priority, "successful": said.successful, "tries": said.tries}


def _spelt(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def initialise(box: Path, slot: str = "A") -> None:
    """Write the boot control of a new box at directory *box* whose image is in *slot*.

    Raises:
        StorageError: the disk refuses.
    """
    (box / FOLDER).mkdir(exist_ok=True)
    FileBootControl(RealDisk(box)).store(factory(slot))


# -- on the disk -----------------------------------------------------------------------


class FileBootControl:
    """Boot control in two files; a ``ports.BootControl``."""

    def __init__(self, disk: ControlDisk) -> None:
        self._disk = disk

    def load(self) -> Control | None:
        """Return the record that counts; None when there is no valid one."""
        newest = max(self._valid(), default=None, key=lambda found: found[1])
        return None if newest is None else newest[2]

    def store(self, control: Control) -> None:
        """Return when *control* counts.

        Raises:
            StorageError: it does not; the record before still does.
        """
        self._write(self._older_first()[0], control)

    def mark_bad(self, slot: str) -> None:
        """Never start *slot*: said in both records, and in one at least if it can be.

        Raises:
            StorageError: a record could not be written; the other one may say so.
        """
        control = marked_bad(self._read(), slot)
        if self._is_in_both(control):
            return
        refused = None
        for path in self._older_first():
            try:
                self._write(path, control)
            except StorageError as error:
                refused = error
        if refused is not None:
            raise refused

    def arm(self, slot: str, tries: int) -> None:
        """Start *slot* next, at most *tries* times until it is marked good."""
        self._change(armed(self._read(), slot, tries))

    def mark_good(self, slot: str) -> None:
        """Call *slot* successful, in both records: one that rots takes back no commit."""
        control = marked_good(self._read(), slot)
        for _ in FILES:
            if not self._is_in_both(control):
                self.store(control)

    def is_successful(self, slot: str) -> bool:
        """Return whether *slot* is called successful."""
        return self._read().of(slot).successful

    def _change(self, control: Control) -> None:
        if control != self._read():  # asked twice, written once
            self.store(control)

    def _is_in_both(self, control: Control) -> bool:
        return [said for _, _, said in self._valid()] == [control] * len(FILES)

    def _older_first(self) -> list[str]:
        """Return the files, that of the record which counts last."""
        newest = max(self._valid(), default=("", 0, None), key=lambda found: found[1])[0]
        return sorted(FILES, key=lambda path: path == newest)

    def _write(self, path: str, control: Control) -> None:
        """Return when *control*, as the newest record, is durable at *path*."""
        generation = max((found[1] for found in self._valid()), default=0) + 1
        is_new = not self._disk.exists(path)
        if is_new:
            self._disk.create(path)
        self._disk.pwrite(path, 0, encode(control, generation))
        self._disk.fsync(path)
        if is_new:
            self._disk.fsync_dir(FOLDER)

    def _read(self) -> Control:
        return self.load() or Control(SlotControl(), SlotControl())

    def _valid(self) -> list[tuple[str, int, Control]]:
        found = []
        for path in FILES:
            if self._disk.exists(path):
                with suppress(StorageError):  # as good as torn; the other one may stand
                    entry = decode(self._disk.read(path, 0, RECORD_BYTES + 1))
                    if entry is not None:
                        found.append((path, *entry))
        return found
