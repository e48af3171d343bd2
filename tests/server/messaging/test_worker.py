"""The worker between a real Mosquitto and a real database."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from flask import Flask
from oleada_server import alive, clock
from oleada_server import db as database
from oleada_server.app import create_app
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.devices import service as devices
from oleada_server.messaging import excess, inbox, outbox
from oleada_server.messaging.inbox import Incoming, Stored
from oleada_server.messaging.models import OutboxMessage
from oleada_server.messaging.service import queue_message, queue_retained
from oleada_server.telemetry.models import HealthSample
from oleada_server.worker import Worker, ack_bytes
from oleada_wire import messages, topics
from oleada_wire.messages import Ack, Result
from oleada_wire.topics import Down, Up
from oleada_wire.words import ResultStatus
from sqlalchemy import func, select

from tests.support.broker import (
    Client,
    RunningBroker,
    box_client,
    running_broker,
    server_client,
    wait_until,
)
from tests.support.fleet import a_header, a_health, a_hello, add_device

pytestmark = pytest.mark.real

BOX, OTHER = "VX417Q3K0928", "VX41ZZZZ0001"
ASSIGN, ACK = topics.down(BOX, Down.ASSIGN), topics.down(BOX, Down.ACK)
HEALTH = topics.up(BOX, Up.HEALTH)


@pytest.fixture
def broker(database_config: Config) -> Iterator[RunningBroker]:
    with running_broker(database_config) as found:
        yield found


@pytest.fixture
def app(broker: RunningBroker) -> Iterator[Flask]:
    """The app on the broker's ports, with one enrolled box, on both databases."""
    app = create_app(broker.config, ())
    with app.app_context():
        add_device(BOX)
        yield app
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def box(broker: RunningBroker) -> Iterator[Client]:
    with box_client(broker.config, BOX) as found:
        found.subscribe(topics.down_filter(BOX), topics.model_filter("VX-410"))
        yield found


@contextmanager
def running(app: Flask, name: str = "1") -> Iterator[Worker]:
    """Run worker *name* in a thread; stopped in order afterwards."""
    worker = Worker(app, name)
    thread = threading.Thread(target=worker.run)
    thread.start()
    ready = app.extensions["oleada_config"].data_dir / "run" / f"worker-{name}.ready"
    try:
        wait_until(ready.exists, "the worker has subscribed")
        yield worker
    finally:
        worker.stop()
        thread.join()


