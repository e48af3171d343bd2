"""What is known of a box becomes facts: reported, risen, answered; pure."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from oleada_server.diagnosis import derived
from oleada_server.diagnosis.derived import HDMI, STANDBY, STB, STREAM, Sample

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
BOX = "VX417Q3K0928"
UNDERRUNS = f"{STREAM}Total.DejitteringStats.Underruns"
SIGNAL = "Device.WiFi.EndPoint.1.Stats.SignalStrength"


def samples(*values: Any, step: timedelta = 10 * MINUTE) -> list[Sample]:
    return [Sample(NOON + n * step, "b", {UNDERRUNS: value}) for n, value in enumerate(values)]


def asleep() -> list[Sample]:
    sleeping = {STANDBY: True}
    return [replace(one, parameters={**one.parameters, **sleeping}) for one in samples(3, 9)]


def test_a_counter_says_how_much_it_rose_over_restarts_too() -> None:
    assert derived.risen(samples(3, 8, 8, 2, 4), [UNDERRUNS])[f"hour:{UNDERRUNS}"].value == 9


@pytest.mark.parametrize(
    "found",
    [
        samples(),
        samples(3),
        samples(3, 9, step=MINUTE),
        samples("many", None, True),
        asleep(),
    ],
    ids=["no sample", "one", "too close together", "no numbers", "asleep"],
)
def test_where_nothing_can_be_said_of_an_hour_there_is_no_fact(found: list[Sample]) -> None:
    assert derived.risen(found, [UNDERRUNS]) == {}


def test_memory_heat_and_resolution_follow_from_what_a_box_reports() -> None:
    found = derived.reported(
        {
            "Device.DeviceInfo.MemoryStatus.Total": 1000,
            "Device.DeviceInfo.MemoryStatus.Free": 150,
            "Device.DeviceInfo.TemperatureStatus.TemperatureSensor.1.Value": 60,
            "Device.DeviceInfo.TemperatureStatus.TemperatureSensor.2.Value": 93,
            f"{HDMI}ResolutionValue": "2160p60",
            f"{HDMI}DisplayDevice.PreferredResolution": "1280x720",
        },
        NOON,
    )

    assert found["server:memory_used_percent"].value == 85
    assert found["server:hottest_c"].value == 93
    assert found["server:resolution_over_tv"].value is True


@pytest.mark.parametrize("lie", [0, -5, "x", True, None, 10**9])
def test_a_lie_of_a_box_is_no_fact_about_its_memory(lie: Any) -> None:
    parameters = {
        "Device.DeviceInfo.MemoryStatus.Total": lie, "Device.DeviceInfo.MemoryStatus.Free": 10**10
    }  # fmt: skip

    assert "server:memory_used_percent" not in derived.reported(parameters, NOON)


def test_what_an_action_read_of_the_box_is_newer_health() -> None:
    old = derived.reported({f"{STB}X_OLEADA_Ready": True, SIGNAL: -40}, NOON - MINUTE)
    found = derived.newer(
        old,
        derived.answered("media_status", {f"{STB}X_OLEADA_Ready": False}, NOON),
        derived.answered("hdmi_info", {"Components.HDMI.1.Status": "Error"}, NOON),
    )

    assert found[f"{STB}X_OLEADA_Ready"].value is False
    assert found[f"{HDMI}Status"].value == "Error"
    assert found[SIGNAL].value == -40


def test_a_scan_counts_who_shares_the_channel_of_the_own_network() -> None:
    values = {
        "WiFi.EndPoint.1.Stats.SignalStrength": -75,
        "Result.1.X_OLEADA_IsOwn": True, "Result.1.Channel": 6,
        "Result.2.X_OLEADA_IsOwn": False, "Result.2.Channel": 6,
        "Result.3.X_OLEADA_IsOwn": False, "Result.3.Channel": 11,
    }  # fmt: skip

    found = derived.answered("wifi_scan", values, NOON)

    assert found["result:wifi_scan:SameChannel"].value == 1
    assert found[SIGNAL].value == -75


def test_what_a_box_with_a_clock_behind_says_is_as_old_as_its_way_and_no_older() -> None:
    behind = {"X_OLEADA_ClockBehindFloor": True}
    days_ago = NOON - 36 * DAY

    assert derived.told_at(behind, days_ago, -36 * 86_400) == NOON
    assert derived.told_at({}, days_ago, -36 * 86_400) == days_ago, "it came late"
    assert derived.told_at(behind, days_ago, None) == days_ago


@pytest.mark.parametrize(
    ("cable", "radio", "is_on_wifi"),
    [("Up", "Enabled", False), ("Down", "Enabled", True), (None, "Enabled", True),
     ("Down", "Disabled", None), (None, None, None)],
)  # fmt: skip
def test_a_box_with_a_cable_is_not_on_wifi(cable: Any, radio: Any, is_on_wifi: Any) -> None:
    said = {derived.CABLE: cable, derived.RADIO: radio}
    parameters = {name: value for name, value in said.items() if value is not None}

    fact = derived.reported(parameters, NOON).get("server:on_wifi")

    assert (fact and fact.value) == is_on_wifi
