"""What a box does not tell: said as such, never as a dash; and nothing drawn across a gap."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.web import device_readings, device_series
from oleada_server.web.device_lanes import Axis, lanes
from sqlalchemy import update

from tests.web.sample import Sample

END = datetime(2026, 11, 19, 12, tzinfo=UTC)
HEAT = "Device.DeviceInfo.TemperatureStatus.TemperatureSensor.1.Value"
SignedIn = Callable[..., FlaskClient]


def tell(app: Flask, device_id: str, **values: Any) -> None:
    with app.app_context():
        db.session.execute(update(Device).where(Device.id == device_id).values(**values))
        db.session.commit()
        db.session.remove()


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_a_model_that_has_no_sensor_is_told_apart_from_a_box_that_said_nothing_yet(
    filled_app: Flask, signed_in: SignedIn
) -> None:
    sample: Sample = filled_app.extensions["test_sample"]
    without_sensor, silent = sample.device_ids[6], sample.device_ids[7]
    tell(filled_app, without_sensor, health={"Device.DeviceInfo.UpTime": 60})
    client = signed_in(filled_app)

    told = text_of(client.get(f"/devices/{without_sensor}").text)
    untold = text_of(client.get(f"/devices/{silent}").text)
    listed = client.get("/devices").text

    assert "Temperature not reported by this model" in told
    assert "Free storage not reported by this model" in told
    assert "Up 1 min" in told
    assert "not reported by this model" not in untold
    assert "Firmware not reported yet, since" in untold
    row = next(row for row in listed.split("<tr") if f"/devices/{without_sensor}" in row)
    assert text_of(row).count("not by this model") == 2
    assert "\u2013" not in text_of(listed.split("<tbody>")[1])


@pytest.mark.parametrize(("pause_min", "strokes"), [(15, 1), (90, 2)])
def test_a_curve_is_not_drawn_across_a_gap(pause_min: int, strokes: int) -> None:
    minutes = [*range(600, 660, 10), *range(650 + pause_min, 800, 10)]
    told = device_series.of_samples(
        (END - timedelta(minutes=minute), {HEAT: 60}) for minute in reversed(minutes)
    )

    found = lanes(told, (), (), Axis(END - timedelta(days=1), END, []))

    (heat,) = found.series
    assert heat.title == "Temperature"
    assert heat.line.path.count("M") == strokes
    assert len(found.heard) == strokes


def test_the_limit_stands_beside_its_line(filled_app: Flask, signed_in: SignedIn) -> None:
    sample: Sample = filled_app.extensions["test_sample"]

    page = signed_in(filled_app).get(f"/devices/{sample.device_ids[6]}").text

    assert ">over 89 °C</text>" in page
    assert "usual upper end of a television chip" in page, "and the table says who set it"


def test_what_another_box_of_the_model_reports_is_missing_on_this_box_alone(
    empty_app: Flask,
) -> None:
    def said(of_model: set[str]) -> dict[str, str]:
        found = device_readings.readings({"Device.DeviceInfo.UpTime": 60}, of_model)
        return {one.name: one.value for one in found.known}

    with empty_app.test_request_context("/"):
        told, first = said({HEAT, "Device.DeviceInfo.UpTime"}), said(set())

    assert told["Temperature"] == "not reported by this box"
    assert told["Free storage"] == "not reported by this model"
    assert first["Temperature"] == "not reported by this model"
    assert told["Up"] == "1\u00a0min"
