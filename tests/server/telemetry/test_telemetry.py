"""Telemetry: every message counts once, and nothing is kept for ever."""

from datetime import UTC, datetime, timedelta

from flask import Flask
from oleada_server.db import db
from oleada_server.telemetry import service
from oleada_server.telemetry.models import DeviceEvent, HealthSample
from oleada_wire.messages import Crash, Log
from sqlalchemy import func, select

from tests.support.fleet import a_header, a_health, add_device

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BOX = "VX417Q3K0928"


def _samples() -> int:
    return db.session.scalar(select(func.count()).select_from(HealthSample)) or 0


def test_a_health_message_that_comes_again_is_stored_once(app: Flask) -> None:
    add_device(BOX)
    first, second = a_health(seq=1), a_health(seq=2)

    service.record_health([(BOX, first), (BOX, second), (BOX, first)], NOON)
    service.record_health([(BOX, second)], NOON + timedelta(hours=1))
    db.session.commit()

    rows = db.session.scalars(select(HealthSample).order_by(HealthSample.seq)).all()
    assert [(row.seq, row.received_at) for row in rows] == [(1, NOON), (2, NOON)]
    assert rows[0].parameters == {"Device.DeviceInfo.UpTime": 60}


def test_an_event_is_kept_as_it_came_and_once(app: Flask) -> None:
    add_device(BOX)
    log = Log(header=a_header(seq=3), lines=("one", "two"))
    crash = Crash(a_header(seq=4), process_name="player", reason="SIGSEGV", firmware_version="1")

    for kind, message in (("log", log), ("crash", crash), ("log", log)):
        service.record_event(BOX, kind, message, NOON)
    db.session.commit()

    newest, oldest = service.events_of(BOX)
    assert (newest.kind, newest.body["process_name"]) == ("crash", "player")
    assert (oldest.kind, oldest.body) == ("log", {"lines": ["one", "two"]})


def test_what_is_too_old_goes_and_what_is_not_stays(app: Flask) -> None:
    add_device(BOX)
    service.record_health([(BOX, a_health(seq=1))], NOON - timedelta(days=31))
    service.record_health([(BOX, a_health(seq=2))], NOON - timedelta(days=29))
    log = Log(header=a_header(seq=3), lines=())
    service.record_event(BOX, "log", log, NOON - timedelta(days=91))
    db.session.commit()

    assert service.prune(NOON) == 2
    assert (_samples(), db.session.scalar(select(func.count(DeviceEvent.id)))) == (1, 0)


def test_many_old_rows_go_in_several_transactions(app: Flask) -> None:
    add_device(BOX)
    many = service.PRUNE_ROWS + 10
    service.record_health([(BOX, a_health(seq=n)) for n in range(1, many + 1)], NOON)
    db.session.commit()

    assert service.prune(NOON + timedelta(days=40)) == many
    assert _samples() == 0
