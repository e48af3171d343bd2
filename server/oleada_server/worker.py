"""The worker: MQTT on one side, the database on the other, one thread between them.

The loop reads what the broker has, closes a batch by size or age, stores it, sends the
acknowledgements and only then PUBACKs. What a box sends beyond its quota is not stored:
it is PUBACKed in its turn, and the box is asked to pause. While the database is away
nothing is PUBACKed, so the broker stops sending at the receive window: two batches, of
which one travels while the other is stored. One worker of many, chosen by a lease, also
publishes the outbox.
"""

import fcntl
import logging
import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final

from flask import Flask
from oleada_wire import topics
from oleada_wire.messages import WIRE_VERSION, Header
from paho.mqtt import client as mqtt
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from oleada_server import alive, broker, clock, outage
from oleada_server import config as settings
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.errors import ConflictError
from oleada_server.messaging import excess, inbox, quota, services_door
from oleada_server.messaging.connection import Connection
from oleada_server.messaging.gatekeeper import Gatekeeper
from oleada_server.messaging.publisher import Publisher
from oleada_server.messaging.service import next_header
from oleada_server.system import service as system
from oleada_server.telemetry import looks

log = logging.getLogger(__name__)

SESSION_S: Final = 600
"""How long the broker keeps messages for a worker that is being restarted."""
RECONNECT_S: Final = 0.5
DATABASE_RETRY_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
IDLE_S: Final = 0.02
ACK_IDS_MAX: Final = 500
COUNTS_EVERY_S: Final = 60.0
NAME_FREE_S: Final = 15.0
"""How long the next worker waits for the one before to end: it stores what it has at hand."""


class WorkerNameTakenError(ConflictError):
    """Another worker of this server has this name; the two would turn each other out."""

    code = "worker-name-taken"


