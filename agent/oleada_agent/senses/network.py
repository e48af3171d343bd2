"""Cable, Wi-Fi and storage, as /sys and /proc have them. Never a name or an address.

Source: sysfs-class-net; /proc/net/wireless; JEDEC eMMC 5.1 (PRE_EOL_INFO, life time);
TR-181 2.x (Ethernet, WiFi), TR-140 (StorageService).
"""

from contextlib import suppress
from pathlib import Path
from typing import Final

CABLE: Final = "Device.Ethernet.Interface.1."
RADIO: Final = "Device.WiFi.EndPoint.1."
MEDIUM: Final = "Device.Services.StorageService.1.PhysicalMedium.1."
ETHERNET_TYPE: Final = "1"
STATUS: Final = {"up": "Up", "down": "Down", "dormant": "Dormant", "lowerlayerdown": "Down"}
SECTOR_BYTES: Final = 512
SENT_MIN: Final = 100
"""Packets: of fewer nobody can say how many of 100 went again."""
HEALTH: Final = {1: "OK", 2: "Failing", 3: "Error"}
"""eMMC's PRE_EOL_INFO: normal, warning, urgent."""
ONLINE: Final = {"running": "Online", "live": "Online", "offline": "Offline"}
"""Of SCSI and NVMe, which say it; TR-140's words."""
DISKS: Final = ("mmcblk0", "mmcblk1", "nvme0n1", "sda", "vda")
Parameters = dict[str, bool | int | str]


def cable(machine: Path) -> Parameters:
    """Return the state of the first interface with a plug."""
    for place in _interfaces(machine):
        is_real = (place / "device").exists() and not (place / "wireless").exists()
        if is_real and _text(place / "type") == ETHERNET_TYPE:
            return _of_cable(place)
    return {}


def radio(machine: Path) -> Parameters:
    """Return the state of the first interface with an antenna."""
    name = next((one.name for one in _interfaces(machine) if (one / "wireless").exists()), None)
    if name is None:
        return {}
    state = STATUS.get(_text(machine / "sys/class/net" / name / "operstate"), "Unknown")
    found: Parameters = {f"{RADIO}Status": "Enabled" if state == "Up" else "Disabled"}
    for line in (machine / "proc/net/wireless").read_text("ascii").splitlines()[2:]:
        words = line.replace(":", " ").split()
        if words and words[0] == name:
            level = int(words[3].rstrip("."))
            if -200 <= level < 0:
                found[f"{RADIO}Stats.SignalStrength"] = level
    return found


class Air:
    """Says how many of the last 100 packets went over the air again since it was asked last.

    The kernel counts for ever, in /proc/net/wireless and beside the interface; TR-181 wants
    a share of what was sent lately. Too few packets say nothing.
    """

    def __init__(self) -> None:
        self._before: tuple[int, int] | None = None

    def read(self, machine: Path) -> Parameters:
        """Return the share from the second time on; nothing without an antenna."""
        now = _sent(machine)
        before, self._before = self._before, now
        if now is None or before is None:
            return {}
        again, sent = now[0] - before[0], now[1] - before[1]
        if again < 0 or sent < SENT_MIN:
            return {}
        return {f"{RADIO}Stats.Retransmissions": min(100, round(100 * again / sent))}


def _sent(machine: Path) -> tuple[int, int] | None:
    """Return how many packets went again, and how many went, since the interface is there."""
    for place in _interfaces(machine):
        if not (place / "wireless").exists():
            continue
        for line in (machine / "proc/net/wireless").read_text("ascii").splitlines()[2:]:
            words = line.replace(":", " ").split()
            if words and words[0] == place.name:
                return int(words[8]), int(_text(place / "statistics/tx_packets"))
    return None


def storage(machine: Path) -> Parameters:
    """Return how large the box's disk is, and how worn."""
    for name in DISKS:
        place = machine / "sys/block" / name
        if not (place / "size").exists():
            continue
        size_bytes = int(_text(place / "size")) * SECTOR_BYTES
        found: Parameters = {f"{MEDIUM}Capacity": size_bytes // 1_000_000}
        with suppress(OSError):
            found[f"{MEDIUM}Status"] = ONLINE.get(_text(place / "device/state"), "Error")
        with suppress(OSError, ValueError):
            health = HEALTH.get(int(_text(place / "device/pre_eol_info"), 16))
            if health:
                found[f"{MEDIUM}Health"] = health
            used = max(int(word, 16) for word in _text(place / "device/life_time").split())
            found[f"{MEDIUM}SMART.SparesRemaining"] = max(0, 110 - 10 * used) if used else 100
        return found
    return {}


def _of_cable(place: Path) -> Parameters:
    found: Parameters = {
        f"{CABLE}Status": STATUS.get(_text(place / "operstate"), "Unknown"),
    }
    with suppress(OSError, ValueError):
        speed = int(_text(place / "speed"))
        if speed > 0:
            found[f"{CABLE}CurrentBitRate"] = speed
    with suppress(OSError):
        duplex = _text(place / "duplex")
        if duplex in ("half", "full"):
            found[f"{CABLE}CurrentDuplexMode"] = duplex.capitalize()
    for name, file in (
        ("BytesReceived", "rx_bytes"),
        ("BytesSent", "tx_bytes"),
        ("ErrorsReceived", "rx_errors"),
        ("ErrorsSent", "tx_errors"),
    ):
        with suppress(OSError, ValueError):
            found[f"{CABLE}Stats.{name}"] = int(_text(place / "statistics" / file))
    return found


def _interfaces(machine: Path) -> list[Path]:
    return sorted((machine / "sys/class/net").iterdir())


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(4096).decode("ascii", "replace").strip()
