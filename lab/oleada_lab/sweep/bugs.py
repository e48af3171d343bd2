"""Bugs that a sweep must find: syncs that somebody forgot.

A forgotten ``fsync`` changes nothing that a test without a power cut can see. The disk
plays it: it is deaf to the syncs of some paths. Bugs in the agent's own lines are patches
in ``lab/mutants``.
"""

from dataclasses import dataclass
from typing import Final

from oleada_lab.sim.disk import SimDisk


@dataclass(frozen=True, slots=True)
class Bug:
    """Syncs of paths that begin with one of *deaf_to* do nothing."""

    name: str
    deaf_to: tuple[str, ...]

    def plant(self, disk: SimDisk) -> None:
        """Let *disk* have the bug from now on."""
        disk.deaf_to = self.deaf_to


_DEAF: Final = {
    "no-fsync-of-journal": ("data/journal.",),
    "no-fsync-of-names": ("data",),
    "no-fsync-of-slot": ("slots/b.img",),
    "no-fsync-of-boot-control": ("boot/control.",),
    "no-fsync-of-first-block": ("data/first-block.tmp",),
    "no-fsync-of-outbox": ("data/outbox",),
    "no-fsync-of-metadata": ("data/trust",),
    "no-fsync-of-identity": ("data/identity",),
    "no-fsync-of-commands": ("data/last-command.",),
}
BUGS: Final = {name: Bug(name, deaf_to) for name, deaf_to in _DEAF.items()}
