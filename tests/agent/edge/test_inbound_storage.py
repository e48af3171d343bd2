"""A disk that refuses what comes from the broker: told of, or the end of the agent."""

from pathlib import Path

import pytest
from oleada_agent.commands import Commands
from oleada_agent.disk import RealDisk
from oleada_agent.errors import StorageError
from oleada_agent.inbound import Inbound
from oleada_agent.machine_events import Event, TrustChanged
from oleada_agent.outbox import DiskOutbox, Stamp
from oleada_agent.trust.authority import Authority, Box
from oleada_agent.trust.store import MetadataStore
from oleada_lab.sim.disk import Fault, SimDisk
from oleada_wire import messages, topics
from oleada_wire.ids import BootId
from oleada_wire.messages import Header, Meta, Waves
from oleada_wire.topics import Model

from tests.agent.edge.repository import MODEL, NOON, Repository

DEVICE = "VX417Q3K0928"
NOW_MS = int(NOON.timestamp() * 1000)
BOOT = BootId(7, "0a1b2c3d")
HEADER = Header("f" * 32, NOW_MS, BOOT, 1)


class Contact:
    """Nobody who waits for the server's answer."""

    def server_answered(self) -> None:
        """Take no note."""

    def heed_force(self, assignment_seq: int, *, is_forced: bool) -> None:
        """Take no note of that either."""


class Listener:
    """A box's inbound over a simulated disk, and a machine that stores, or can not."""

    def __init__(self) -> None:
        self.repository = Repository()
        self.disk = SimDisk()
        self.fed: list[Event] = []
        self.can_store = True
        MetadataStore(self.disk, "data/trust").write("root", self.repository.files["1.root.json"])
        outbox = DiskOutbox(
            self.disk, Stamp(self.disk, BOOT, self.now_ms, lambda: "0" * 32), self.now_ms
        )
        authority = Authority(
            Box(DEVICE, MODEL), self.disk, "data/trust", now_ms=self.now_ms,
            steady_ms=self.now_ms, capacity_bytes=lambda: 1 << 20,
        )  # fmt: skip
        self.inbound = Inbound(
            authority, outbox, Contact(), Commands(self.disk, {}, outbox.put_result), self.feed,
            now_ms=self.now_ms, steady_ms=self.now_ms, below=lambda limit: limit - 1,
        )  # fmt: skip

    def now_ms(self) -> int:
        """Return noon."""
        return NOW_MS

    def feed(self, event: Event) -> None:
        """Take *event*, or fail as a machine whose journal is refused."""
        if not self.can_store:
            raise StorageError("data/journal.0.tmp: No space left on device.")
        self.fed.append(event)

    def hear(self, kind: Model, payload: bytes) -> None:
        """Let a retained message come."""
        self.inbound.take(topics.model(MODEL, kind), payload)

    def meta(self) -> bytes:
        """Return the metadata as the server publishes it."""
        return messages.encode(Meta(HEADER, self.repository.plain_files()))


def test_metadata_that_the_disk_does_not_keep_is_refused_and_taken_the_next_time() -> None:
    box = Listener()
    box.disk.faults = (Fault(box.disk.changes + 1),)

    box.hear(Model.META, box.meta())
    assert box.inbound.refused == {"storage": 1}
    assert box.fed == []
    box.hear(Model.META, box.meta())

    assert box.fed == [TrustChanged()]


@pytest.mark.parametrize("kind", [Model.META, Model.WAVE])
def test_a_machine_that_can_not_store_ends_the_agent_whatever_came(kind: Model) -> None:
    box = Listener()
    box.can_store = False
    payload = box.meta() if kind is Model.META else messages.encode(Waves(HEADER, ()))

    with pytest.raises(StorageError, match=Path("data/journal").name):
        box.hear(kind, payload)


def test_the_real_disk_refuses_with_the_same_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")

    with pytest.raises(StorageError):
        MetadataStore(RealDisk(tmp_path), "data/trust").write("root", b"{}")
