"""Each kind of message reaches whoever keeps it."""

from dataclasses import replace

import pytest
from flask import Flask
from oleada_server.db import db
from oleada_server.devices import service as devices
from oleada_server.messaging.inbox import Incoming, Stored, store
from oleada_server.messaging.models import OutboxMessage
from oleada_server.telemetry.models import DeviceEvent, HealthSample
from oleada_wire import messages, topics
from oleada_wire.messages import Crash, LeaseRequest, Log, Message, Result
from oleada_wire.topics import Down, Up
from oleada_wire.words import LeasePhase, Phase, ResultStatus
from sqlalchemy import select

from tests.server.rollouts import fleet
from tests.server.rollouts.fleet import NOON
from tests.support.fleet import a_header, a_health, a_hello


@pytest.fixture
def box(sqlite_app: Flask) -> str:
    """The id of a box with an assignment."""
    (found,) = fleet.a_fleet(1)
    fleet.a_release()
    fleet.started(fleet.a_plan())
    return found


def sent(device_id: str, kind: Up, message: Message) -> Stored:
    """Store one message, and forget what the session holds of it."""
    stored = store([Incoming(topics.up(device_id, kind), messages.encode(message))], NOON)
    db.session.rollback()
    db.session.expire_all()
    return stored


def test_a_hello_reaches_the_device_and_its_rollout(box: str) -> None:
    assigned = fleet.told(box)
    assert assigned is not None

    sent(box, Up.HELLO, a_hello(version="1.0.1", assignment_seq=0))

    assert devices.get(box).version == "1.0.1"
    again = fleet.told(box)
    assert again is not None
    assert again.header.id != assigned.header.id, "a box that knows of nothing is told again"


def test_a_request_for_a_lease_is_answered(box: str) -> None:
    row = fleet.row_of(box)

    sent(box, Up.LEASE, LeaseRequest(a_header(), f"AS-{row.id}", row.attempt, LeasePhase.START))

    topic = db.session.scalars(select(OutboxMessage.topic)).all()
    assert topic == [topics.down(box, Down.LEASE)]


def test_a_report_moves_the_box(box: str) -> None:
    report = fleet.a_report(box, Phase.DOWNLOADING, done_bytes=500)

    sent(box, Up.REPORT, replace(report, header=a_header()))

    assert fleet.row_of(box).state == "downloading"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Up.RESULT, Result(a_header(), "c" * 32, ResultStatus.COMPLETE, "done")),
        (Up.LOG, Log(a_header(), ("one", "two"))),
        (Up.CRASH, Crash(a_header(), "player", "SIGSEGV", "1.0.0")),
    ],
)
def test_results_logs_and_crashes_are_kept_as_they_were_said(
    box: str, kind: Up, message: Message
) -> None:
    sent(box, kind, message)

    assert db.session.scalars(select(DeviceEvent.kind)).all() == [kind]


def test_health_is_a_sample_and_the_devices_newest_state(box: str) -> None:
    sent(box, Up.HEALTH, a_health(seq=3, uptime_s=77, version="1.0.7"))

    assert len(db.session.scalars(select(HealthSample)).all()) == 1
    assert devices.get(box).version == "1.0.7"
    assert devices.get(box).seq == 3
