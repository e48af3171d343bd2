"""What the server knows of a box, from results to complaints, and the verdict that follows."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from oleada_server.actions import answers
from oleada_server.actions.models import ActionOrder
from oleada_server.actions.service import Wish, order
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.diagnosis import reading, service
from oleada_server.diagnosis.models import Complaint
from oleada_server.errors import BadInputError
from oleada_server.telemetry.models import HealthSample
from sqlalchemy import select

from tests.server.actions.orders import a_person, a_result
from tests.support.fleet import add_device

pytestmark = pytest.mark.usefixtures("sqlite_app")
NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
BOX = "VX417Q3K0928"
SIGNAL = "Device.WiFi.EndPoint.1.Stats.SignalStrength"


def a_box(device_id: str = BOX, **columns: Any) -> Device:
    said: dict[str, Any] = {
        "region": "Madrid", "version": "5.8.1", "last_seen_at": NOON, "reads_actions": True,
        "serial": f"SN-{device_id}", **columns,
    }  # fmt: skip
    return add_device(device_id, **said)


def facts(symptom: str = "buffering", channel: str = "") -> dict[str, Any]:
    device = db.session.get_one(Device, BOX)
    found = service.gather(reading.library(), device, symptom, NOON, channel)
    return {name: fact.value for name, fact in found.items()}


def test_a_weak_signal_is_named_with_the_sentence_to_say() -> None:
    a_box(
        health={SIGNAL: -82, "Device.WiFi.EndPoint.1.Stats.Retransmissions": 40},
        health_at=NOON,
    )

    verdict = service.diagnose(BOX, "buffering", {}, NOON)

    assert verdict.likely[0].cause.id == "wifi-weak"
    assert "cable" in verdict.likely[0].cause.say


def test_nobody_is_blamed_for_what_the_whole_region_has() -> None:
    a_box(health={SIGNAL: -55}, health_at=NOON)
    for n in range(30):
        a_box(f"AAAA000000{n:02d}", region="Madrid" if n < 4 else "Praha")
    for n in range(3):
        service.complain(f"AAAA000000{n:02d}", "buffering", "", actor="user:x", now=NOON - MINUTE)

    found = facts()
    verdict = service.diagnose(BOX, "buffering", {}, NOON)

    assert found["server:scope.region"] is True
    assert "server:scope.firmware" not in found, "they all run it, so it tells nothing"
    assert verdict.causes[0].cause.id == "region-trouble"


def test_one_complaint_of_one_box_is_one_within_an_hour() -> None:
    a_box()

    assert service.complain(BOX, "no-sound", " Uno ", actor="user:x", now=NOON)
    assert service.complain(BOX, "no-sound", "Uno", actor="user:x", now=NOON) is None
    assert service.complain(BOX, "no-sound", "Uno", actor="user:x", now=NOON + 61 * MINUTE)
    assert service.complain(BOX, "unsaid", "", actor="user:x", now=NOON) is None
    with pytest.raises(BadInputError, match="at most 40"):
        service.complain(BOX, "no-sound", "x" * 41, actor="user:x", now=NOON)

    assert service.prune(NOON + 90 * DAY + MINUTE) == 1
    assert len(db.session.scalars(select(Complaint)).all()) == 1


def test_three_boxes_that_miss_one_channel_are_the_channel() -> None:
    a_box()
    for n in range(20):
        a_box(f"AAAA000000{n:02d}")
    for n in range(3):
        service.complain(f"AAAA000000{n:02d}", "no-picture", "Uno", actor="user:x", now=NOON)

    assert facts("no-picture", "Uno")["server:scope.channel"] is True
    assert "server:scope.channel" not in facts("no-picture", "")


def test_a_box_that_was_dark_for_weeks_is_known_as_such() -> None:
    a_box(boot_count=7, boot_nonce="0badc0de")
    for boot, at in (("00000006-0badc0de", NOON - 30 * DAY), ("00000007-0badc0de", NOON)):
        db.session.add(
            HealthSample(
                device_id=BOX, boot=boot, seq=1, version="5.8.1", parameters={}, box_at=at,
                received_at=at,
            )
        )  # fmt: skip
    db.session.commit()

    assert facts()["server:dark_days_before_boot"] == 30


def test_the_result_of_a_check_moves_the_verdict() -> None:
    a_box()
    before = service.diagnose(BOX, "no-picture", {}, NOON)
    made = order(Wish(BOX, "hdmi_info", {}, "no picture"), a_person(), NOON)
    values = {"Components.HDMI.1.DisplayDevice.Status": "None"}
    assert isinstance(made, ActionOrder)
    answers.record_result(BOX, a_result(made.id, values=values), NOON)
    db.session.commit()
    db.session.expire_all()

    after = service.diagnose(BOX, "no-picture", {}, NOON + MINUTE)

    assert "tv-not-connected" not in [one.cause.id for one in before.likely]
    assert after.likely[0].cause.id == "tv-not-connected"


def test_what_the_desk_was_told_counts() -> None:
    a_box()

    verdict = service.diagnose(BOX, "channel-missing", {"in-package": False}, NOON)

    assert verdict.likely[0].cause.id == "not-subscribed"
