"""How often this box has started, and why the last times: ``data/boots.json``.

Written once a boot. A file that can not be read begins anew, and a disk that refuses costs
the counts of this boot: nothing is decided by them.
Source: TR-181 2.x, DeviceInfo.Reboots, KernelFaults and ProcessFaults.
"""

import json
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from oleada_wire.words import BootReason

from oleada_agent.booted import BootFacts
from oleada_agent.errors import StorageError
from oleada_agent.journal import write_whole
from oleada_agent.ports import Disk

FILE: Final = "data/boots.json"
FILE_BYTES_MAX: Final = 16 * 1024
REBOOTS_MAX: Final = 5
"""That are told of, the newest first."""
FAULTS_MAX: Final = 16
"""Of the kernel, whose names are remembered so that none counts twice."""
Parameters = dict[str, bool | int | str]

_REBOOTS: Final = "Device.DeviceInfo.Reboots."
_CAUSES: Final = {
    BootReason.REBOOT: "RemoteReboot",
    BootReason.UPDATE: "RemoteReboot",
    BootReason.POWER_ON: "LocalReboot",
}


@dataclass(frozen=True, slots=True)
class Boots:
    """What is known of this box's starts.

    Attributes:
        boot: The newest of them.
        version: That it ran; the counts of *current*, and of faults, begin with another one.
        reboots: Time (UTC ms by the box's clock) and reason of the newest, newest first.
        kernel_faults: Names of what the kernel has left behind, as they were seen.
        kernel_new, process_new: Faults that the boot before *boot* ended with.
    """

    boot: str = ""
    version: str = ""
    current: int = 0
    watchdog: int = 0
    cold: int = 0
    warm: int = 0
    reboots: tuple[tuple[int, str], ...] = ()
    kernel_faults: tuple[str, ...] = ()
    kernel_new: int = 0
    kernel_total: int = 0
    process_new: int = 0
    process_total: int = 0


def after(known: Boots, facts: BootFacts, faults: Sequence[str], now_ms: int) -> Boots:
    """Return what is known after the start *facts*; *known* itself if it is no new one.

    Args:
        faults: Names of what the kernel has left behind.
    """
    if known.boot == str(facts.boot):
        return known
    is_same = known.version == facts.version
    is_cold = facts.reason is BootReason.POWER_ON
    fresh = len(set(faults) - set(known.kernel_faults))
    bitten = int(facts.after_watchdog)
    return Boots(
        boot=str(facts.boot),
        version=facts.version,
        current=known.current + 1 if is_same else 1,
        watchdog=known.watchdog + bitten,
        cold=known.cold + is_cold,
        warm=known.warm + (not is_cold),
        reboots=((now_ms, str(facts.reason)), *known.reboots)[:REBOOTS_MAX],
        kernel_faults=tuple(sorted(faults)[:FAULTS_MAX]),
        kernel_new=fresh,
        kernel_total=(known.kernel_total if is_same else 0) + fresh,
        process_new=bitten,
        process_total=(known.process_total if is_same else 0) + bitten,
    )


def remember(disk: Disk, facts: BootFacts, faults: Sequence[str], now_ms: int) -> Boots:
    """Return what is known after the start *facts*, and keep it."""
    known = _load(disk)
    found = after(known, facts, faults, now_ms)
    if found is not known:
        body = json.dumps(asdict(found)).encode()
        with suppress(StorageError):
            write_whole(disk, FILE, b"%08x\n%b" % (zlib.crc32(body), body))
    return found


def parameters(found: Boots, facts: BootFacts) -> Parameters:
    """Return *found* under the standard's names; the boots are counted by the boot program."""
    said: Parameters = {
        f"{_REBOOTS}BootCount": facts.boot.count,
        f"{_REBOOTS}CurrentVersionBootCount": found.current,
        f"{_REBOOTS}WatchdogBootCount": found.watchdog,
        f"{_REBOOTS}ColdBootCount": found.cold,
        f"{_REBOOTS}WarmBootCount": found.warm,
        "Device.DeviceInfo.KernelFaults.PreviousBootCount": found.kernel_new,
        "Device.DeviceInfo.KernelFaults.LastUpgradeCount": found.kernel_total,
        "Device.DeviceInfo.ProcessFaults.PreviousBootCount": found.process_new,
        "Device.DeviceInfo.ProcessFaults.LastUpgradeCount": found.process_total,
    }
    for number, (at_ms, reason) in enumerate(found.reboots, start=1):
        place = f"{_REBOOTS}Reboot.{number}."
        said[f"{place}TimeStamp"] = at_ms
        said[f"{place}Reason"] = reason
        said[f"{place}FirmwareUpdated"] = reason == BootReason.UPDATE
        cause = next((word for one, word in _CAUSES.items() if one == reason), None)
        if cause is not None:
            said[f"{place}Cause"] = cause
    return said


def _load(disk: Disk) -> Boots:
    with suppress(StorageError, ValueError, KeyError, TypeError, RecursionError):
        if disk.exists(FILE):
            crc, _, body = disk.read(FILE, 0, FILE_BYTES_MAX).partition(b"\n")
            if int(crc, 16) == zlib.crc32(body):
                return _read(json.loads(body))
    return Boots()


def _read(found: dict[str, Any]) -> Boots:
    known = Boots(**found)
    reboots = tuple((int(at_ms), str(reason)) for at_ms, reason in known.reboots)
    return replace(known, reboots=reboots, kernel_faults=tuple(map(str, known.kernel_faults)))
