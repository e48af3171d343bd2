"""Of many publishers one writes what the broker retains, wherever another one was paused."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from flask import Flask
from oleada_server import clock
from oleada_server.app import create_app
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.messaging import leader, outbox
from oleada_server.messaging.models import Leader
from oleada_server.messaging.publisher import ROLE, Publisher
from oleada_server.messaging.service import queue_retained
from oleada_server.worker import Worker
from oleada_wire import topics
from oleada_wire.topics import Down
from sqlalchemy import update

from tests.support.broker import RunningBroker, box_client, running_broker, wait_until
from tests.support.fleet import add_device

pytestmark = pytest.mark.real

BOX = "VX417Q3K0928"
ASSIGN = topics.down(BOX, Down.ASSIGN)
ROOT = Path(__file__).parents[3]


@pytest.fixture
def broker(sqlite_config: Config) -> Iterator[RunningBroker]:
    with running_broker(sqlite_config) as found:
        yield found


@pytest.fixture
def app(broker: RunningBroker) -> Iterator[Flask]:
    """The app on the broker's ports, with one enrolled box."""
    app = create_app(broker.config, ())
    with app.app_context():
        add_device(BOX)
        yield app
        db.session.remove()
        db.engine.dispose()


def _queue(payload: bytes) -> None:
    queue_retained(ASSIGN, payload)
    db.session.commit()


def _let_the_lease_run_out() -> None:
    mine = update(Leader).where(Leader.role == ROLE)
    db.session.execute(mine.values(expires_at=leader.LONG_AGO))
    db.session.commit()


def _unsent() -> list[bytes]:
    return [one.payload for one in outbox.unsent(clock.now_utc(), 9)]


def _held(broker: RunningBroker) -> list[bytes]:
    """Return what a box that comes now is given."""
    with box_client(broker.config, BOX) as late:
        late.subscribe(ASSIGN)
        wait_until(lambda: late.payloads(ASSIGN), "the retained one came")
        return late.payloads(ASSIGN)


def _stands_by(log: Path) -> bool:
    said = log.read_text()
    return "publishing the outbox: False" in said or "took over as outbox" in said


@contextmanager
def _pausing_worker(config: Config, word: bytes, log: Path) -> Iterator[psutil.Process]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.pausing_worker", word.decode()],
            env={
                **os.environ,
                "OLEADA_DATA_DIR": str(config.data_dir),
                "OLEADA_BROKER_PORT": str(config.broker_port),
                "OLEADA_BROKER_SERVICES_PORT": str(config.broker_services_port),
            },
            cwd=ROOT,
            stderr=out,
        )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(60)


@contextmanager
def _worker(app: Flask) -> Iterator[None]:
    worker = Worker(app, "2")
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join()


def test_a_publisher_paused_between_reading_and_writing_puts_nothing_older_back(
    app: Flask, broker: RunningBroker, tmp_path: Path
) -> None:
    log = tmp_path / "paused.log"
    with _pausing_worker(broker.config, b"older", log) as paused:
        _queue(b"older")
        wait_until(lambda: paused.status() == psutil.STATUS_STOPPED, "it stands before its write")
        _queue(b"newer")
        _let_the_lease_run_out()
        with _worker(app):
            wait_until(lambda: not _unsent(), "the other one has published the newer one")

            paused.resume()
            wait_until(lambda: _stands_by(log), "it has written, and found out")

            assert _held(broker) == [b"newer"]
            assert _unsent() == []


def test_what_a_publisher_without_a_lease_knows_is_not_stored(
    app: Flask, broker: RunningBroker
) -> None:
    paused = Publisher(broker.config, "the paused one")
    _queue(b"held")

    def has_published() -> bool:
        paused.turn()
        return bool(paused.on_their_way)

    wait_until(has_published, "it has read the row")
    _let_the_lease_run_out()
    assert leader.take(ROLE, "the other one", clock.now_utc()) is not None

    def stands_by() -> bool:
        paused.turn()
        return not paused.leads

    wait_until(stands_by, "it has found out")
    assert _unsent() == [b"held"]  # for the other one to say whether the broker has it


def test_a_publisher_that_is_turned_out_by_mistake_comes_back_and_goes_on(
    app: Flask, broker: RunningBroker
) -> None:
    first, second = Publisher(broker.config, "first"), Publisher(broker.config, "second")

    def turned(publisher: Publisher) -> bool:
        publisher.turn()
        return not _unsent()

    _queue(b"one")
    wait_until(lambda: turned(first), "the first publishes")
    _let_the_lease_run_out()
    _queue(b"two")
    wait_until(lambda: turned(second), "the second took over")
    second.give_up()
    _queue(b"three")
    wait_until(lambda: turned(first), "the first has found its line dead and made another")

    assert _held(broker) == [b"three"]
    first.close()
    second.close()
