"""Bad input over MQTT, at the service: the server's inbox and the box's inbound.

Counted, logged, refused by its id where that can be read; a batch goes on, and nothing
is half-written. That the codec refuses each prefix is the business of tests/wire.
"""

import base64
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from oleada_agent.commands import Commands
from oleada_agent.config import Config
from oleada_agent.disk import RealDisk
from oleada_agent.health import BoxProbes
from oleada_agent.inbound import Inbound
from oleada_agent.machine_events import Event
from oleada_agent.outbox import DiskOutbox, Stamp
from oleada_agent.trust.authority import Authority, Box
from oleada_agent.trust.store import MetadataStore
from oleada_server.clock import now_utc
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.messaging.inbox import SHAPES, Incoming, Stored, store
from oleada_wire import messages, topics
from oleada_wire.ids import BootId
from oleada_wire.messages import KINDS, Ack, Meta, Waves
from oleada_wire.topics import Down, Model, Up

from tests.agent.edge.repository import MODEL, NOON, Repository
from tests.doors.conftest import World
from tests.support.bad_messages import GOLDEN, TOPICS, changed, golden, unreadable
from tests.support.fleet import a_health
from tests.wire.samples import DEVICE, HEADER

NOON_MS = int(NOON.timestamp() * 1000)
SEALED = {Down.ASSIGN: "assign", Down.LEASE: "lease", Down.CMD: "cmd", Model.DENY: "deny"}
PLAIN = {Down.ACK: "ack", Model.META: "meta", Model.WAVE: "waves"}


@pytest.fixture
def device_id(world: World) -> Iterator[str]:
    """A box of the world, inside its app."""
    with world.app.app_context():
        found = db.session.scalars(db.select(Device.id).order_by(Device.id).limit(1)).one()
        db.session.rollback()
        yield found
        db.session.remove()
    world.watch.restore()


def _refused(stored: Stored) -> int:
    return sum(n for outcome, n in stored.counts.items() if outcome.startswith("refused"))


def _has_id(data: bytes) -> bool:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return len(data) <= messages.UP_BYTES_MAX and found.get("id") == HEADER.id


@pytest.mark.parametrize("kind", Up)
def test_what_is_no_message_is_counted_and_the_batch_goes_on(
    world: World, device_id: str, kind: Up, request: pytest.FixtureRequest
) -> None:
    topic = topics.up(device_id, kind)
    bad = [Incoming(topic, data) for _, data in unreadable(golden(KINDS[SHAPES[kind]]))]
    good = a_health()

    alone = store(bad, now_utc())
    assert (alone.counted, _refused(alone)) == ({}, len(bad))
    assert not world.watch.has_written()
    assert world.watch.tracebacks.found == []

    middle = len(bad) // 2
    among = Incoming(topics.up(device_id, Up.HEALTH), messages.encode(good))
    together = store([*bad[:middle], among, *bad[middle:]], now_utc())
    assert together.counted == {device_id: [good.header.id]}
    assert world.watch.has_written()
    request.node.user_properties.append(("cases", 2 * len(bad)))


@pytest.mark.parametrize("kind", Up)
def test_a_field_that_is_none_refuses_its_message_by_its_id(
    world: World, device_id: str, kind: Up, request: pytest.FixtureRequest
) -> None:
    topic = topics.up(device_id, kind)
    every = list(changed(json.loads(golden(KINDS[SHAPES[kind]]))))
    bad = [data for _, data, is_bad in every if is_bad]
    good = a_health()

    alone = store([Incoming(topic, data) for data in bad], now_utc())
    assert (alone.counted, _refused(alone)) == ({}, len(bad)), _taken(topic, every)
    assert len(alone.refused[device_id]) == sum(map(_has_id, bad))
    assert not world.watch.has_written()

    among = Incoming(topics.up(device_id, Up.HEALTH), messages.encode(good))
    together = store([*(Incoming(topic, data) for _, data, _ in every), among], now_utc())
    assert good.header.id in together.counted[device_id]
    assert together.counts["failed"] == 0
    assert len(together.counted[device_id]) + _refused(together) == len(every) + 1
    assert world.watch.tracebacks.found == []
    request.node.user_properties.append(("cases", len(bad) + len(every)))


def _taken(topic: str, every: list[tuple[str, bytes, bool]]) -> list[str]:
    """Return which of the bad messages were taken for good ones."""
    return [
        name
        for name, data, is_bad in every
        if is_bad and store([Incoming(topic, data)], now_utc()).counted
    ]


