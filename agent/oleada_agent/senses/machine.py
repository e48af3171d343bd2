"""Processor, load and boots. Source: proc(5); TR-181 2.x, DeviceInfo."""

from pathlib import Path
from typing import Final

from oleada_wire.words import BootReason

from oleada_agent.booted import BootFacts

CPU: Final = "Device.DeviceInfo.ProcessStatus.CPUUsage"
LOAD: Final = "Device.DeviceInfo.ProcessStatus.X_OLEADA_Load"
BOOTS: Final = "Device.DeviceInfo.Reboots.BootCount"
LAST: Final = "Device.DeviceInfo.Reboots.Reboot.1."
CAUSES: Final = {
    BootReason.REBOOT: "RemoteReboot",
    BootReason.UPDATE: "RemoteReboot",
    BootReason.POWER_ON: "LocalReboot",
}
Parameters = dict[str, bool | int | str]


class Processor:
    """Says how busy the processor was since it was asked last."""

    def __init__(self) -> None:
        self._before: tuple[int, int] | None = None

    def read(self, machine: Path) -> Parameters:
        """Return the load and, from the second time on, the share in percent."""
        words = (machine / "proc/stat").read_text("ascii").partition("\n")[0].split()
        ticks = [int(word) for word in words[1:9]]
        now = (sum(ticks), ticks[3] + ticks[4])  # all of them; idle and waiting for the disk
        found: Parameters = {}
        if self._before is not None and (passed := now[0] - self._before[0]) > 0:
            idle = now[1] - self._before[1]
            found[CPU] = max(0, min(100, round(100 * (passed - idle) / passed)))
        self._before = now
        load = (machine / "proc/loadavg").read_text("ascii").split()[0]
        found[LOAD] = round(float(load) * 100)
        return found


def boots(facts: BootFacts) -> Parameters:
    """Return how often the box has started, and why it did so last."""
    found: Parameters = {
        BOOTS: facts.boot.count,
        f"{LAST}Reason": str(facts.reason),
        f"{LAST}FirmwareUpdated": facts.reason is BootReason.UPDATE,
    }
    if facts.reason in CAUSES:
        found[f"{LAST}Cause"] = CAUSES[facts.reason]
    return found
