"""One real box of a run: its home, its line, and what is known and told of it."""

from dataclasses import dataclass, field
from pathlib import Path

from oleada_agent.errors import StorageError
from oleada_agent.outbox import DIRECTORY
from oleada_wire import messages
from oleada_wire.errors import WireError
from oleada_wire.messages import Health, Samples

from oleada_lab.check.facts import Fact
from oleada_lab.proc.history import BoxHistory
from oleada_lab.proc.home import Home
from oleada_lab.proc.line import Line
from oleada_lab.proc.looks import BoxLook
from oleada_lab.proc.reading import BoxReader
from oleada_lab.sim.crash import Kept

HealthKey = tuple[str, int]
"""Boot and number of a health message; both together name it."""


@dataclass(slots=True)
class Dweller:
    """One box.

    Attributes:
        number: From 0.
        seen: What it was like when it was last looked at.
        is_gone: Somebody has unplugged it for good.
        cut_as: It is to lose power in a flash write, and what is then left.
        drift_ppm: How much too fast its clock runs, and
        drifted_ms: how far it has come by that.
        made: Health messages that it has made, as far as anybody has seen them.
        lost: Those that its household has wiped.
        is_heard: It has said something over the connection that it has.
        waits: Facts that are told when the server has been asked.
    """

    number: int
    device_id: str
    home: Home
    line: Line
    reader: BoxReader
    history: BoxHistory
    seen: BoxLook = field(default_factory=BoxLook)
    is_gone: bool = False
    cut_as: tuple[Kept, float] | None = None
    drift_ppm: int = 0
    drifted_ms: float = 0.0
    clock_ms: int = 0
    has_viewer: bool = False
    made: set[HealthKey] = field(default_factory=set)
    lost: set[HealthKey] = field(default_factory=set)
    dropped: dict[str, int] = field(default_factory=dict)
    is_heard: bool = False
    spool_max: int = 0
    waits: list[Fact] = field(default_factory=list)

    def hear_health(self, payload: bytes) -> None:
        """Take note of a health message that went out."""
        try:
            found = messages.decode(Health, payload)
        except WireError:
            return
        boot = str(found.header.boot)
        self.made.add((boot, found.header.seq))
        self.dropped[boot] = max(self.dropped.get(boot, 0), found.dropped)

    def hear_looks(self, payload: bytes) -> None:
        """Take note of looks at the box that went out together."""
        try:
            found = messages.decode(Samples, payload)
        except WireError:
            return
        boot = str(found.header.boot)
        self.made.update((boot, look.seq) for look in found.looks)
        self.dropped[boot] = max(self.dropped.get(boot, 0), found.dropped)

    def kept_health(self) -> set[HealthKey]:
        """Return the health messages that still wait on its disk."""
        return health_in(self.home.directory / DIRECTORY)

    def drift(self, passed_s: float) -> None:
        """Let its clock run wrong for *passed_s* seconds more."""
        if self.drift_ppm:
            self.drifted_ms += passed_s * 1000 * self.drift_ppm / 1_000_000
            self.home.set_clock(self.clock_ms + int(self.drifted_ms))

    def set_clock(self, wrong_ms: int) -> None:
        """Let its clock be wrong by so much, beside what it has drifted."""
        self.clock_ms = wrong_ms
        self.home.set_clock(wrong_ms + int(self.drifted_ms))


def health_in(folder: Path) -> set[HealthKey]:
    """Return the health messages in outbox *folder*."""
    found = set()
    for path in folder.glob("*-health-*"):
        try:
            header = messages.decode(Health, path.read_bytes()).header
        except (OSError, StorageError, WireError):
            continue  # it has just left, or was never whole
        found.add((str(header.boot), header.seq))
    return found
