"""The header of each message that this box writes: id, time, boot and a number that rises."""

from collections.abc import Callable
from typing import Final

from oleada_wire.ids import BootId
from oleada_wire.messages import Header

from oleada_agent.errors import StorageError
from oleada_agent.ports import Disk

COUNTERS: Final = "run/counters"
SEQ_STEP: Final = 64
"""Sequence numbers are reserved in steps, so that not each one costs a write."""


class Stamp:
    """Gives each message of a boot its header, also over restarts of the agent.

    Args:
        new_id: Returns 32 random hex digits.
    """

    def __init__(
        self, disk: Disk, boot: BootId, now_ms: Callable[[], int], new_id: Callable[[], str]
    ) -> None:
        self._disk = disk
        self._boot = boot
        self._now_ms = now_ms
        self.new_id = new_id
        self._seq = self._reserved = _read_counter(disk)

    def header(self) -> Header:
        """Return the header of the next message."""
        self._seq += 1
        if self._seq > self._reserved:
            self._reserved = self._seq + SEQ_STEP
            _write_counter(self._disk, self._reserved)
        return Header(self.new_id(), self._now_ms(), self._boot, self._seq)


def _read_counter(disk: Disk) -> int:
    try:
        return int(disk.read(COUNTERS)) if disk.exists(COUNTERS) else 0
    except (StorageError, ValueError):
        return 0


def _write_counter(disk: Disk, value: int) -> None:
    """Outlive the agent, not the box: a new boot counts from 1 again."""
    try:
        disk.create(f"{COUNTERS}.new")
        disk.pwrite(f"{COUNTERS}.new", 0, str(value).encode())
        disk.rename(f"{COUNTERS}.new", COUNTERS)
    except StorageError:
        return  # the server tells duplicates by id as well
