"""What becomes of a batch when the database, or our own code, refuses a part of it.

The faults come from outside of our code: from a trigger of the database, or from the
driver, at the moment in which a certain message reaches it.
"""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from flask import Flask
from oleada_server import restored
from oleada_server.app import create_app
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.devices import service as devices
from oleada_server.enrolment.errors import ClaimUsedError
from oleada_server.messaging.inbox import SHAPES, Incoming, store
from oleada_server.outage import DatabaseAwayError
from oleada_server.telemetry.models import DeviceEvent
from oleada_wire import messages, topics
from oleada_wire.errors import MalformedMessageError
from oleada_wire.messages import Crash, Log, Message
from oleada_wire.topics import Up
from sqlalchemy import event, select, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError

from tests.support.fleet import a_header, a_health, a_hello, add_device

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BOX, OTHER = "VX417Q3K0928", "VX41ZZZZ0001"
POISON = "the one that hurts"


def from_box(kind: Up, message: Message, device_id: str = BOX) -> Incoming:
    return Incoming(topics.up(device_id, kind), messages.encode(message))


def logs(lines: list[str]) -> list[Log]:
    """Return a log message of one line each."""
    return [Log(header=a_header(seq=seq), lines=(line,)) for seq, line in enumerate(lines, 1)]


def kept() -> list[str]:
    """Return the first line of each log in the database, whatever the session holds."""
    db.session.rollback()
    db.session.expire_all()
    rows = db.session.scalars(select(DeviceEvent).order_by(DeviceEvent.seq)).all()
    return [row.body["lines"][0] for row in rows]


def fails_at_poison(error: Callable[[], Exception]) -> None:
    """Let the driver raise *error* when POISON is about to be stored."""

    def raised(_connection: object, _cursor: object, _sql: str, values: object, *_: object) -> None:
        if POISON in str(values):
            raise error()

    event.listen(db.engine, "before_cursor_execute", raised)


def spelt(kind: type[DBAPIError], *, gone: bool = False) -> Callable[[], Exception]:
    return lambda: kind("INSERT", {}, sqlite3.Error("no such luck"), connection_invalidated=gone)


@pytest.fixture
def box(app: Flask) -> Flask:
    """A server with two boxes, on either database."""
    for device_id in (BOX, OTHER):
        add_device(device_id)
    return app


def refuse_row(seq: int) -> None:
    """Let the database itself refuse the event with this sequence number."""
    if db.engine.dialect.name == "sqlite":
        statement = (
            f"CREATE TRIGGER refuses BEFORE INSERT ON device_event WHEN NEW.seq = {seq} "
            "BEGIN SELECT RAISE(ABORT, 'this row never'); END"
        )
    else:
        statement = (
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE 'this row never'; END $$;"
            f"CREATE TRIGGER refuses BEFORE INSERT ON device_event FOR EACH ROW "
            f"WHEN (NEW.seq = {seq}) EXECUTE FUNCTION refuse()"
        )
    db.session.execute(text(statement))
    db.session.commit()


def test_every_message_is_counted_by_its_kind_and_durable(box: Flask) -> None:
    sent = [
        from_box(Up.HELLO, a_hello(seq=1)),
        from_box(Up.HEALTH, a_health(seq=2)),
        from_box(Up.HEALTH, a_health(seq=3)),
        from_box(Up.CRASH, Crash(a_header(seq=4), "player", "SIGSEGV", "1.0.0")),
        from_box(Up.HEALTH, a_health(), "VX41NEWB0007"),
    ]

    stored = store(sent, NOON)

    assert +stored.counts == {"hello": 1, "health": 2, "crash": 1, "unknown-device": 1}
    db.session.rollback()
    assert db.session.scalar(select(DeviceEvent.kind)) == "crash"


@pytest.mark.parametrize("number", range(7))
def test_whichever_message_the_database_refuses_the_others_are_stored(
    box: Flask, number: int
) -> None:
    refuse_row(1000)
    batch = logs([f"line {place}" for place in range(7)])
    batch[number] = Log(header=a_header(seq=1000), lines=("never",))

    stored = store([from_box(Up.LOG, one) for one in batch], NOON)

    good = [one for one in batch if one is not batch[number]]
    assert stored.refused == {BOX: [batch[number].header.id]}
    assert stored.counted == {BOX: [one.header.id for one in good]}
    assert +stored.counts == {"log": 6, "refused:not-storable": 1}
    assert kept() == [one.lines[0] for one in good]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ClaimUsedError, "claim-used"),
        (lambda: MalformedMessageError("no such thing"), "malformed"),
        (lambda: ValueError("not a number"), "not-storable"),
        (spelt(IntegrityError), "not-storable"),
    ],
    ids=["an error of the server", "an error of the wire", "a value", "the database"],
)
def test_what_can_never_be_stored_is_refused_with_its_code(
    box: Flask, error: Callable[[], Exception], code: str
) -> None:
    fails_at_poison(error)
    good, bad = logs(["good", POISON])

    stored = store([from_box(Up.LOG, bad, OTHER), from_box(Up.LOG, good)], NOON)

    assert stored.refused == {OTHER: [bad.header.id]}
    assert stored.counted == {BOX: [good.header.id]}
    assert +stored.counts == {"log": 1, f"refused:{code}": 1}
    assert kept() == ["good"]


