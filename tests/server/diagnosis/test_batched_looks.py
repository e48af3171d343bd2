"""Looks that came in one message are of the hour in which they were taken."""

from datetime import UTC, datetime, timedelta

from flask import Flask
from oleada_server.db import db
from oleada_server.diagnosis import service
from oleada_server.telemetry import reading as telemetry
from oleada_server.telemetry.models import HealthSample
from oleada_server.web import device_series
from oleada_server.web.device_happened import usual_gap

from tests.support.fleet import add_device

NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BOX = "VX417Q3K0928"


def look(number: int, taken: datetime, received: datetime) -> None:
    db.session.add(
        HealthSample(
            device_id=BOX, boot="00000001-0badc0de", seq=number, version="1",
            parameters={"n": number}, box_at=taken, received_at=received,
        )
    )  # fmt: skip


def test_a_day_that_came_in_one_message_is_not_taken_for_an_hour(app: Flask) -> None:
    add_device(BOX)
    came = NOW - 10 * MINUTE
    for number in range(1, 25):
        look(number, came - (24 - number) * 60 * MINUTE, came)
    look(25, NOW - MINUTE, NOW - MINUTE)
    db.session.commit()

    found = service._samples(BOX, NOW)

    assert [one.parameters["n"] for one in found] == [24, 25]
    assert [one.at for one in found] == [came, NOW - MINUTE]


def test_looks_told_one_by_one_are_of_when_they_came(app: Flask) -> None:
    add_device(BOX)
    for number in range(1, 5):
        look(number, NOW - (5 - number) * 10 * MINUTE, NOW - (5 - number) * 10 * MINUTE)
    db.session.commit()

    assert len(service._samples(BOX, NOW)) == 4
    assert service._samples(BOX, NOW + 120 * MINUTE) == []


def test_the_timeline_of_a_day_that_came_in_one_message_is_a_day(app: Flask) -> None:
    add_device(BOX)
    ahead = timedelta(days=-20)  # its clock: it says how far looks are apart, and nothing else
    for number in range(24):
        look(number + 1, NOW + ahead - (23 - number) * 60 * MINUTE, NOW)
    db.session.commit()

    found = telemetry.told_by(BOX, NOW - timedelta(days=1))

    assert [at for at, _ in found] == [NOW - hours * 60 * MINUTE for hours in range(23, -1, -1)]
    assert [said["n"] for _, said in found] == list(range(1, 25))
    told = device_series.of_samples(found)
    assert usual_gap(told) > 60 * MINUTE
    assert usual_gap(told[:1]) == device_series.GAP_MIN
    later = telemetry.told_by(BOX, NOW - timedelta(hours=2))
    assert [said["n"] for _, said in later] == [23, 24], "what was taken before is not of the time"
