"""Processor, load and memory, and when they are critical.

Source: proc(5); TR-181 2.x, DeviceInfo.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

CPU: Final = "Device.DeviceInfo.ProcessStatus.CPUUsage"
LOAD: Final = "Device.DeviceInfo.ProcessStatus.X_OLEADA_Load"
CORE: Final = "Device.DeviceInfo.ProcessStatus.CPU.1."
MONITOR: Final = "Device.DeviceInfo.MemoryStatus.MemoryMonitor."
CRITICAL: Final = "X_OLEADA_Critical"
"""The state after TR-181's event ``MemoryCriticalState!`` or ``CPUCriticalState!``."""
RISE: Final = 80
FALL: Final = 60
"""Percent; the defaults of TR-181's thresholds: critical from *rise* on, until below *fall*."""
FAULTS: Final = "sys/fs/pstore"
Parameters = dict[str, bool | int | str]


@dataclass(slots=True)
class Alarm:
    """Whether a share is critical; one that swings about a threshold does not flutter."""

    is_critical: bool = False

    def take(self, percent: int) -> bool:
        """Return whether it is, now that it is *percent*."""
        self.is_critical = percent >= (FALL if self.is_critical else RISE)
        return self.is_critical


class Memory:
    """Says how much of the memory is in use."""

    def __init__(self) -> None:
        self._alarm = Alarm()

    def read(self, machine: Path) -> Parameters:
        """Return the share in percent, and whether it is critical."""
        lines = (machine / "proc/meminfo").read_text("ascii").splitlines()
        sizes = {name: rest.split()[0] for name, _, rest in (one.partition(":") for one in lines)}
        total, free = int(sizes["MemTotal"]), int(sizes["MemAvailable"])
        percent = max(0, min(100, round(100 * (total - free) / total)))
        return {
            f"{MONITOR}MemUtilization": percent,
            f"{MONITOR}{CRITICAL}": self._alarm.take(percent),
        }


class Processor:
    """Says how busy the processor was since it was asked last."""

    def __init__(self) -> None:
        self._before: list[int] | None = None
        self._alarm = Alarm()

    def read(self, machine: Path) -> Parameters:
        """Return the load and, from the second time on, the share in percent."""
        words = (machine / "proc/stat").read_text("ascii").partition("\n")[0].split()
        ticks = [int(word) for word in words[1:9]]
        found: Parameters = {}
        if self._before is not None:
            found = self._between(
                [now - then for now, then in zip(ticks, self._before, strict=True)]
            )
        self._before = ticks
        load = (machine / "proc/loadavg").read_text("ascii").split()[0]
        found[LOAD] = round(float(load) * 100)
        return found

    def _between(self, ticks: list[int]) -> Parameters:
        """Return the shares of *ticks*: user, nice, system, idle, iowait, irq, softirq, steal."""
        passed = sum(ticks)
        if passed <= 0:
            return {}
        busy = _percent(passed - ticks[3] - ticks[4], passed)
        return {
            CPU: busy,
            f"{CORE}UserModeUtilization": _percent(ticks[0] + ticks[1], passed),
            f"{CORE}SystemModeUtilization": _percent(sum(ticks[2:3] + ticks[5:]), passed),
            f"{CORE}{CRITICAL}": self._alarm.take(busy),
        }


def kernel_faults(machine: Path = Path("/")) -> list[str]:
    """Return the names of what the kernel has left behind when it failed (pstore)."""
    folder = machine / FAULTS
    if not folder.is_dir():
        return []
    return sorted(one.name for one in folder.iterdir() if one.name.startswith("dmesg-"))


def _percent(part: int, whole: int) -> int:
    return max(0, min(100, round(100 * part / whole)))
