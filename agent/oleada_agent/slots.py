"""The two slots as files (or block devices): streaming, checkpoints, the first block last.

The first 4 096 bytes of an image wait in ``data/first-block`` until every other byte is
durable in the slot. Before that the slot begins with zeros, so that a half-written one
looks like nothing. Source: powerfail design, 4.1 (RAUC's "header last") and 4.6.
"""

import hashlib
from typing import Final

from oleada_wire.messages import Assignment
from oleada_wire.words import Reason

from oleada_agent.boot.image import CHUNK_BYTES, FIRST_BLOCK_BYTES, ImageHeader, parse_header
from oleada_agent.errors import ControlError, ImageError, StorageError
from oleada_agent.journal import write_whole
from oleada_agent.machine_events import Event, ReadBackFailed, ReadBackPassed
from oleada_agent.ports import Disk

FIRST_BLOCK: Final = "data/first-block"


def slot_path(slot: str) -> str:
    """Return where *slot* lies inside the box."""
    return f"slots/{slot.lower()}.img"


class FileSlots:
    """A ``ports.Slots`` over files.

    Args:
        running_slot: Never written.
        hardware_model: Of this box; an image for another one is refused.
        capacity_bytes: The largest image a slot takes.
    """

    def __init__(
        self, disk: Disk, *, running_slot: str, hardware_model: str, capacity_bytes: int
    ) -> None:
        self._disk = disk
        self._running_slot = running_slot
        self._hardware_model = hardware_model
        self._capacity_bytes = capacity_bytes
        self._first = b""
        self._first_saved = b""

    def capacity_bytes(self, slot: str) -> int:
        """Return the largest image *slot* takes."""
        return self._capacity_bytes

    def room_bytes(self, slot: str) -> int:
        """Return what *slot* takes now: what it has and what the disk still gives, if less."""
        path = slot_path(slot)
        try:
            has = self._disk.size_bytes(path) if self._disk.exists(path) else 0
            return min(self._capacity_bytes, has + self._disk.free_bytes())
        except StorageError:
            return 0

    def header(self, slot: str) -> ImageHeader | None:
        """Return what *slot* says it holds; None when it holds no image. Checks no body."""
        try:
            return parse_header(self._disk.read(slot_path(slot), 0, FIRST_BLOCK_BYTES))
        except (ImageError, StorageError):
            return None

    def begin(self, slot: str) -> None:
        """Empty the first block of *slot*, durably: nothing in it can boot."""
        path = self._writable(slot)
        self._first = self._first_saved = b""
        self._disk.unlink(FIRST_BLOCK)
        if not self._disk.exists(path):
            self._disk.create(path)
            self._disk.fsync_dir("slots")
        self._disk.pwrite(path, 0, bytes(FIRST_BLOCK_BYTES))
        self._disk.fsync(path)

    def write(self, slot: str, offset: int, data: bytes) -> None:
        """Write a part of an image; parts come in order. The first block waits.

        Raises:
            StorageError: the disk refuses, or the image is larger than the slot.
        """
        path = self._writable(slot)
        if offset + len(data) > self._capacity_bytes:
            raise StorageError(
                f"Slot {slot} takes {self._capacity_bytes} bytes; this image is larger."
            )
        if offset < FIRST_BLOCK_BYTES:
            part = data[: FIRST_BLOCK_BYTES - offset]
            self._first = self._first_block()[:offset] + part
            offset, data = offset + len(part), data[len(part) :]
        if data:
            self._disk.pwrite(path, offset, data)

    def checkpoint(self, slot: str) -> None:
        """Return when every part written so far is durable, the first block beside the slot."""
        self._disk.fsync(self._writable(slot))
        if self._first != self._first_saved:
            write_whole(self._disk, FIRST_BLOCK, self._first)
            self._first_saved = self._first

    def finish(self, slot: str, size_bytes: int) -> None:
        """Return when every part is durable, then the first block.

        Raises:
            StorageError: the disk refuses, or the first block is not there.
        """
        path = self._writable(slot)
        self.checkpoint(slot)
        first = self._first_block()
        if len(first) != min(FIRST_BLOCK_BYTES, size_bytes):
            raise StorageError(f"Slot {slot}: the first block of the image is lost.")
        self._disk.pwrite(path, 0, first)
        self._disk.fsync(path)

    def read_back(self, slot: str, assignment: Assignment) -> Event | None:
        """Compare what the disk holds with what was signed."""
        problem = self._problem(slot, assignment)
        name, attempt = assignment.assignment_id, assignment.attempt
        if problem is None:
            return ReadBackPassed(name, attempt)
        return ReadBackFailed(name, attempt, *problem)

    def tidy(self) -> None:
        """Remove what a download leaves beside the slots."""
        self._first = self._first_saved = b""
        for name in (FIRST_BLOCK, f"{FIRST_BLOCK}.tmp"):
            self._disk.unlink(name)

    def _problem(self, slot: str, assignment: Assignment) -> tuple[Reason, str] | None:
        path = slot_path(slot)
        found = hashlib.sha256()
        at = 0
        while at < assignment.size_bytes:
            part = self._disk.read(path, at, min(CHUNK_BYTES, assignment.size_bytes - at))
            if not part:
                return Reason.WRONG_SIZE, f"slot {slot} ends at byte {at}"
            found.update(part)
            at += len(part)
        if found.hexdigest() != assignment.sha256:
            return Reason.WRONG_DIGEST, f"slot {slot} reads back with another SHA-256"
        try:
            header = parse_header(self._disk.read(path, 0, FIRST_BLOCK_BYTES))
        except ImageError as error:
            return Reason.WRONG_CONTENT, str(error)
        return self._mismatch(header, assignment)

    def _mismatch(self, header: ImageHeader, assignment: Assignment) -> tuple[Reason, str] | None:
        if header.image_bytes != assignment.size_bytes:
            return Reason.WRONG_SIZE, f"the header says {header.image_bytes} bytes"
        if header.hardware_model != self._hardware_model:
            return Reason.WRONG_HARDWARE, f"the header says {header.hardware_model[:40]}"
        if header.version != assignment.version:
            return Reason.WRONG_CONTENT, f"the header says version {header.version[:40]}"
        return None

    def _first_block(self) -> bytes:
        if not self._first and self._disk.exists(FIRST_BLOCK):
            self._first = self._first_saved = self._disk.read(FIRST_BLOCK, 0, FIRST_BLOCK_BYTES)
        return self._first

    def _writable(self, slot: str) -> str:
        if slot == self._running_slot:
            raise ControlError(f"Slot {slot} runs; only the other one is written.")
        return slot_path(slot)
