"""The page of a silent box says whether it is usually off at this hour of its week."""

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from oleada_server.devices.models import Device
from oleada_server.diagnosis.darkness import Dark
from oleada_server.web import device_view
from oleada_server.web.device_view import Wanted

NOW = datetime(2026, 3, 4, 3, 45, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
SILENT = Device(last_seen_at=NOW - timedelta(hours=5), connected=False)


@pytest.mark.parametrize(
    ("dark", "pill", "sentence"),
    [
        (Dark.USUAL, "Usually off at this hour", "It is usually off at this hour of its week."),
        (Dark.MISSED, "Silent", "By its habit it should have been heard by now."),
        (Dark.UNKNOWN, "Silent", "The broker has seen its connection end. Nothing waits for it."),
    ],
)
def test_a_silent_box_is_told_by_its_habit(
    empty_app: Flask, dark: Dark, pill: str, sentence: str
) -> None:
    nothing = Wanted(None, None, None)
    with empty_app.test_request_context("/"):
        contact = device_view.contact(SILENT, QUARTER, NOW, dark)
        verdict = device_view.verdict(SILENT, nothing, None, QUARTER, NOW, dark=dark)

    assert contact.word == pill
    assert str(verdict.text).startswith(sentence)
    assert verdict.kind == ("off" if dark is Dark.USUAL else "warn")
    assert contact.kind == verdict.kind


def test_a_session_is_a_hint_beside_the_habit(empty_app: Flask) -> None:
    held = Device(last_seen_at=NOW - timedelta(hours=5), connected=True)
    with empty_app.test_request_context("/"):
        verdict = device_view.verdict(
            held, Wanted(None, None, None), None, QUARTER, NOW, dark=Dark.USUAL
        )

    assert str(verdict.text) == (
        "It is usually off at this hour of its week. The broker has not seen its connection end. "
        "Nothing waits for it."
    )
