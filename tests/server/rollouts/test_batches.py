"""Assignments are signed in batches for boxes that understand it, one by one for all others."""

import json
from dataclasses import replace

import pytest
from oleada_server.db import db
from oleada_server.devices import service as devices
from oleada_server.devices.models import Device
from oleada_server.messaging import service as messaging
from oleada_server.messaging.models import RetainedMessage
from oleada_server.rollouts import service
from oleada_wire import batch, envelope, messages, topics
from oleada_wire.ids import BootId
from oleada_wire.words import BootReason
from sqlalchemy import select, update

from tests.server.rollouts.fleet import (
    DAY,
    MINUTE,
    MODEL,
    NOON,
    a_fleet,
    a_plan,
    a_release,
    director,
    header,
    retained,
    started,
    told,
)

on_both = pytest.mark.usefixtures("app")
on_sqlite = pytest.mark.usefixtures("sqlite_app")


def a_hello(boot: int, *, assignment_seq: int, reads: tuple[str, ...] | None) -> messages.Hello:
    return messages.Hello(
        header=replace(header(), boot=BootId(boot, "0badcafe")),
        hardware_model=MODEL,
        serial="S",
        running_slot="A",
        version="1.0.0",
        security_version=1,
        slots=(),
        agent_version="1",
        zone="UTC",
        boot_reason=BootReason.POWER_ON,
        assignment_seq=assignment_seq,
        security_floor=1,
        reads=reads,
    )


def greet(
    device_id: str, boot: int = 1, *, assignment_seq: int = 0, reads: tuple[str, ...] | None = None
) -> None:
    """Let a box say hello after its start number *boot*, as the inbox would hand it on."""
    hello = a_hello(boot, assignment_seq=assignment_seq, reads=reads)
    devices.record_hello(device_id, hello, NOON)
    service.record_hello(device_id, hello, NOON)
    db.session.commit()


def all_read_batches() -> None:
    db.session.execute(update(Device).values(reads_batches=True))
    db.session.commit()


def place_of(device_id: str) -> batch.Place | None:
    """Return where the box's assignment stands in a batch, None if it was signed alone."""
    data = retained(topics.down(device_id, topics.Down.ASSIGN))
    [signature] = envelope.parts("assign", json.loads(data))[1]
    return signature.place


def read_by_the_first_agent(device_id: str) -> bool:
    """Return whether a box whose agent knows no batch believes its assignment."""
    data = retained(topics.down(device_id, topics.Down.ASSIGN))
    body, signatures = envelope.parts("assign", json.loads(data))
    signed = envelope.pre_authentication(envelope.payload_type("assign"), body)
    [key] = director().keys.values()
    return envelope.is_signed(key, signatures[0].value, signed)


@on_sqlite
def test_sixteen_boxes_share_a_signature_and_each_believes_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fleet = a_fleet(40)
    all_read_batches()
    a_release()
    signer, signed = messaging.director(), []

    class Counting:
        keyid = signer.keyid

        def sign(self, data: bytes) -> bytes:
            signed.append(data)
            return signer.sign(data)

    monkeypatch.setattr(messaging, "director", Counting)
    started(a_plan())

    roots = [one for one in signed if batch.ROOT_TYPE.encode() in one]
    places = [place_of(box) for box in fleet]
    assert len(roots) == 3
    assert [place and (place.size, place.number) for place in places] == [
        *((16, n) for n in range(16)), *((16, n) for n in range(16)), *((8, n) for n in range(8)),
    ]  # fmt: skip
    for box in fleet:
        found = told(box)
        assert found is not None
        assert (found.device_id, found.assignment_seq) == (box, 1)
        assert found.assignment is not None


@on_both
def test_who_has_not_said_that_it_reads_batches_gets_what_the_first_agent_reads() -> None:
    fleet = a_fleet(6)
    for box in fleet[::2]:
        greet(box, reads=("batch", "something-newer"))
    greet(fleet[1], reads=("something-newer",))
    a_release()

    started(a_plan())

    assert [place_of(box) is not None for box in fleet] == [True, False] * 3
    assert [read_by_the_first_agent(box) for box in fleet] == [False, True] * 3
    assert [told(box).assignment_seq for box in fleet] == [1] * 6  # type: ignore[union-attr]


@on_sqlite
def test_one_box_alone_has_a_signature_of_its_own() -> None:
    (box,) = a_fleet(1)
    greet(box, reads=("batch",))
    a_release()

    started(a_plan())

    assert place_of(box) is None
    assert read_by_the_first_agent(box)


@on_sqlite
def test_a_box_that_falls_back_to_an_older_agent_is_told_again_in_its_words() -> None:
    """Its older agent has refused the batch, so the number that it knows is not the newest."""
    box, _ = a_fleet(2)
    all_read_batches()
    a_release()
    started(a_plan())
    assert not read_by_the_first_agent(box)

    greet(box, 2, assignment_seq=0, reads=None)

    assert read_by_the_first_agent(box)
    assert told(box).assignment_seq == 2  # type: ignore[union-attr]


@on_sqlite
def test_a_box_says_anew_in_each_hello_what_it_reads() -> None:
    (box,) = a_fleet(1)

    for boot, reads in enumerate([("batch",), None, ("batch",), ()], 1):
        greet(box, boot, reads=reads)
        db.session.expire_all()
        assert devices.get(box).reads_batches is ("batch" in (reads or ()))
    greet(box, 3, reads=("batch",))  # late, and older than what it said last
    db.session.expire_all()
    assert devices.get(box).reads_batches is False


@on_sqlite
def test_taking_back_and_renewing_go_in_batches_too() -> None:
    fleet = a_fleet(5)
    all_read_batches()
    a_release()
    rollout_id = started(a_plan(silent_after_s=30 * 86_400))

    service.tick(NOON + 6 * DAY)
    assert [place_of(box) and told(box).assignment_seq for box in fleet] == [2] * 5  # type: ignore[union-attr]

    service.stop(rollout_id, "enough", actor="user:ana", now=NOON + 6 * DAY + MINUTE)
    service.tick(NOON + 6 * DAY + MINUTE)
    for number, box in enumerate(fleet):
        place, found = place_of(box), told(box)
        assert place is not None
        assert (place.size, place.number) == (5, number)
        assert found is not None
        assert found.assignment is None


@on_sqlite
def test_what_was_sealed_in_a_batch_before_a_restore_is_said_again_as_it_was() -> None:
    fleet = a_fleet(3)
    all_read_batches()
    a_release()
    started(a_plan())
    topic = topics.down(fleet[1], topics.Down.ASSIGN)
    before, said = retained(topic), told(fleet[1])

    messaging.record_restore(1_800_000_000_000)
    db.session.commit()

    query = select(RetainedMessage).where(RetainedMessage.topic == topic)
    row = db.session.scalars(query).one()
    assert (row.payload, row.sent_revision) == (before, 0)
    assert told(fleet[1]) == said
