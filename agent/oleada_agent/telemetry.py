"""What the box feels, under the names of TR-181, in whole numbers.

A sensor that is not there is absent from the answer; it is never a zero that somebody
could take for a reading. Source: TR-181 2.x, DeviceInfo.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

UPTIME: Final = "Device.DeviceInfo.UpTime"
MEMORY_TOTAL: Final = "Device.DeviceInfo.MemoryStatus.Total"
MEMORY_FREE: Final = "Device.DeviceInfo.MemoryStatus.Free"
PERSISTENT_TOTAL: Final = "Device.DeviceInfo.MemoryStatus.TotalPersistent"
PERSISTENT_FREE: Final = "Device.DeviceInfo.MemoryStatus.FreePersistent"
PROCESSES: Final = "Device.DeviceInfo.ProcessStatus.ProcessNumberOfEntries"
TEMPERATURE: Final = "Device.DeviceInfo.TemperatureStatus.TemperatureSensor.{}.Value"
SENSOR_NAME: Final = "Device.DeviceInfo.TemperatureStatus.TemperatureSensor.{}.Name"
FREE_BYTES: Final = "X_OLEADA_FreeBytes"
TOTAL_BYTES: Final = "X_OLEADA_TotalBytes"
CLOCK_FLOOR: Final = "X_OLEADA_ClockBehindFloor"
SENSORS_MAX: Final = 16

Parameters = dict[str, bool | int | str]


def read(box: Path, machine: Path = Path("/")) -> Parameters:
    """Return every reading that this box can give now.

    Args:
        box: Its directory; free space is where its data lie, often a disk of its own.
        machine: Root of the file system with ``proc`` and ``sys``.
    """
    found: Parameters = {}
    for add in (_add_uptime, _add_memory, _add_processes, _add_temperatures):
        with suppress(OSError, ValueError, IndexError):
            add(machine, found)
    with suppress(OSError):
        disk = os.statvfs(_data_of(box))
        found[FREE_BYTES] = disk.f_bavail * disk.f_frsize
        found[TOTAL_BYTES] = disk.f_blocks * disk.f_frsize
        found[PERSISTENT_FREE] = disk.f_bavail * disk.f_frsize // 1024
        found[PERSISTENT_TOTAL] = disk.f_blocks * disk.f_frsize // 1024
    return found


def hottest_c(machine: Path = Path("/")) -> int | None:
    """Return the highest temperature in whole degrees Celsius, None without a sensor."""
    found: Parameters = {}
    with suppress(OSError, ValueError):
        _add_temperatures(machine, found)
    return max((value for value in found.values() if type(value) is int), default=None)


def free_bytes(box: Path, statvfs: Callable[[Path], os.statvfs_result] = os.statvfs) -> int | None:
    """Return the free space for the box's data, None when the disk does not say."""
    with suppress(OSError):
        disk = statvfs(_data_of(box))
        return disk.f_bavail * disk.f_frsize
    return None


def _data_of(box: Path) -> Path:
    """Return where the data of *box* lie; slots and boot control are elsewhere on hardware."""
    data = box / "data"
    return data if data.exists() else box


def _add_uptime(machine: Path, found: Parameters) -> None:
    text = (machine / "proc/uptime").read_text("ascii")
    found[UPTIME] = int(text.partition(".")[0])


def _add_memory(machine: Path, found: Parameters) -> None:
    lines = (machine / "proc/meminfo").read_text("ascii").splitlines()
    values = {name: rest.split()[0] for name, _, rest in (line.partition(":") for line in lines)}
    for path, name in ((MEMORY_TOTAL, "MemTotal"), (MEMORY_FREE, "MemAvailable")):
        if name in values:
            found[path] = int(values[name])


def _add_processes(machine: Path, found: Parameters) -> None:
    count = sum(name.isdigit() for name in os.listdir(machine / "proc"))
    if count:
        found[PROCESSES] = count


def _add_temperatures(machine: Path, found: Parameters) -> None:
    zones = sorted((machine / "sys/class/thermal").glob("thermal_zone*"))[:SENSORS_MAX]
    for number, zone in enumerate(zones, start=1):
        with suppress(OSError, ValueError):
            found[TEMPERATURE.format(number)] = int((zone / "temp").read_text("ascii")) // 1000
            found[SENSOR_NAME.format(number)] = (zone / "type").read_text("utf-8").strip()[:64]