def test_a_topic_that_no_box_writes_is_counted_and_dropped(world: World, device_id: str) -> None:
    payload = golden("health")
    wrong = [topic.format(id=device_id, model=MODEL) for topic in TOPICS]
    wrong += [topics.down(device_id, kind) for kind in Down]
    wrong += [topics.model(MODEL, kind) for kind in Model]

    stored = store([Incoming(topic, payload) for topic in wrong], now_utc())

    assert (stored.counted, stored.refused) == ({}, {})
    assert stored.counts["refused:unknown-topic"] == len(wrong)
    assert not world.watch.has_written()


def test_every_kind_up_is_read_by_the_inbox() -> None:
    assert set(SHAPES) == set(Up)


def test_every_kind_down_is_swept() -> None:
    assert {*SEALED, *PLAIN} == {*Down, *Model}


@dataclass
class Bench:
    """A box's inbound with everything behind it, on a real disk."""

    home: Path
    repository: Repository = field(default_factory=Repository)
    fed: list[Event] = field(default_factory=list)
    now_ms: int = NOON_MS

    def __post_init__(self) -> None:
        trust = self.home / "data/trust"
        MetadataStore(RealDisk(trust)).write("root", self.repository.files["1.root.json"])
        disk, ids = RealDisk(self.home), itertools.count()
        stamp = Stamp(disk, BootId(7, "0a1b2c3d"), lambda: self.now_ms, lambda: f"{next(ids):032x}")
        outbox = DiskOutbox(disk, stamp, lambda: 0)
        box = Box(DEVICE, MODEL)
        authority = Authority(
            box, disk, "data/trust", now_ms=lambda: self.now_ms, steady_ms=lambda: 0,
            capacity_bytes=lambda: 1 << 20,
        )  # fmt: skip
        config = Config("SN-1", MODEL, "https://door.example", "ca.pem", "claim-token")
        probes = BoxProbes(
            self.home, config, "UTC", now=authority.now, steady_ms=lambda: 0, feed=self.fed.append
        )
        commands = Commands(disk, {"ping": lambda: "pong"}, outbox.put_result)
        self.inbound = Inbound(
            authority, outbox, probes, commands, self.fed.append, now_ms=lambda: self.now_ms,
            steady_ms=lambda: 0, below=lambda limit: limit - 1,
        )  # fmt: skip
        meta = Meta(HEADER, self.repository.plain_files())
        self.inbound.take(topics.model(MODEL, Model.META), messages.encode(meta))
        assert self.inbound.refused == {}
        self.fed.clear()

    def topic(self, kind: Down | Model) -> str:
        """Return where the box hears *kind*."""
        return topics.down(DEVICE, kind) if isinstance(kind, Down) else topics.model(MODEL, kind)

    def sealed(self, kind: str, body: bytes) -> bytes:
        """Return *body*, whatever it is, signed by the director; DSSE 1.0 spells it so."""
        spoken = f"application/vnd.oleada.{kind}+json;v=1".encode()
        signer = self.repository.director
        signed = b"DSSEv1 %d %s %d %s" % (len(spoken), spoken, len(body), body)
        signature = {
            "keyid": signer.keyid,
            "sig": base64.b64encode(signer.sign(signed)).decode(),
        }
        outer = {
            "payload": base64.b64encode(body).decode(),
            "payloadType": spoken.decode(),
            "signatures": [signature],
        }
        return json.dumps(outer).encode()

    def kept(self) -> dict[Path, bytes]:
        """Return every file of the box but its outbox and its counter."""
        return {
            path: path.read_bytes()
            for path in sorted((self.home / "data").rglob("*"))
            if path.is_file() and "outbox" not in path.parts and "counter" not in path.name
        }


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A box that trusts its makers and listens."""
    return Bench(tmp_path)


@pytest.mark.parametrize("kind", [*SEALED, *PLAIN])
def test_a_box_counts_what_is_no_message_and_keeps_what_it_had(
    bench: Bench, kind: Down | Model, request: pytest.FixtureRequest
) -> None:
    name = SEALED.get(kind) or PLAIN[kind]
    suffix = ".sealed" if kind in SEALED else ""
    data = (GOLDEN / f"{name}.v1.json{suffix}").read_bytes()
    before = bench.kept()

    bad = [found for _, found in unreadable(data) if found]
    for found in bad:
        bench.inbound.take(bench.topic(kind), found)

    assert sum(bench.inbound.refused.values()) == len(bad)
    assert bench.fed == []
    assert bench.kept() == before
    assert 1 <= len(bench.inbound.outbox) <= 10  # told once an hour for each reason
    request.node.user_properties.append(("cases", len(bad)))


@pytest.mark.parametrize("kind", SEALED)
def test_a_box_refuses_what_its_director_has_signed_wrongly(
    bench: Bench, kind: Down | Model, request: pytest.FixtureRequest
) -> None:
    name = SEALED[kind]
    asked = 0
    for said, data, is_bad in changed(json.loads(signed_body(name))):
        refused, asked = sum(bench.inbound.refused.values()), asked + 1
        bench.inbound.take(bench.topic(kind), bench.sealed(name, data))
        if is_bad:
            assert sum(bench.inbound.refused.values()) == refused + 1, said
    request.node.user_properties.append(("cases", asked))

    assert asked > 50


def signed_body(name: str) -> bytes:
    """Return what the golden envelope of *name* carries."""
    outer = json.loads((GOLDEN / f"{name}.v1.json.sealed").read_bytes())
    return base64.b64decode(outer["payload"])


@pytest.mark.parametrize("kind", PLAIN)
def test_a_box_refuses_plain_messages_of_another_shape(
    bench: Bench, kind: Down | Model, request: pytest.FixtureRequest
) -> None:
    before, asked = bench.kept(), 0
    for said, data, is_bad in changed(json.loads(golden(PLAIN[kind]))):
        refused, asked = sum(bench.inbound.refused.values()), asked + 1
        bench.inbound.take(bench.topic(kind), data)
        if is_bad:
            assert sum(bench.inbound.refused.values()) == refused + 1, said
    request.node.user_properties.append(("cases", asked))

    assert bench.kept() == before


def test_a_box_counts_topics_that_are_not_for_it(bench: Bench) -> None:
    wrong = [topic.format(id=DEVICE, model=MODEL) for topic in TOPICS]
    wrong += [topics.up(DEVICE, kind) for kind in Up]

    for topic in wrong:
        bench.inbound.take(topic, messages.encode(Ack(HEADER)))

    assert bench.inbound.refused == {"unknown-topic": len(wrong)}
    assert bench.fed == []


def test_a_box_that_heard_nonsense_still_hears_sense(bench: Bench) -> None:
    for _, data in unreadable(golden("waves")):
        bench.inbound.take(bench.topic(Model.WAVE), data)
    refused = dict(bench.inbound.refused)

    bench.inbound.take(bench.topic(Model.WAVE), messages.encode(Waves(HEADER, ())))
    bench.inbound.take(bench.topic(Down.LEASE), bench.sealed("lease", signed_body("lease")))

    assert bench.inbound.refused == refused
    assert [type(event).__name__ for event in bench.fed] == ["TrustChanged", "LeaseAnswered"]


def test_a_box_counts_every_command_that_it_refuses_and_answers_only_its_sender(
    bench: Bench,
) -> None:
    good = json.loads(signed_body("cmd")) | {"verb": "ping", "arguments": {}}
    hour_ms = 3_600_000

    def told(seq: int, expires_ms: int, name: str = "cmd") -> bytes:
        found = good | {"cmd_id": f"C-{seq}", "cmd_seq": seq, "expires_ms": expires_ms}
        return bench.sealed(name, json.dumps(found).encode())

    stolen = json.loads(told(90, bench.now_ms + hour_ms))
    stolen["signatures"][0]["sig"] = base64.b64encode(b"7" * 64).decode()
    done = told(10, bench.now_ms + hour_ms)
    late = told(11, 1)
    steps = {
        "good": done, "replayed": done, "late": late, "late again": late,
        "forged": json.dumps(stolen).encode(), "of another kind": told(91, 1, "lease"),
        "no message": b"\xff{", "good again": told(12, bench.now_ms + hour_ms),
    }  # fmt: skip

    counted = {}
    for name, data in steps.items():
        before = bench.inbound.refused_commands
        bench.inbound.take(bench.topic(Down.CMD), data)
        counted[name] = bench.inbound.refused_commands - before

    assert counted == {name: not name.startswith("good") for name in steps}
    results = [json.loads(data) for kind, data in bench.inbound.outbox.due() if kind is Up.RESULT]
    assert [(one["cmd_id"], one["status"], one.get("error")) for one in results] == [
        ("C-10", "Complete", None), ("C-11", "Refused", "too-late"), ("C-12", "Complete", None),
    ]  # fmt: skip
