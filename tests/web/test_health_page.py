"""The health of a model and of the fleet: the same figures, and what is not reported is no zero."""

from datetime import UTC, datetime

from flask import Flask
from oleada_server.diagnosis import figures, reading

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SIGNAL = "Device.WiFi.EndPoint.1.Stats.SignalStrength"


def test_each_sign_is_counted_over_the_boxes_that_report_it() -> None:
    boxes = [({SIGNAL: value}, NOON) for value in (-80, -50, -51)] + [({}, NOON)]

    found = figures.of_boxes(reading.library(), boxes)

    by_name = {one.sign.id: one for one in found.figures}
    assert found.boxes == 4
    assert (by_name["wifi-signal-low"].shows, by_name["wifi-signal-low"].reports) == (1, 3)
    assert by_name["muted"].share is None
    assert found.figures[0].sign.id == "wifi-signal-low", "the worst stands first"


def test_a_page_for_the_fleet_and_one_for_a_model_say_the_same_kind_of_figures(
    filled_app: Flask, signed_in: object
) -> None:
    client = signed_in(filled_app)  # type: ignore[operator]

    fleet = client.get("/health").text
    model = client.get("/health/VX-410").text

    assert "Health of the fleet" in fleet
    assert "Health of VX-410" in model
    assert "The Wi-Fi signal is weak" in fleet
    assert "Not reported by this model" in model


def test_the_page_says_what_the_silence_of_boxes_means(
    filled_app: Flask, signed_in: object
) -> None:
    text = signed_in(filled_app).get("/health").text  # type: ignore[operator]

    assert "should have been heard by now by their habit" in text
