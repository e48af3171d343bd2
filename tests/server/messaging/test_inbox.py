"""The inbox: a batch is one transaction, and one bad message is nobody else's trouble."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from oleada_server import config as settings
from oleada_server.app import create_app
from oleada_server.db import db
from oleada_server.devices import service as devices
from oleada_server.messaging import inbox
from oleada_server.messaging.inbox import Incoming, store
from oleada_server.outage import DatabaseAwayError
from oleada_server.telemetry.models import DeviceEvent, HealthSample
from oleada_wire import messages, topics
from oleada_wire.messages import Log, Message
from oleada_wire.topics import Up
from oleada_wire.words import Phase
from sqlalchemy import func, select

from tests.support.fleet import a_header, a_health, a_hello, add_device
from tests.support.postgres import Cluster

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BOX, OTHER = "VX417Q3K0928", "VX41ZZZZ0001"


def _from(device_id: str, kind: Up, message: Message) -> Incoming:
    return Incoming(topics.up(device_id, kind), messages.encode(message))


def _samples() -> int:
    return db.session.scalar(select(func.count()).select_from(HealthSample)) or 0


def test_a_batch_of_every_kind_becomes_rows_and_its_ids_are_told(app: Flask) -> None:
    add_device(BOX)
    hello, health = a_hello(seq=1, version="5.8.2"), a_health(seq=2, version="5.8.2")
    log = Log(header=a_header(seq=3), lines=("one",))

    stored = store(
        [_from(BOX, Up.HELLO, hello), _from(BOX, Up.HEALTH, health), _from(BOX, Up.LOG, log)], NOON
    )

    assert set(stored.counted[BOX]) == {m.header.id for m in (hello, health, log)}
    assert devices.get(BOX).version == "5.8.2"
    assert _samples() == db.session.scalar(select(func.count(DeviceEvent.id))) == 1


def test_a_duplicate_is_acknowledged_and_counts_once(app: Flask) -> None:
    add_device(BOX)
    again = _from(BOX, Up.HEALTH, a_health(seq=1))

    store([again, again], NOON)
    stored = store([again], NOON)

    assert len(stored.counted[BOX]) == 1
    assert _samples() == 1


@pytest.mark.parametrize(
    ("payload", "outcome"),
    [
        (b'{"id":"%s","v":1}' % (b"a" * 32), "refused:malformed"),
        (b'{"id":"%s","v":2}' % (b"a" * 32), "refused:unsupported-version"),
    ],
    ids=["a field is missing", "a version of tomorrow"],
)
def test_what_can_not_be_read_is_refused_by_its_id(
    app: Flask, payload: bytes, outcome: str
) -> None:
    add_device(BOX)
    good = a_health(seq=1)

    stored = store(
        [Incoming(topics.up(BOX, Up.HEALTH), payload), _from(BOX, Up.HEALTH, good)], NOON
    )

    assert stored.refused == {BOX: ["a" * 32]}
    assert stored.counted == {BOX: [good.header.id]}
    assert stored.counts[outcome] == 1


@pytest.mark.parametrize("payload", [b"", b"\xff\xfe", b"[]", b'{"id":7}', b"[" * 100_000])
def test_what_has_not_even_an_id_is_counted_and_dropped(app: Flask, payload: bytes) -> None:
    add_device(BOX)

    stored = store([Incoming(topics.up(BOX, Up.REPORT), payload)], NOON)

    assert (stored.counted, stored.refused) == ({}, {})
    assert sum(n for outcome, n in stored.counts.items() if outcome.startswith("refused")) == 1


@pytest.mark.parametrize(
    "topic", ["x", topics.down(BOX, topics.Down.CMD), "oleada/v1/m/VX-410/meta"]
)
def test_a_topic_that_no_box_writes_is_dropped(app: Flask, topic: str) -> None:
    assert sum(store([Incoming(topic, b"{}")], NOON).counts.values()) == 1


@pytest.mark.parametrize(("seq", "message_id"), [(0, "a" * 32), (2**31, "a" * 32), (1, "A" * 32)])
def test_a_header_out_of_range_is_refused(app: Flask, seq: int, message_id: str) -> None:
    add_device(BOX)
    health = a_health()
    strange = replace(health, header=replace(health.header, seq=seq, id=message_id))

    stored = store([_from(BOX, Up.HEALTH, strange)], NOON)

    assert stored.counts["refused:malformed"] == 1


def test_one_message_that_can_not_be_stored_stops_nobody(app: Flask) -> None:
    for device_id in (BOX, OTHER):
        add_device(device_id)
    healthy = [a_health(seq=n) for n in range(1, 40)]
    poison = json.loads(messages.encode(a_health(seq=99)))
    poison["version"] = "\ud800"  # half a character: JSON can spell it, no database can keep it
    batch = [_from(BOX, Up.HEALTH, one) for one in healthy]
    batch.insert(17, Incoming(topics.up(OTHER, Up.HEALTH), json.dumps(poison).encode()))

    stored = store(batch, NOON)

    assert stored.refused == {OTHER: [poison["id"]]}
    assert len(stored.counted[BOX]) == _samples() == len(healthy)


def test_a_box_that_is_not_enrolled_is_neither_stored_nor_answered(app: Flask) -> None:
    add_device(BOX)

    stored = store([_from(OTHER, Up.HEALTH, a_health()), _from(BOX, Up.HEALTH, a_health())], NOON)

    assert set(stored.counted) == {BOX}
    assert stored.counts["unknown-device"] == 1


def test_a_report_about_nothing_we_know_does_not_stop_the_batch(app: Flask) -> None:
    add_device(BOX)
    report = messages.Report(
        header=a_header(seq=1),
        assignment_id="AS-404",
        attempt=1,
        step=1,
        phase=Phase.UPDATED,
        version="1.0.0",
        running_slot="A",
    )
    health = a_health(seq=2)

    stored = store([_from(BOX, Up.REPORT, report), _from(BOX, Up.HEALTH, health)], NOON)

    assert health.header.id in stored.counted[BOX]
    assert report.header.id in stored.counted[BOX] + stored.refused[BOX]


def test_without_a_database_nothing_is_acknowledged(tmp_path: Path) -> None:
    nowhere = replace(settings.load(tmp_path, {}), database_url=f"sqlite:///{tmp_path}/no/such.db")
    app = create_app(nowhere, ())
    with app.app_context(), pytest.raises(DatabaseAwayError):
        store([_from(BOX, Up.HEALTH, a_health())], NOON)


@pytest.mark.real
def test_a_database_that_goes_away_in_between_costs_nothing(
    postgresql_config: settings.Config, cluster: Cluster
) -> None:
    app = create_app(postgresql_config, ())
    batch = [_from(BOX, Up.HEALTH, a_health())]
    with app.app_context():
        add_device(BOX)
        cluster.cut_off(db.engine.url.database or "")

        stored = _until_stored(batch)

        assert len(stored.counted[BOX]) == _samples() == 1
        db.session.remove()
        db.engine.dispose()


def _until_stored(batch: list[Incoming]) -> inbox.Stored:
    for _ in range(5):
        try:
            return store(batch, NOON)
        except DatabaseAwayError:
            continue
    raise AssertionError("the batch was never stored")
