"""Signs of life: the file that the watchdog looks at, written again and again.

Its content is the promise to be heard again, in seconds (boot/watchdog.py). It is
written by the agent's one thread between two things that it does, so an agent that hangs
in one of them falls silent, whatever its other threads do.
"""

from contextlib import suppress
from typing import Final

from oleada_agent.errors import StorageError
from oleada_agent.ports import Disk
from oleada_agent.shell import ALIVE
from oleada_agent.timers import Timers

EVERY_MS: Final = 60_000
SILENCE_S: Final = 600
"""Longer than the longest single thing: the read-back of a gigabyte from slow flash."""


def show(disk: Disk, timers: Timers) -> None:
    """Show a sign of life, and set the timer ``alive`` for the next one.

    Nothing of it need be durable: ``run/`` is memory on a box.
    """
    with suppress(StorageError):
        if not disk.exists(ALIVE):
            disk.create(ALIVE)
        disk.pwrite(ALIVE, 0, f"{SILENCE_S}\n".encode())
    timers.set("alive", EVERY_MS)
