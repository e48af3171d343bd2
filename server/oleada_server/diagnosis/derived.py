"""Facts that follow from what a box reported: pure, no database.

What is missing stays missing: a share of nothing is no zero.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from oleada_server.diagnosis.shapes import Fact, Value

STB: Final = "Device.Services.STBService.1."
STANDBY: Final = f"{STB}X_OLEADA_Standby"
STREAM: Final = f"{STB}ServiceMonitoring.MainStream.1."
HDMI: Final = f"{STB}Components.HDMI.1."
MEMORY: Final = "Device.DeviceInfo.MemoryStatus."
CLOCK_BEHIND: Final = "X_OLEADA_ClockBehindFloor"
CABLE: Final = "Device.Ethernet.Interface.1.Status"
BIT_RATE: Final = "Device.Ethernet.Interface.1.CurrentBitRate"
DUPLEX: Final = "Device.Ethernet.Interface.1.CurrentDuplexMode"
BIT_RATE_MIN: Final = 100
"""Mbit/s."""
RADIO: Final = "Device.WiFi.EndPoint.1.Status"
REBOOTS: Final = "Device.DeviceInfo.Reboots."
SPAN_MIN: Final = timedelta(minutes=10)
"""Samples that lie closer together say nothing about an hour."""
_SENSOR: Final = re.compile(r"Device\.DeviceInfo\.TemperatureStatus\.TemperatureSensor\.\d+\.Value")
_LINES: Final = re.compile(r"(\d{3,4})\s*[xX]\s*(\d{3,4})|(\d{3,4})[pi]")


@dataclass(frozen=True, slots=True)
class Sample:
    """The parameters that a box reported *at* one time of boot *boot*."""

    at: datetime
    boot: str
    parameters: Mapping[str, Any]


def told_at(parameters: Mapping[str, Any], at: datetime, ahead_s: int | None) -> datetime:
    """Return when a box that wrote *at* on its message said it, by the server's clock.

    A box that knows its clock to be behind writes what is not true; how far it is off when
    its message comes is then no delay. Of every other box an old message is old.
    """
    is_wrong = parameters.get(CLOCK_BEHIND) is True and ahead_s is not None and ahead_s < 0
    return at - timedelta(seconds=ahead_s) if is_wrong and ahead_s is not None else at


def reported(parameters: Mapping[str, Any], at: datetime) -> dict[str, Fact]:
    """Return what a box said of itself at *at*, and what follows from it at once."""
    found = {name: Fact(value, at) for name, value in parameters.items() if _is_value(value)}
    more: dict[str, Value | None] = {
        "server:memory_used_percent": _memory_used(parameters),
        "server:hottest_c": _hottest(parameters),
        "server:resolution_over_tv": _is_over_tv(parameters),
        "server:on_wifi": _is_on_wifi(parameters),
        "server:cable_poor": _is_cable_poor(parameters),
    }
    return found | {name: Fact(value, at) for name, value in more.items() if value is not None}


def risen(samples: Sequence[Sample], names: Sequence[str]) -> dict[str, Fact]:
    """Return how much each counter of *names* rose over *samples*, oldest first.

    The samples are those of about an hour. A counter that fell has begun anew. Streams
    stand still in standby, which says nothing about them.
    """
    if not samples or samples[-1].at - samples[0].at < SPAN_MIN:
        return {}
    found = {}
    sleeps = any(one.parameters.get(STANDBY) is True for one in samples)
    for name in names:
        if sleeps and name.startswith(STREAM):
            continue
        rise = _rise([one.parameters.get(name) for one in samples])
        if rise is not None:
            found[f"hour:{name}"] = Fact(rise, samples[-1].at)
    return found


def answered(action: str, values: Mapping[str, Any], at: datetime) -> dict[str, Fact]:
    """Return the facts in the result of *action*, which ended *at*.

    What an action reads of the box under its own names is newer health.
    """
    found = {
        f"result:{action}:{name}": Fact(value, at)
        for name, value in values.items()
        if _is_value(value)
    }
    if action == "wifi_scan":
        same = _same_channel(values)
        if same is not None:
            found["result:wifi_scan:SameChannel"] = Fact(same, at)
        return found | reported(
            {f"Device.{name}": value for name, value in values.items() if name[:5] == "WiFi."}, at
        )
    if action == "hdmi_info":
        return found | reported({f"{STB}{name}": value for name, value in values.items()}, at)
    if action == "media_status":
        return found | reported(values, at)
    return found


def newer(*all_facts: Mapping[str, Fact]) -> dict[str, Fact]:
    """Return every fact of *all_facts*, the newest of each name."""
    found: dict[str, Fact] = {}
    for facts in all_facts:
        for name, fact in facts.items():
            if name not in found or found[name].at <= fact.at:
                found[name] = fact
    return found


def _is_value(value: object) -> bool:
    return isinstance(value, bool | int | float | str)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _memory_used(parameters: Mapping[str, Any]) -> int | None:
    total, free = _whole(parameters.get(f"{MEMORY}Total")), _whole(parameters.get(f"{MEMORY}Free"))
    if total is None or free is None or not 0 <= free <= total or not total:
        return None
    return round(100 * (total - free) / total)


def _hottest(parameters: Mapping[str, Any]) -> int | None:
    found = [_whole(value) for name, value in parameters.items() if _SENSOR.fullmatch(name)]
    return max((one for one in found if one is not None), default=None)


def _is_over_tv(parameters: Mapping[str, Any]) -> bool | None:
    shown = _lines(parameters.get(f"{HDMI}ResolutionValue"))
    liked = _lines(parameters.get(f"{HDMI}DisplayDevice.PreferredResolution"))
    return None if shown is None or liked is None else shown > liked


def _is_on_wifi(parameters: Mapping[str, Any]) -> bool | None:
    """Return whether the box has Wi-Fi and no cable; None if it tells of neither."""
    cable, radio = parameters.get(CABLE), parameters.get(RADIO)
    if cable == "Up":
        return False
    return True if radio == "Enabled" else None


def _is_cable_poor(parameters: Mapping[str, Any]) -> bool | None:
    """Return whether the cable is slow or half duplex; None without one, or if it says neither."""
    rate, duplex = _whole(parameters.get(BIT_RATE)), parameters.get(DUPLEX)
    if parameters.get(CABLE) != "Up" or (rate is None and duplex is None):
        return None
    return duplex == "Half" or (rate is not None and rate < BIT_RATE_MIN)


def _lines(value: object) -> int | None:
    """Return how many lines a resolution such as ``1080p60`` or ``1920x1080`` has."""
    found = _LINES.search(value) if isinstance(value, str) else None
    return int(found[2] or found[3]) if found else None


def _rise(values: Sequence[object]) -> int | None:
    numbers = [one for one in map(_whole, values) if one is not None]
    if len(numbers) < 2:
        return None
    return sum(
        after - before if after >= before else max(after, 0) for before, after in pairwise(numbers)
    )


def _same_channel(values: Mapping[str, Any]) -> int | None:
    """Return how many networks of others share the channel of the box's own."""
    numbers = {name.split(".")[1] for name in values if name.startswith("Result.")}
    own = next((n for n in numbers if values.get(f"Result.{n}.X_OLEADA_IsOwn") is True), None)
    channel = values.get(f"Result.{own}.Channel")
    if own is None or channel is None:
        return None
    return sum(1 for n in numbers - {own} if values.get(f"Result.{n}.Channel") == channel)
