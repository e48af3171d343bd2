"""A box with any clock, and a server in the same hour as everybody."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from oleada_agent.commands import Commands
from oleada_agent.inbound import Inbound
from oleada_agent.machine_events import (
    Event,
)
from oleada_agent.machine_states import State
from oleada_agent.outbox import DiskOutbox, Stamp
from oleada_agent.questions import Questions
from oleada_agent.trust.authority import Authority, Box
from oleada_agent.trust.store import MetadataStore
from oleada_lab.sim.disk import SimDisk
from oleada_wire import messages, topics
from oleada_wire.ids import BootId
from oleada_wire.messages import (
    Assignment,
    Cohort,
    Header,
    Lease,
    LeaseRequest,
    Message,
    Meta,
    Wave,
    Waves,
)
from oleada_wire.topics import Down, Model

from tests.agent.edge.repository import IMAGE, MODEL, NOON, Repository

DEVICE = "VX417Q3K0928"
NOON_MS = int(NOON.timestamp() * 1000)
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
PATH = f"{MODEL}/5.8.2.img"
BOOT = BootId(7, "0a1b2c3d")


def at(year: int) -> int:
    return int(datetime(year, 2, 3, tzinfo=UTC).timestamp() * 1000)


CLOCKS = {
    "1970": 0,
    "1990": at(1990),
    "2038": at(2039),
    "2099": at(2099),
    "ten days ago": NOON_MS - 10 * DAY_MS,
    "in 200 days": NOON_MS + 200 * DAY_MS,
    "right": NOON_MS,
}


@dataclass
class Contact:
    """Who waits for the server's answer."""

    answered: Callable[[], None]

    def server_answered(self) -> None:
        """Say that it came."""
        self.answered()

    def heed_force(self, assignment_seq: int, *, is_forced: bool) -> None:
        """Nobody watches here."""


@dataclass
class Home:
    """A box with *clock_ms* on its wall, and a server in the same hour as everybody.

    Attributes:
        clock_ms: The wall clock at the start of the box.
        passed_ms: Since the start of the box.
        asked: What the box has asked.
        is_fresh: The server publishes metadata that has not expired.
    """

    clock_ms: int
    repository: Repository = field(default_factory=Repository)
    disk: SimDisk = field(default_factory=SimDisk)
    passed_ms: int = 0
    asked: list[LeaseRequest] = field(default_factory=list)
    fed: list[Event] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    server_ms: int = NOON_MS

    def __post_init__(self) -> None:
        store = MetadataStore(self.disk, "data/trust")
        store.write("root", self.repository.files["1.root.json"])
        self.boot()

    def boot(self) -> None:
        """Start the agent, with what the disk holds."""
        stamp = Stamp(self.disk, BOOT, self.wall_ms, lambda: f"{len(self.asked) + 1:032x}")
        outbox = DiskOutbox(self.disk, stamp, self.steady_ms)
        self.authority = Authority(
            Box(DEVICE, MODEL), self.disk, "data/trust", now_ms=self.wall_ms,
            steady_ms=self.steady_ms, capacity_bytes=lambda: 1 << 20,
        )  # fmt: skip
        self.questions = Questions(
            stamp.header, self.asked.append, self.authority.time, steady_ms=self.steady_ms,
            below=lambda limit: limit - 1,
        )  # fmt: skip
        self.authority.ask_time = self.questions.ask_time
        commands = Commands(self.disk, {"ping": self._ping}, outbox.put_result)
        self.inbound = Inbound(
            self.authority, outbox, Contact(lambda: self.questions.heard(State())), commands,
            self.fed.append, now_ms=self.authority.time.now_ms, steady_ms=self.steady_ms,
            below=lambda limit: limit - 1,
        )  # fmt: skip

    def _ping(self) -> str:
        self.done.append("ping")
        return "pong"

    def wall_ms(self) -> int:
        """Return what the box's clock shows."""
        return self.clock_ms + self.passed_ms

    def steady_ms(self) -> int:
        """Return how long the box has been running."""
        return self.passed_ms

    def connect(self) -> None:
        """Let the box reach the server, and hear what is retained."""
        self.questions.connected()
        self.questions.heard(State())
        self.hear_model(Model.META, Meta(self.header(), self.repository.plain_files()))
        wave = self.wave()
        sealed = messages.seal(wave, list(self.repository.approvers)).decode()
        self.hear_model(Model.WAVE, Waves(self.header(), (sealed,)))

    def header(self) -> Header:
        """Return a header of the server's, now."""
        return Header("f" * 32, self.server_ms + self.passed_ms, BOOT, 1)

    def hear_model(self, kind: Model, message: Message) -> None:
        """Let a message for the model come."""
        self.inbound.take(topics.model(MODEL, kind), messages.encode(message))

    def hear(self, kind: Down, message: Message) -> None:
        """Let a signed message for the box come."""
        sealed = messages.seal(message, [self.repository.director])
        self.inbound.take(topics.down(DEVICE, kind), sealed)

    def answer(self, granted: bool = False, lasts_ms: int = HOUR_MS) -> Lease:
        """Let the server answer the newest question."""
        asked = self.asked[-1]
        head = self.header()
        lease = Lease(
            head, DEVICE, asked.assignment_id, asked.attempt, asked.phase, granted,
            head.at_ms + lasts_ms, request_id=asked.header.id,
        )  # fmt: skip
        self.hear(Down.LEASE, lease)
        return lease

    def assignment(self, **changes: Any) -> Assignment:
        """Return an assignment of the signed release."""
        target = self.repository.signed[MODEL].signed.targets[PATH]
        fields: dict[str, Any] = {
            "assignment_id": "A-20418", "attempt": 1, "rollout_id": "R-107", "wave_id": 31,
            "target_path": PATH, "sha256": target.hashes["sha256"], "size_bytes": len(IMAGE),
            "version": "5.8.2", "security_version": 3, "issued_ms": NOON_MS - HOUR_MS,
            "expires_ms": NOON_MS + DAY_MS,
        }  # fmt: skip
        return Assignment(**{**fields, **changes})

    def wave(self) -> Wave:
        """Return a wave that covers everybody, since an hour."""
        target = self.repository.signed[MODEL].signed.targets[PATH]
        return Wave(
            self.header(), 31, "R-107", MODEL, PATH, target.hashes["sha256"], len(IMAGE), 3,
            Cohort(salt="s", share_parts=10_000), NOON_MS - HOUR_MS, NOON_MS + 3 * DAY_MS,
        )  # fmt: skip

    def decide(self, **changes: Any) -> Event | None:
        """Ask whether the assignment may run."""
        return self.authority.authorise(self.assignment(**changes), 0, "5.8.1")