def test_a_worker_shows_signs_of_life(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    ear = alive.Ear(silent_s=0)
    monkeypatch.setenv(alive.NOTIFY_SOCKET, ear.address)
    assert [ear.hangs(now_s) for now_s in (0.0, 1.0)] == [False, True]
    with running(app):
        assert not ear.hangs(2.0)
    ear.close()


def _turned(worker: Worker) -> bool:
    worker.turn()
    return True


def _acknowledged(box: Client) -> set[str]:
    acks = [messages.decode(Ack, payload) for payload in box.payloads(ACK)]
    return {message_id for ack in acks for message_id in ack.ids}


def _pauses(box: Client) -> list[int]:
    acks = [messages.decode(Ack, payload) for payload in box.payloads(ACK)]
    return [ack.pause_s for ack in acks if ack.pause_s is not None]


def _refused(box: Client) -> set[str]:
    acks = [messages.decode(Ack, payload) for payload in box.payloads(ACK)]
    return {message_id for ack in acks for message_id in ack.refused}


@pytest.mark.parametrize("refused", [[], ["b" * 32]])
@pytest.mark.parametrize("ids", [[], ["a" * 32], ["a" * 32, "c" * 32]])
@pytest.mark.parametrize("pause_s", [None, 0, 90])
@pytest.mark.parametrize("reads", [(), ("samples",), ("samples", "more")])
def test_an_acknowledgement_is_spelt_as_the_wire_spells_it(
    ids: list[str], refused: list[str], pause_s: int | None, reads: tuple[str, ...]
) -> None:
    header = a_header(boot=7, seq=9)

    assert ack_bytes(header, ids, refused, pause_s, reads) == messages.encode(
        Ack(header, tuple(ids), tuple(refused), pause_s, reads or None)
    )


def test_a_message_is_acknowledged_when_it_is_in_the_database(app: Flask, box: Client) -> None:
    hello = a_hello(seq=1, version="5.8.2")
    many = [a_health(seq=n) for n in range(2, 52)]
    with running(app):
        assert box.publish(topics.up(BOX, Up.HELLO), messages.encode(hello))
        for health in many:
            assert box.publish(HEALTH, messages.encode(health))
        wait_until(lambda: len(_acknowledged(box)) == 51, "every message is acknowledged")

    assert _acknowledged(box) == {hello.header.id, *(one.header.id for one in many)}
    assert db.session.scalar(select(func.count()).select_from(HealthSample)) == 50
    assert devices.get(BOX).security_version == hello.security_version


def test_nonsense_is_refused_and_the_next_message_is_stored(app: Flask, box: Client) -> None:
    good = a_health(seq=1)
    with running(app):
        assert box.publish(HEALTH, b'{"id":"%s"}' % (b"b" * 32))
        assert box.publish(HEALTH, b"\x00nonsense")
        assert box.publish(HEALTH, messages.encode(good))
        wait_until(lambda: _acknowledged(box) == {good.header.id}, "the good one is acknowledged")

    assert _refused(box) == {"b" * 32}


def test_while_no_worker_runs_the_broker_keeps_what_boxes_say(app: Flask, box: Client) -> None:
    with running(app):
        pass
    health = a_health(seq=1)
    assert box.publish(HEALTH, messages.encode(health))

    with running(app):
        wait_until(lambda: _acknowledged(box) == {health.header.id}, "it is acknowledged")


def test_the_outbox_reaches_the_box_and_is_emptied(app: Flask, box: Client) -> None:
    with running(app):
        queue_message(topics.down(BOX, Down.CMD), b"once", now=clock.now_utc())
        queue_retained(ASSIGN, b"held")
        db.session.commit()
        wait_until(lambda: len(box.heard) == 2, "both messages came")
        wait_until(lambda: not outbox.unsent(clock.now_utc(), 9), "the broker has confirmed both")

    assert box.payloads(topics.down(BOX, Down.CMD)) == [b"once"]
    assert box.payloads(ASSIGN) == [b"held"]
    assert db.session.scalar(select(func.count(OutboxMessage.id))) == 0


def test_a_box_that_comes_later_gets_the_newest_retained_message_only(
    app: Flask, broker: RunningBroker
) -> None:
    with running(app):
        for payload in (b"old", b"new"):
            queue_retained(ASSIGN, payload, expires_at=clock.now_utc() + timedelta(hours=1))
            db.session.commit()
            wait_until(lambda: not outbox.unsent(clock.now_utc(), 9), "it is with the broker")
        with box_client(broker.config, BOX) as late:
            late.subscribe(ASSIGN)
            wait_until(lambda: late.payloads(ASSIGN), "the retained one came")
            assert late.payloads(ASSIGN) == [b"new"]


def test_an_empty_payload_clears_a_topic(app: Flask, broker: RunningBroker) -> None:
    with running(app):
        for payload in (b"something", b""):
            queue_retained(ASSIGN, payload)
            db.session.commit()
            wait_until(lambda: not outbox.unsent(clock.now_utc(), 9), "it is with the broker")
    with box_client(broker.config, BOX) as late, server_client(broker.config) as server:
        late.subscribe(ASSIGN)
        assert server.publish(ASSIGN, b"marker")
        wait_until(lambda: late.heard, "the marker came")

        assert late.payloads(ASSIGN) == [b"marker"]


@pytest.mark.parametrize("forgets", [True, False], ids=["its store is lost", "it is only killed"])
def test_a_broker_that_lost_its_memory_is_filled_again(
    app: Flask, broker: RunningBroker, forgets: bool
) -> None:
    with running(app):
        queue_retained(ASSIGN, b"held")
        db.session.commit()
        wait_until(lambda: not outbox.unsent(clock.now_utc(), 9), "it is with the broker")

        broker.kill()
        if forgets:
            broker.forget()
        broker.start()

        with box_client(broker.config, BOX) as late:
            late.subscribe(ASSIGN)
            wait_until(lambda: late.payloads(ASSIGN), "the assignment is there again")
            assert late.payloads(ASSIGN) == [b"held"]


def test_a_broker_that_remembers_is_not_filled_again(app: Flask, broker: RunningBroker) -> None:
    with running(app):
        queue_retained(ASSIGN, b"held")
        db.session.commit()
        wait_until(lambda: not outbox.unsent(clock.now_utc(), 9), "it is with the broker")
    with box_client(broker.config, BOX) as box:
        box.subscribe(ASSIGN)
        wait_until(lambda: box.payloads(ASSIGN) == [b"held"], "the retained one came")

        with running(app):
            queue_message(topics.down(BOX, Down.CMD), b"marker", now=clock.now_utc())
            db.session.commit()
            wait_until(lambda: not outbox.unsent(clock.now_utc(), 9), "the marker was sent")

        assert box.payloads(ASSIGN) == [b"held"]


def test_two_workers_share_the_load_and_one_publishes(app: Flask, box: Client) -> None:
    with running(app, "1") as first, running(app, "2") as second:
        for number in range(1, 41):
            assert box.publish(HEALTH, messages.encode(a_health(seq=number)))
        queue_message(topics.down(BOX, Down.CMD), b"once", now=clock.now_utc())
        db.session.commit()
        wait_until(lambda: len(_acknowledged(box)) == 40, "every message is acknowledged")
        wait_until(lambda: not outbox.unsent(clock.now_utc(), 9), "the outbox is empty")

        assert first.counts["health"] + second.counts["health"] == 40
        assert min(first.counts["health"], second.counts["health"]) > 0

    assert box.payloads(topics.down(BOX, Down.CMD)) == [b"once"]


def test_while_the_database_is_busy_nothing_is_acknowledged_and_nothing_is_lost(
    sqlite_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 50)
    with running_broker(replace(sqlite_config, inbox_batch_max=10)) as broker:
        app = create_app(broker.config, ())
        with app.app_context(), box_client(broker.config, BOX) as box, running(app) as worker:
            add_device(BOX)
            box.subscribe(topics.down_filter(BOX))
            hog = sqlite3.connect(broker.config.data_dir / "oleada.db", isolation_level=None)
            hog.execute("BEGIN EXCLUSIVE")
            sent = [a_health(seq=n) for n in range(1, 31)]
            for health in sent:
                assert box.publish(HEALTH, messages.encode(health))
            wait_until(lambda: worker.database_failures > 1, "the worker has tried twice")
            assert _acknowledged(box) == set()

            hog.execute("ROLLBACK")
            hog.close()
            wait_until(lambda: len(_acknowledged(box)) == 30, "every message is acknowledged")
            db.session.remove()
            db.engine.dispose()


def test_what_a_dead_worker_had_read_and_not_stored_comes_to_the_next_one(
    sqlite_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hello is not kept by its box: acknowledged before the commit it would be gone."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 50)
    tries: list[int] = []
    store = inbox.store

    def counted(batch: Sequence[Incoming], now: datetime) -> Stored:
        tries.append(len(batch))
        return store(batch, now)

    monkeypatch.setattr(inbox, "store", counted)
    with running_broker(sqlite_config) as broker:
        app = create_app(broker.config, ())
        with app.app_context(), box_client(broker.config, BOX) as box:
            add_device(BOX)
            box.subscribe(topics.down_filter(BOX))
            hello = a_hello()
            dies = Worker(app)
            ready = broker.config.data_dir / "run" / "worker-1.ready"
            wait_until(lambda: _turned(dies) and ready.exists(), "the worker has subscribed")
            hog = sqlite3.connect(broker.config.data_dir / "oleada.db", isolation_level=None)
            hog.execute("BEGIN EXCLUSIVE")
            assert box.publish(topics.up(BOX, Up.HELLO), messages.encode(hello))
            wait_until(lambda: _turned(dies) and len(tries) > 1, "it has tried twice to store it")
            hog.execute("ROLLBACK")
            hog.close()

            with running(app):
                wait_until(lambda: hello.header.id in _acknowledged(box), "it has come again")
            dies.turn()  # it finds its line gone, and closes it
            db.session.remove()
            db.engine.dispose()


def test_a_flood_is_cut_to_its_quota_and_told_to_pause_while_verdicts_are_stored(
    sqlite_config: Config,
) -> None:
    with running_broker(replace(sqlite_config, box_messages_burst=100)) as broker:
        app = create_app(broker.config, ())
        with app.app_context(), box_client(broker.config, BOX) as box, running(app) as worker:
            add_device(BOX)
            box.subscribe(topics.down_filter(BOX))
            result = Result(a_header(seq=500), "C-1", ResultStatus.COMPLETE)
            for number in range(1, 301):
                box.mqtt.publish(HEALTH, messages.encode(a_health(seq=number)), qos=1)
            assert box.publish(topics.up(BOX, Up.RESULT), messages.encode(result))
            wait_until(lambda: result.header.id in _acknowledged(box), "the result is counted")
            wait_until(lambda: bool(_pauses(box)), "the box is told to pause")
            wait_until(lambda: excess.excess_of(BOX, clock.now_utc()), "the excess is stored")

            stored = db.session.scalar(select(func.count()).select_from(HealthSample)) or 0
            assert 100 <= stored < 150
            assert worker.counts["over-quota"] == 300 - stored
            assert min(_pauses(box)) >= 1
            db.session.remove()
            db.engine.dispose()
