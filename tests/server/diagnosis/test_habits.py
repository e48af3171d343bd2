"""What the rows say of a silent box's habit, of one box and of a model."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.diagnosis import habits
from oleada_server.diagnosis.darkness import Dark
from oleada_server.telemetry.models import HealthSample

from tests.support.fleet import add_device

NOW = datetime(2026, 3, 4, 3, 45, tzinfo=UTC)
HOUR = timedelta(hours=1)


def box(device_id: str, last: datetime, hours: range, days: int = 21, **columns: Any) -> Device:
    """Return a box that was heard in these hours of each day until *last*."""
    found = add_device(device_id, serial=device_id, zone="UTC", last_seen_at=last, **columns)
    first = last.replace(minute=20) - timedelta(days=days)
    every = [first + n * HOUR for n in range(days * 24)]
    rows = [
        {"device_id": device_id, "boot": "00000001-0badc0de", "seq": n, "version": "1",
         "parameters": {}, "box_at": at, "received_at": at}
        for n, at in enumerate(every) if at.hour in hours and at <= last
    ]  # fmt: skip
    db.session.execute(db.insert(HealthSample), rows)
    db.session.commit()
    return found


@pytest.fixture
def boxes(app: Flask) -> dict[str, Device]:
    """Boxes that are silent at night: as ever, for once, and hardly known; and one that is not."""
    night, lately = NOW - timedelta(hours=5), NOW - 3 * HOUR
    return {
        "usual": box("VX410SSSSSS1", night, range(17, 23)),
        "missed": box("VX410SSSSSS2", lately, range(24)),
        "unknown": box("VX410SSSSSS3", lately, range(24), days=1),
        "heard": box("VX410SSSSSS4", NOW - timedelta(minutes=3), range(24)),
        "another": box("VX420SSSSSS5", lately, range(24), model="VX-420"),
    }


@pytest.mark.parametrize("name", ["usual", "missed", "unknown", "heard"])
def test_the_silence_of_a_box_means_what_its_habit_says(
    boxes: dict[str, Device], name: str
) -> None:
    assert habits.of_box(boxes[name], NOW) is Dark(name)


def test_a_box_that_was_never_heard_has_no_habit(app: Flask) -> None:
    assert habits.of_box(add_device("VX410SSSSSS9"), NOW) is Dark.UNKNOWN


def test_silent_boxes_of_a_model_are_counted_by_what_their_silence_means(
    boxes: dict[str, Device],
) -> None:
    found = habits.of_model("VX-410", NOW)

    assert (found.boxes, found.judged) == (3, 3)
    assert found.counts == {Dark.USUAL: 1, Dark.MISSED: 1, Dark.UNKNOWN: 1}
    assert habits.of_model(None, NOW).boxes == 4


def test_of_many_silent_boxes_a_sample_is_judged(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(habits, "SAMPLE_BOXES", 3)
    for number in range(5):
        add_device(f"VX410TTTTT{number}0", serial=f"T{number}", last_seen_at=NOW - 2 * HOUR)

    found = habits.of_model(None, NOW)

    assert (found.boxes, found.judged) == (5, 3)
