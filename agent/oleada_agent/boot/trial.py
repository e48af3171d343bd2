"""The end of a boot on trial: a try given back, or the log of what went wrong kept."""

from contextlib import suppress
from typing import Final, Protocol

from oleada_agent.boot import control, system
from oleada_agent.boot.choice import Choice, Ended
from oleada_agent.boot.errors import StorageError

LOG: Final = "data/trial.log"
LOG_BYTES_MAX: Final = 64 * 1024


class LogDisk(system.BootDisk, Protocol):
    """What is needed to keep a log."""

    def size_bytes(self, path: str) -> int:
        """Return how long the file is."""
        ...


def end(disk: LogDisk, store: control.FileBootControl, found: Choice, ended: Ended) -> None:
    """Do what the end of the boot of *found* asks for; nothing if the slot was proven before it.

    Raises:
        StorageError: the disk refuses.
    """
    if found.was_successful:
        return
    if ended is Ended.POWER:
        _give_back(store, found)
    else:
        _keep_log(disk)


def _give_back(store: control.FileBootControl, found: Choice) -> None:
    """Give back the try that this boot took: a clean power-off says nothing against an image."""
    said = store.load()
    untouched = said is not None and said.of(found.slot) == found.control.of(found.slot)
    if said is not None and untouched and found.took_try:
        store.store(control.with_tries(said, found.slot, +1))


def _keep_log(disk: LogDisk) -> None:
    """Keep the end of a trial's log, after those of earlier tries: the image may be gone soon."""
    if disk.exists(system.LOG):
        start = max(0, disk.size_bytes(system.LOG) - LOG_BYTES_MAX)
        said = disk.read(system.LOG, start)
        with suppress(StorageError):
            said = (disk.read(LOG) + said)[-LOG_BYTES_MAX:]
        system.write_whole(disk, LOG, said)
