"""The line that our worker is measured against: the same work with nothing of ours in it.

No TLS, no parsing, no identity, and MQTT 3.1.1, which paho reads faster than 5. Run as a
child process, so that its CPU time is its own:

    subscribe   paho takes N messages at QoS 1 and counts them
    insert      SQLAlchemy Core inserts N rows into the database, 1 000 a transaction
    both        paho takes N messages and acknowledges each after the insert of its batch,
                which is closed by 1 000 messages or 50 ms

Prints one JSON object: ``messages``, ``elapsed_s`` and ``cpu_s`` from the first to the last.
"""

import argparse
import json
import os
import sys
from dataclasses import dataclass, field
from typing import Any, Final

import paho.mqtt.client as mqtt
from oleada_wire import topics
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import (
    Column,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    insert,
)

from oleada_lab.clock import monotonic_s

BATCH: Final = 1000
WAIT_S: Final = 0.05
READY: Final = "ready"
ROW: Final = Table(
    "bare_sample",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("topic", String(120)),
    Column("body", LargeBinary),
)


@dataclass(slots=True)
class Count:
    """What has been done, and when by steady clock and CPU clock (seconds)."""

    expected: int
    messages: int = 0
    from_s: float = 0.0
    cpu_from_s: float = 0.0
    batch: list[mqtt.MQTTMessage] = field(default_factory=list)
    batch_from_s: float = 0.0

    def one(self) -> None:
        """Count a message; the first one starts the clocks."""
        if self.messages == 0:
            self.begin()
        self.messages += 1

    def begin(self) -> None:
        """Start the clocks."""
        self.from_s, self.cpu_from_s = monotonic_s(), _cpu_s()

    @property
    def is_done(self) -> bool:
        """Whether every message has come."""
        return self.messages >= self.expected

    @property
    def batch_is_due(self) -> bool:
        """Whether the batch is closed, by size or by age."""
        age_s = monotonic_s() - self.batch_from_s
        return bool(self.batch) and (len(self.batch) >= BATCH or age_s >= WAIT_S)

    def result(self) -> dict[str, Any]:
        """Return the numbers up to now."""
        return {
            "messages": self.messages,
            "elapsed_s": monotonic_s() - self.from_s,
            "cpu_s": _cpu_s() - self.cpu_from_s,
        }


def main() -> int:
    """Run one mode; return 0 when all messages came."""
    options = _options()
    if options.mode == "insert":
        found = _insert_all(options.count, options.database)
    else:
        engine = _engine(options.database) if options.mode == "both" else None
        found = _take(options, engine)
    sys.stdout.write(json.dumps(found) + "\n")
    return 0 if found["messages"] == options.count else 1


def _take(options: argparse.Namespace, engine: Engine | None) -> dict[str, Any]:
    count = Count(options.count)
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id=f"bench-{os.getpid()}",
        protocol=mqtt.MQTTv311,
        manual_ack=engine is not None,
    )

    def subscribe(*_: Any) -> None:
        client.subscribe(f"$share/oleada/{topics.PREFIX}/d/+/up/+", qos=1)

    def say_ready(*_: Any) -> None:
        sys.stdout.write(READY + "\n")
        sys.stdout.flush()

    def take(_client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        count.one()
        if engine is not None:
            if not count.batch:
                count.batch_from_s = monotonic_s()
            count.batch.append(message)

    client.on_connect, client.on_subscribe, client.on_message = subscribe, say_ready, take
    client.connect(options.host, options.port, keepalive=300)
    until_s = monotonic_s() + options.limit_s
    while not (count.is_done and not count.batch) and monotonic_s() < until_s:
        client.loop(WAIT_S)
        if engine is not None and count.batch_is_due:
            _store_and_acknowledge(client, engine, count.batch)
    found = count.result()
    client.disconnect()
    return found


def _store_and_acknowledge(
    client: mqtt.Client, engine: Engine, batch: list[mqtt.MQTTMessage]
) -> None:
    rows = [{"topic": message.topic, "body": bytes(message.payload)} for message in batch]
    with engine.begin() as connection:
        connection.execute(insert(ROW), rows)
    for message in batch:
        client.ack(message.mid, message.qos)
    batch.clear()


def _insert_all(number: int, database: str) -> dict[str, Any]:
    engine = _engine(database)
    body = bytes(600)
    count = Count(number)
    count.begin()
    while not count.is_done:
        size = min(BATCH, number - count.messages)
        rows = [{"topic": "oleada/v1/d/VX410000000/up/health", "body": body}] * size
        with engine.begin() as connection:
            connection.execute(insert(ROW), rows)
        count.messages += size
    return count.result()


def _engine(database: str) -> Engine:
    engine = create_engine(database)

    def prepare(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", prepare)
    ROW.metadata.drop_all(engine)
    ROW.metadata.create_all(engine)
    return engine


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=("subscribe", "insert", "both"))
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--database", help="SQLAlchemy URL; its table bare_sample is made anew")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int)
    parser.add_argument("--limit-s", type=float, default=120)
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
