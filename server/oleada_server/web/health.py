"""What a box's health says, for a line of a table; parameters by TR-181 path."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

UPTIME: Final = "Device.DeviceInfo.UpTime"
_TEMPERATURE: Final = re.compile(
    r"Device\.DeviceInfo\.TemperatureStatus\.TemperatureSensor\.\d+\.Value"
)
HOT_C: Final = 90  # usual upper end of a television chip's commercial range


@dataclass(frozen=True, slots=True)
class Vitals:
    """The few figures of a line; None where the box does not report it.

    *uptime_s* in seconds, *temperature_c* of the hottest sensor, *free_bytes* of storage.
    """

    uptime_s: int | None
    temperature_c: int | None
    free_bytes: int | None

    @property
    def uptime(self) -> timedelta:
        """Return *uptime_s* as a span; none counts as nothing."""
        return timedelta(seconds=self.uptime_s or 0)

    @property
    def is_hot(self) -> bool:
        """Return whether the chip is hotter than it should be."""
        return self.temperature_c is not None and self.temperature_c >= HOT_C


def vitals(parameters: dict[str, Any] | None) -> Vitals:
    """Return the figures in *parameters*; what is not a whole number is not shown."""
    found = parameters or {}
    hot = [_whole(value) for path, value in found.items() if _TEMPERATURE.fullmatch(path)]
    temperatures = [value for value in hot if value is not None]
    return Vitals(
        uptime_s=_whole(found.get(UPTIME)),
        temperature_c=max(temperatures, default=None),
        free_bytes=_whole(found.get("X_OLEADA_FreeBytes")),
    )


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
