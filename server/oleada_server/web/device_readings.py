"""The newest readings of one box in words; what it does not tell is told as such, never as zero.

Whether a model has a reading is known from every box of it that ever reported one
(``diagnosis/rolling.py``): a missing value is of the model, or of this box alone.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from oleada_wire.readings import field_of

from oleada_server.diagnosis.derived import HDMI, MEMORY, STANDBY, STB
from oleada_server.web import health, words
from oleada_server.web.words import gettext

SENSOR: Final = re.compile(
    r"Device\.DeviceInfo\.TemperatureStatus\.TemperatureSensor\.(\d+)\.Value"
)
_SENSOR_NAME: Final = re.compile(
    r"Device\.DeviceInfo\.TemperatureStatus\.TemperatureSensor\.\d+\.Name"
)
UPTIME: Final = "Device.DeviceInfo.UpTime"
SIGNAL: Final = "Device.WiFi.EndPoint.1.Stats.SignalStrength"
CABLE: Final = "Device.Ethernet.Interface.1.CurrentBitRate"
DRM: Final = f"{STB}Components.DRM.1.Status"


@dataclass(frozen=True, slots=True)
class Reading:
    """One health parameter: its name in words, its value in a unit, its TR-181 path."""

    name: str
    value: str
    path: str
    is_odd: bool = False


@dataclass(frozen=True, slots=True)
class Readings:
    """What people know by name, those that are missing among them, and all others by path."""

    known: list[Reading]
    others: list[Reading]


def readings(parameters: Mapping[str, Any] | None, of_model: Collection[str]) -> Readings:
    """Return every health parameter of a box; *of_model* are those its model ever reported.

    Without any, nothing has been put together by the hour yet: a box sends all that its model
    has, so what is missing counts as not reported by the model.
    """
    found = parameters or {}
    shown = [_reading(path, value) for path, value in found.items() if not _is_sensor_name(path)]
    known = [one for one in shown if one.name != one.path]
    if found:
        known += _missing(found, of_model)
    return Readings(
        sorted(known, key=lambda one: (not one.path, one.name, one.path)),
        sorted((one for one in shown if one.name == one.path), key=lambda one: one.path),
    )


def _missing(found: Mapping[str, Any], of_model: Collection[str]) -> list[Reading]:
    missing = []
    for name, is_of in _expected().items():
        if any(is_of.fullmatch(path) for path in found):
            continue
        is_of_model = any(is_of.fullmatch(path) for path in of_model)
        why = gettext("not reported by this box") if is_of_model else None
        missing.append(Reading(name, why or gettext("not reported by this model"), ""))
    return missing


def _expected() -> dict[str, re.Pattern[str]]:
    """Return the parameters that people look for, by name."""
    return {
        gettext("Temperature"): SENSOR,
        gettext("Free memory"): re.compile(re.escape(f"{MEMORY}Free")),
        gettext("Free storage"): re.compile("X_OLEADA_FreeBytes"),
        gettext("Up"): re.compile(re.escape(UPTIME)),
        gettext("Wi-Fi signal"): re.compile(re.escape(SIGNAL)),
        gettext("Network cable"): re.compile(re.escape(CABLE)),
        gettext("HDMI output"): re.compile(re.escape(f"{HDMI}Status")),
        gettext("DRM"): re.compile(re.escape(DRM)),
    }


def _reading(path: str, value: object) -> Reading:
    sensor = SENSOR.fullmatch(path)
    if sensor and _is_number(value):
        is_hot = float(str(value)) >= health.HOT_C
        name = gettext("Temperature, sensor %(n)s", n=sensor[1])
        return Reading(name, f"{words.number(float(str(value)))} °C", path, is_hot)
    known = {
        UPTIME: gettext("Up"),
        f"{MEMORY}Total": gettext("Memory"),
        f"{MEMORY}Free": gettext("Free memory"),
        "Device.DeviceInfo.ProcessStatus.ProcessNumberOfEntries": gettext("Processes"),
        "Device.DeviceInfo.ProcessStatus.CPUUsage": gettext("Processor"),
        "X_OLEADA_FreeBytes": gettext("Free storage"),
        "X_OLEADA_TotalBytes": gettext("Storage"),
        "X_OLEADA_ClockBehindFloor": gettext("Clock behind what is possible"),
        "X_OLEADA_DroppedMessages": gettext("Messages dropped for lack of room"),
        SIGNAL: gettext("Wi-Fi signal"),
        "Device.WiFi.EndPoint.1.Stats.Retransmissions": gettext("Wi-Fi retries"),
        CABLE: gettext("Network cable"),
        f"{HDMI}Status": gettext("HDMI output"),
        f"{HDMI}ResolutionValue": gettext("Picture"),
        f"{HDMI}DisplayDevice.Name": gettext("TV"),
        DRM: gettext("DRM"),
        f"{STB}Components.CA.1.Status": gettext("Conditional access"),
        f"{STB}Components.AudioOutput.1.Status": gettext("Sound"),
        f"{STB}X_OLEADA_Ready": gettext("Media player ready"),
        STANDBY: gettext("In standby"),
    }
    return Reading(known.get(path, path), _value(path, value), path)


def _value(path: str, value: object) -> str:
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if not isinstance(value, int):
        return str(value)
    if path == UPTIME:
        return words.duration(timedelta(seconds=min(value, 10**9)))
    if path.startswith(MEMORY):
        return words.size(value * 1000)  # TR-181 counts memory in kilobytes
    if path in {"X_OLEADA_FreeBytes", "X_OLEADA_TotalBytes"}:
        return words.size(value)
    field = field_of(path)
    unit = field.unit if field is not None else ""
    return f"{words.number(value)} {unit}" if unit in SHOWN_UNITS else words.number(value)


SHOWN_UNITS: Final = frozenset({"dBm", "%", "°C", "ms", "s", "kbit/s", "Mbit/s", "dB"})


def _is_sensor_name(path: str) -> bool:
    return _SENSOR_NAME.fullmatch(path) is not None


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