def test_what_an_error_of_ours_stopped_is_neither_counted_nor_refused(
    box: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    fails_at_poison(lambda: KeyError("our own mistake"))
    good, bad = logs(["good", POISON])

    stored = store([from_box(Up.LOG, bad, OTHER), from_box(Up.LOG, good)], NOON)

    assert (stored.refused, stored.counted) == ({}, {BOX: [good.header.id]})
    assert +stored.counts == {"log": 1, "failed": 1}
    [told] = [one for one in caplog.records if one.levelname == "ERROR"]
    assert told.getMessage() == f"message {bad.header.id} of {OTHER} failed"
    assert told.exc_info is not None


def test_a_long_reason_is_told_as_far_as_a_line_goes(
    box: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    fails_at_poison(lambda: ValueError("x" * 501))

    store([from_box(Up.LOG, one) for one in logs([POISON])], NOON)

    assert caplog.messages[-1].endswith(": " + "x" * 500)


@pytest.mark.parametrize(
    "error",
    [spelt(OperationalError), spelt(InterfaceError), spelt(DBAPIError, gone=True)],
    ids=["operational", "interface", "connection gone"],
)
def test_a_database_that_goes_away_in_a_batch_has_nothing_of_it(
    box: Flask, error: Callable[[], Exception]
) -> None:
    fails_at_poison(error)
    batch = [from_box(Up.LOG, one) for one in logs(["before", POISON, "after"])]

    with pytest.raises(DatabaseAwayError, match="The database fails: no such luck"):
        store(batch, NOON)
    assert store(batch[2:], NOON).counted.keys() == {BOX}

    assert kept() == ["after"]


def test_a_commit_that_the_database_refuses_is_an_error_and_leaves_the_session_usable(
    box: Flask,
) -> None:
    def refuse(_connection: object) -> None:
        event.remove(db.engine, "commit", refuse)
        raise spelt(IntegrityError)()

    event.listen(db.engine, "commit", refuse)
    batch = [from_box(Up.LOG, one) for one in logs(["good"])]

    with pytest.raises(IntegrityError):
        store(batch, NOON)

    assert kept() == []
    assert len(store(batch, NOON).counted[BOX]) == 1


@pytest.mark.real
@pytest.mark.parametrize(
    ("instead", "error"),
    [
        ("SELECT pg_terminate_backend(pg_backend_pid())", DatabaseAwayError),
        ("SELECT 1 / 0", DataError),
    ],
    ids=["the connection dies", "an error of the question itself"],
)
def test_a_batch_whose_first_question_fails_leaves_a_session_that_works(
    postgresql_config: Config, instead: str, error: type[Exception]
) -> None:
    app = create_app(postgresql_config, ())
    batch = [from_box(Up.LOG, one) for one in logs(["good"])]

    asked: list[str] = []

    def ask_that(
        _connection: object, _cursor: object, statement: str, values: object, *_: object
    ) -> tuple[str, object]:
        asked.append(statement)
        return (statement, values) if len(asked) > 1 else (instead, {})

    with app.app_context():
        add_device(BOX)
        event.listen(db.engine, "before_cursor_execute", ask_that, retval=True)

        with pytest.raises(error):
            store(batch, NOON)

        assert len(store(batch, NOON).counted[BOX]) == 1
        db.session.remove()
        db.engine.dispose()


def test_a_full_disk_is_named(box: Flask) -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    fails_at_poison(lambda: OperationalError("INSERT", {}, full))

    with pytest.raises(DatabaseAwayError, match="room"):
        store([from_box(Up.LOG, one) for one in logs([POISON])], NOON)


def test_after_a_restore_only_a_hello_brings_a_lost_box_back(
    box: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    lost, other = "VX41NEWB0007", "VX41NEWB0008"
    hello = a_hello(seq=1, serial="SN-7")
    health = a_health(seq=1)
    assert store([from_box(Up.HELLO, hello, lost)], NOON).counted == {}
    restored.begin_tag(1)
    db.session.commit()

    stored = store(
        [from_box(Up.HELLO, hello, lost), from_box(Up.HEALTH, health, other),
         from_box(Up.HELLO, a_hello(seq=2, serial=f"SN-{BOX}"))], NOON
    )  # fmt: skip

    assert set(stored.counted) == {lost, BOX}
    assert stored.counts["unknown-device"] == 1
    assert devices.get(lost).serial == "SN-7"
    assert "not taken back" not in caplog.text


@pytest.mark.parametrize(("seq", "counts"), [(1, 1), (2_147_483_647, 1), (2_147_483_648, 0)])
def test_a_sequence_number_counts_up_to_the_largest_that_a_row_holds(
    box: Flask, seq: int, counts: int
) -> None:
    stored = store([from_box(Up.HEALTH, a_health(seq=seq))], NOON)

    assert stored.counts["health"] == counts


@pytest.mark.parametrize(
    ("message_id", "refused"), [("a" * 32, True), ("A" * 32, False), ("a" * 31, False)]
)
def test_only_an_id_that_a_box_could_have_sent_is_refused_by_name(
    box: Flask, message_id: str, refused: bool, caplog: pytest.LogCaptureFixture
) -> None:
    payload = b'{"id":"%s"}' % message_id.encode()

    stored = store([Incoming(topics.up(BOX, Up.LOG), payload)], NOON)

    assert stored.refused == ({BOX: [message_id]} if refused else {})
    named = message_id if refused else "without id"
    assert f"refused message {named} of {BOX}: " in caplog.text


@pytest.mark.parametrize(("more_bytes", "is_named"), [(0, True), (1, False)])
def test_no_id_is_looked_for_in_what_is_too_long_to_be_a_message(
    box: Flask, more_bytes: int, is_named: bool
) -> None:
    start = b'{"id":"%s","x":"' % (b"a" * 32)
    payload = start.ljust(messages.UP_BYTES_MAX + more_bytes - 2, b"x") + b'"}'

    stored = store([Incoming(topics.up(BOX, Up.LOG), payload)], NOON)

    assert stored.refused == ({BOX: ["a" * 32]} if is_named else {})


def test_every_kind_that_a_box_sends_has_a_shape() -> None:
    assert set(SHAPES) == set(Up)
