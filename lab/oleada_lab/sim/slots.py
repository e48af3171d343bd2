"""Slots and boot control that tell the judges what is done to them; otherwise the real ones."""

from collections.abc import Iterator
from hashlib import sha256
from typing import Final

from oleada_agent.boot.choice import Choice
from oleada_agent.boot.control import FileBootControl
from oleada_agent.boot.image import FIRST_BLOCK_BYTES, ImageHeader, parse_header
from oleada_agent.errors import ImageError, StorageError
from oleada_agent.slots import FileSlots, slot_path

from oleada_lab.check import facts
from oleada_lab.sim.home import Home

SLOT_BYTES: Final = 1 << 20


class WatchedSlots(FileSlots):
    """The slots of *box*; the first write to one is a fact."""

    def __init__(self, box: Home, found: Choice) -> None:
        super().__init__(
            box.disk,
            running_slot=found.slot,
            hardware_model=box.model,
            capacity_bytes=SLOT_BYTES,
        )
        self._box, self._found = box, found
        self._headers: dict[str, ImageHeader | None] = {}

    def header(self, slot: str) -> ImageHeader | None:
        """Return what *slot* says it holds, read once until it is written."""
        if slot not in self._headers:
            self._headers[slot] = super().header(slot)
        return self._headers[slot]

    def finish(self, slot: str, size_bytes: int) -> None:
        """Return when every part is durable, then the first block."""
        self._headers.pop(slot, None)
        super().finish(slot, size_bytes)

    def begin(self, slot: str) -> None:
        """Empty the first block of *slot*, durably: nothing in it can boot."""
        self._headers.pop(slot, None)
        proven = FileBootControl(self._box.disk).is_successful(self._found.slot)
        tell = self._box.street.tell
        tell(facts.SlotErased(self._box.device_id, slot, self._found.slot, proven))
        super().begin(slot)
        for assignment, attempt in _work(self._box):
            tell(facts.InstallBegan(self._box.device_id, assignment, attempt))


class WatchedControl(FileBootControl):
    """The boot control of *box*; what is armed or called good is a fact."""

    def __init__(self, box: Home, found: Choice) -> None:
        super().__init__(box.disk)
        self._box, self._found = box, found

    def arm(self, slot: str, tries: int) -> None:
        """Start *slot* next, at most *tries* times until it is marked good."""
        super().arm(slot, tries)
        self._box.street.tell(
            facts.SlotArmed(self._box.device_id, slot, digest_of(self._box, slot))
        )

    def mark_good(self, slot: str) -> None:
        """Call *slot* successful."""
        super().mark_good(slot)
        version = self._found.release.version
        self._box.street.tell(facts.SlotProven(self._box.device_id, slot, version))


def digest_of(box: Home, slot: str) -> str:
    """Return the SHA-256 of the image that lies in *slot*; empty if it is none."""
    try:
        first = box.disk.read(slot_path(slot), 0, FIRST_BLOCK_BYTES)
        size_bytes = parse_header(first).image_bytes
        return sha256(box.disk.read(slot_path(slot), 0, size_bytes)).hexdigest()
    except (ImageError, StorageError):
        return ""


def _work(box: Home) -> Iterator[tuple[str, int]]:
    agent = box.living
    work = getattr(agent.shell.state.stage, "work", None) if agent is not None else None
    if work is not None:
        yield work.assignment.assignment_id, work.assignment.attempt
