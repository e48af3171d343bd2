"""All that outlives a power cut, and what a box has promised to keep."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from oleada_agent.boot.choice import Behaviour

from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import SimDisk
from oleada_lab.sweep.desk import HOUR_MS, Desk
from oleada_lab.sweep.kit import START_MS, Kit, Line


class Promises(NamedTuple):
    """What may never be lower again than it was when something had been done about it.

    Attributes:
        root: Version of the trusted root.
        timestamp: Version of the trusted timestamp.
        denied: Digests on the deny list.
        security_floor: No image below it is installed.
        assignment_seq: No older assignment is obeyed.
        time_floor_ms: As stored: in steps of an hour.
        audited: Entries under the highest head of the audit trail.
    """

    root: int = 0
    timestamp: int = 0
    denied: int = 0
    security_floor: int = 0
    assignment_seq: int = 0
    time_floor_ms: int = 0
    audited: int = 0

    def raised(self, by: "Promises") -> "Promises":
        """Return the higher of each."""
        return Promises(*map(max, self, by))

    def broken_by(self, found: "Promises") -> list[str]:
        """Return a sentence for each that *found* is below."""
        pairs = zip(self._fields, self, found, strict=True)
        return [f"{name} fell from {old} to {new}" for name, old, new in pairs if new < old]


@dataclass(slots=True)
class World:
    """A box's disk, the server that knows it, and the clock.

    Attributes:
        behaviours: How an image behaves on this box, by version.
        cuts: How often the plug was pulled.
        boots: Since the last cut.
        pings: How often the command was carried out.
        dark_ms: From the start to the return of the power, for each cut: at the same time
            wherever the cut was, so that worlds can be equal.
        line: To the server.
        fetched_bytes: Of the image, over the network, again or not.
        fetched_to: The byte of the image up to which it has ever come.
        again_bytes: What each fetch asked for that had come before.
        put: Reports that the outbox said to keep, by attempt and step; and the command's answer.
        lies: What the box was found to have forgotten or faked.
        heals_ms: When the disk does again what it is told; None when it never failed to.
    """

    kit: Kit
    disk: SimDisk
    desk: Desk
    behaviours: Mapping[str, Behaviour]
    seed: int = 0
    now_ms: int = START_MS
    cuts: int = 0
    boots: int = 0
    pings: int = 0
    dark_ms: int = HOUR_MS
    line: Line = field(default_factory=Line)
    fetched_bytes: int = 0
    fetched_to: int = 0
    again_bytes: tuple[int, ...] = ()
    promises: Promises = field(default_factory=Promises)
    put: frozenset[tuple[int, int]] = frozenset()
    has_answered: bool = False
    lies: tuple[str, ...] = ()
    heals_ms: int | None = None
    dice: Random = field(default_factory=lambda: Random(0))

    def fork(self) -> "World":
        """Return a copy that goes its own way."""
        found = copy.copy(self)
        found.disk, found.desk = self.disk.fork(), self.desk.fork()
        found.dice = Random()
        found.dice.setstate(self.dice.getstate())
        return found

    def after_cut(self, kept: Kept, dice: Random) -> "World":
        """Return the world in which the power is back: *dark_ms* after the start for each cut."""
        found = copy.copy(self)
        found.disk, found.desk = self.disk.after_cut(kept, dice), self.desk.fork()
        found.cuts, found.boots = self.cuts + 1, 0
        found.now_ms = START_MS + found.cuts * self.dark_ms
        found.dice = Random(f"{self.seed}/{found.cuts}")
        return found

    def pass_to(self, now_ms: int) -> None:
        """Let it be *now_ms*, or stay as late as it is; a disk may heal meanwhile."""
        self.now_ms = max(self.now_ms, now_ms)
        if self.heals_ms is not None and self.now_ms >= self.heals_ms:
            self.heals_ms, self.disk.faults = None, ()

    def hex_id(self, digits: int) -> str:
        """Return *digits* random hex digits."""
        return f"{self.dice.getrandbits(4 * digits):0{digits}x}"