class Worker:
    """One connection to the broker and one writer of the database.

    Args:
        app: The server's app.
        name: Tells workers of one server apart; its session in the broker is kept.
    """

    def __init__(self, app: Flask, name: str = "1") -> None:
        self._app = app
        with app.app_context():
            self._config = settings.current()
        self._name = name
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._stopping = False
        self._batch: list[tuple[int, int, inbox.Incoming | None]] = []
        self._batch_since = 0.0
        self._quota = quota.Quota(
            self._config.box_messages_per_minute, self._config.box_messages_burst
        )
        self._over_quota: dict[str, str] = {}
        self._turned_s = clock.monotonic_s()
        self._connected = False
        self._try_after = 0.0
        self._beat_at = 0.0
        self._tell_at = 0.0
        self._failures: dict[str, int] = {}
        self._database = outage.Spell(log, "database")
        self._broker = outage.Spell(log, "broker")
        self._counts_at = 0.0
        self._counts_told = ""
        self.counts: dict[str, int] = {}
        self._client = self._new_connection()
        self._publisher = Publisher(self._config, self._owner)
        self._gatekeeper = Gatekeeper(self._config)

    @property
    def database_failures(self) -> int:
        """How often the database has failed since it last worked."""
        return max(self._failures.values(), default=0)

    def run(self) -> None:
        """Work until :meth:`stop`; store what is at hand, then leave."""
        with self._app.app_context():
            self._ready_file().unlink(missing_ok=True)
            while not self._stopping:
                self.turn()
            self._leave()

    def stop(self) -> None:
        """Let :meth:`run` come to its end; safe in a signal handler."""
        self._stopping = True

    def turn(self) -> None:
        """Do whatever is due: read, store, publish. Waits 20 ms at most when nothing is."""
        self._begin_turn()
        if self._turned_s >= max(self._beat_at, self._try_after):
            self._guarded("beat", self._beat, self._turned_s)
        if not self._connected and not self._connect():
            return
        if not self._client.turn(IDLE_S, self._config.inbox_batch_max - len(self._batch) or 1):
            self._disconnected()
            return
        now_s = clock.monotonic_s()
        if self._batch_is_due(now_s):
            self._guarded("inbox", self._store_batch, now_s)
        for part, work in (
            ("outbox", self._publisher.turn),
            ("gate", self._gatekeeper.turn),
            ("excess", self._tell_of_excess),
        ):
            self._guarded(part, work, now_s)
        if now_s >= self._counts_at:
            self._log_counts(now_s)

    def _begin_turn(self) -> None:
        self._turned_s = clock.monotonic_s()
        if self._turned_s >= self._tell_at:
            self._tell_at = self._turned_s + system.BEAT_S
            alive.tell()

    def _new_connection(self) -> Connection:
        client = services_door.new_line(self._config, f"oleada-worker-{self._name}", self._heard)
        client.max_inflight_messages_set(self._config.inbox_batch_max)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        return client

    def _connect(self) -> bool:
        try:
            services_door.open_line(
                self._client,
                self._config,
                session_s=SESSION_S,
                receive_max=broker.receive_max(self._config),
            )
        except OSError as error:
            self._broker.failed(f"it does not answer ({error}).", clock.monotonic_s())
            clock.wait_s(RECONNECT_S)
            return False
        self._connected = True
        return True

    def _disconnected(self) -> None:
        """Forget what was under way: the broker delivers again what was not PUBACKed."""
        log.warning("the connection to the broker is gone")
        self._connected = False
        self._batch.clear()
        self._client.close()
        self._client = self._new_connection()
        self._ready_file().unlink(missing_ok=True)
        clock.wait_s(RECONNECT_S)

    def _on_connect(
        self, client: mqtt.Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        if reason.is_failure:
            self._broker.failed(f"it refuses this worker ({reason}).", clock.monotonic_s())
            return
        self._broker.worked(clock.monotonic_s())
        client.subscribe(broker.up_filter(self._config), qos=1)

    def _on_subscribe(
        self, _client: mqtt.Client, _userdata: Any, _mid: int, _reasons: Any, _properties: Any
    ) -> None:
        path = self._ready_file()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{os.getpid()}\n")
        except OSError as error:  # a full disk is no reason to hear no box
            log.error("%s can not be written: %s", path, error.strerror)

    def _heard(self, mid: int, qos: int, topic: str, payload: bytes) -> None:
        if not self._batch:
            self._batch_since = clock.monotonic_s()
        if qos == 0 and len(self._batch) >= self._config.inbox_batch_max:
            self._count("dropped", 1)  # QoS 0 knows no window; the box keeps what matters
            return
        self._batch.append((mid, qos, self._admitted(topic, payload)))

    def _admitted(self, topic: str, payload: bytes) -> inbox.Incoming | None:
        """Return the message to store; None for one beyond its box's quota."""
        if self._quota.admit(topic, len(payload), self._turned_s):
            return inbox.Incoming(topic, payload)
        self._count("over-quota", 1)
        self._over_quota[topic] = quota.device_of(topic)
        return None

    def _batch_is_due(self, now_s: float) -> bool:
        if not self._batch or now_s < self._try_after:
            return False
        age_ms = (now_s - self._batch_since) * 1000
        full = len(self._batch) >= self._config.inbox_batch_max
        return full or age_ms >= self._config.inbox_batch_wait_ms

    def _store_batch(self) -> None:
        now = clock.now_utc()
        batch, self._batch = self._batch, []
        try:
            stored = inbox.store([one for _, _, one in batch if one is not None], now)
        except outage.DatabaseAwayError:
            self._batch = batch
            raise
        for device_id in {**stored.counted, **stored.refused}:
            counted, refused = stored.counted.get(device_id, []), stored.refused.get(device_id, [])
            reads = looks.READS if device_id in stored.greeted else ()
            self._send_acks(device_id, counted, refused, now, reads)
        self._send_pauses(now)
        self._client.queue_pubacks(mid for mid, qos, _ in batch if qos)
        for outcome, number in stored.counts.items():
            self._count(outcome, number)

    def _send_acks(
        self,
        device_id: str,
        counted: list[str],
        refused: list[str],
        now: datetime,
        reads: Sequence[str],
    ) -> None:
        topic = topics.down(device_id, topics.Down.ACK)
        while counted or refused:
            ids, bad = counted[:ACK_IDS_MAX], refused[:ACK_IDS_MAX]
            ack = ack_bytes(next_header(now), ids, bad, reads=reads)
            self._client.queue_publish(topic, ack)
            counted, refused = counted[ACK_IDS_MAX:], refused[ACK_IDS_MAX:]

    def _send_pauses(self, now: datetime) -> None:
        """Ask each box whose telemetry was not kept to wait until there is room for some."""
        for topic, device_id in self._over_quota.items():
            if quota.is_vital(topic):
                continue  # asked or sent again by itself, seldom enough to be within the quota
            pause_s = self._quota.pause_s(topic, self._turned_s)
            ack = ack_bytes(next_header(now), [], [], pause_s)
            self._client.queue_publish(topics.down(device_id, topics.Down.ACK), ack)
        self._over_quota.clear()

    def _tell_of_excess(self) -> None:
        """Log and store, at most once a minute for a box, how much it sent beyond its quota."""
        found = self._quota.untold(self._turned_s)
        if not found:
            return
        excess.record_excess(found, clock.now_utc())
        db.session.commit()
        self._quota.told(found, self._turned_s)
        for device_id, number in found.items():
            log.warning(
                "box %s sends too much: %s messages beyond its quota were not kept",
                device_id,
                number,
            )

    def _beat(self) -> None:
        """Say that this worker lives and whether it reaches the broker."""
        self._beat_at = self._turned_s + system.BEAT_S
        host = socket.gethostname()
        facts = {"host": host, "broker": self._connected and not self._broker.is_on}
        system.beat(f"worker {self._name} on {host}"[:80], system.WORKER, facts)

    def _guarded(self, part: str, work: Callable[[], None], now_s: float) -> None:
        """Run *work*; if the database is away, wait longer each time before the next try."""
        if now_s < self._try_after:
            return
        try:
            work()
        except (outage.DatabaseAwayError, DBAPIError) as error:
            with suppress(SQLAlchemyError):  # what is gone can not be rolled back
                db.session.rollback()
            failures = self._failures[part] = self._failures.get(part, 0) + 1
            now_s = clock.monotonic_s()  # a busy database takes its time to say so
            self._try_after = now_s + DATABASE_RETRY_S[min(failures, len(DATABASE_RETRY_S)) - 1]
            self._database.failed(outage.meaning(error) or error, now_s, part)
        else:
            self._failures.pop(part, None)
            self._database.worked(now_s, part)

    def _leave(self) -> None:
        if self._connected:
            if self._batch:
                self._guarded("inbox", self._store_batch, clock.monotonic_s())
            self._guarded("outbox", self._publisher.give_up, clock.monotonic_s())
            self._client.leave()
        self._publisher.close()
        self._ready_file().unlink(missing_ok=True)
        with suppress(SQLAlchemyError):
            db.session.remove()

    def _ready_file(self) -> Path:
        return self._config.data_dir / "run" / f"worker-{self._name}.ready"

    def _count(self, outcome: str, number: int) -> None:
        self.counts[outcome] = self.counts.get(outcome, 0) + number

    def _log_counts(self, now_s: float) -> None:
        self._counts_at = now_s + COUNTS_EVERY_S
        found = ", ".join(f"{number} {what}" for what, number in self.counts.items() if number)
        if found and found != self._counts_told:
            log.info("inbox since start: %s", found)
        self._counts_told = found


def ack_bytes(
    header: Header,
    ids: list[str],
    refused: list[str],
    pause_s: int | None = None,
    reads: Sequence[str] = (),
) -> bytes:
    """Return what ``messages.encode`` makes of an acknowledgement, in a tenth of the time.

    Every id is hex digits, as the inbox has checked, and needs no escape in JSON; nor does
    a word of *reads*.
    """

    def listed(found: Sequence[str]) -> str:
        return '["' + '","'.join(found) + '"]' if found else "[]"

    read = f'"reads":{listed(reads)},' if reads else ""
    pause = "" if pause_s is None else f',"pause_s":{pause_s}'
    return (
        f'{{"at_ms":{header.at_ms},"boot":"{header.boot}","id":"{header.id}",'
        f'"ids":{listed(ids)}{pause},{read}"refused":{listed(refused)},"seq":{header.seq},"v":{WIRE_VERSION}}}'
    ).encode()


def run(app: Flask, config: Config, name: str) -> None:
    """Run worker *name* until SIGTERM or SIGINT.

    Raises:
        WorkerNameTakenError: another one runs under this name.
    """
    assert config is app.extensions["oleada_config"], "one app, one configuration"  # noqa: S101
    with only_one_named(name, config.data_dir / "run", NAME_FREE_S):
        worker = Worker(app, name)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
        worker.run()


@contextmanager
def only_one_named(name: str, directory: Path, wait_s: float) -> Iterator[None]:
    """Hold *name* in *directory*: the broker ends the session of whoever had it before.

    Raises:
        WorkerNameTakenError: another process held it for *wait_s* seconds.
    """
    lock = _open_lock(directory / f"worker-{name}.lock")
    if lock is None:
        yield
        return
    deadline_s = clock.monotonic_s() + wait_s
    with lock:
        while not _is_locked(lock):
            if clock.monotonic_s() >= deadline_s:
                raise WorkerNameTakenError(
                    f"A worker named {name} runs already; give this one another name, "
                    "such as: oleada worker --name 2"
                )
            clock.wait_s(RECONNECT_S)
        yield


def _open_lock(path: Path) -> IO[str] | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("w")
    except OSError as error:  # a full disk is no reason to hear no box
        log.error("%s can not be made: %s", path, error.strerror)
        return None


def _is_locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
