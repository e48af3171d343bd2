"""What a box at home finds around it: a ``/proc``, ``/sys`` and ``/etc`` of its own.

The agent that ships reads them as on hardware; the lab writes them. ``/proc/self`` stays the
kernel's, everything else of ``/proc`` is a plain folder. Mounted in a namespace of the box,
so that nothing outside is touched. The room's ``bin`` comes first in PATH: it holds an ``iw``
that hears what the lab wrote.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOM: Final = """\
set -e
room="$1"; shift
mount --bind /proc "$room/kernel"
mount --bind "$room/etc" /etc
mount --bind "$room/sys" /sys
if [ -e "$room/small" ]; then
  mount -t tmpfs -o size="$(cat "$room/small")" oleada "$room/small-disk"
  cp -a "$room/box/data/." "$room/small-disk/"
  mount --bind "$room/small-disk" "$room/box/data"
fi
mount --bind "$room/proc" /proc
export OLEADA_LAB_CLOCK_FILE="$room/clock" PATH="$room/bin:$PATH"
exec "$@"
"""
IW: Final = """\
#!/bin/sh
case "$3" in link) cat "{room}/link" ;; *) cat "{room}/air" ;; esac
"""
PACKETS_PER_S: Final = 20
"""Sent over the air by a box that watches: acknowledgements, mostly."""
MAC: Final = "02:00:5e:{:02x}:{:02x}:{:02x}"
TICKS_PER_S: Final = 100
EMMC_BYTES: Final = 8_000_000_000
SECTOR_BYTES: Final = 512
MEMORY_KIB: Final = 1_048_576
LOADER_CACHE: Final = Path("/etc/ld.so.cache")


@dataclass(slots=True)
class Neighbour:
    """A network on the air: its own or somebody else's."""

    mhz: int
    signal_dbm: int
    is_own: bool = False


@dataclass(slots=True)
class Facts:
    """What is so in a home; the defaults are of a healthy one. ``write`` makes it visible.

    Attributes:
        busy_share: Of the processor since the last writing, 0 to 1.
        retries: Of 100 packets, how many go over the air again.
        has_heat, has_wear, has_iw: Whether this model can tell at all.
    """

    on_wifi: bool = True
    signal_dbm: int = -55
    retries: int = 0
    air: Sequence[Neighbour] = ()
    link: str = "up"
    speed: int = 1000
    duplex: str = "full"
    errors: int = 0
    busy_share: float = 0.3
    free_share: float = 0.5
    heat_c: int = 58
    pre_eol: int = 1
    worn: int = 2
    has_heat: bool = True
    has_wear: bool = True
    has_iw: bool = True
    uptime_s: int = 4_000
    processes: tuple[str, ...] = ("player", "launcher", "dbus-daemon", "iptv-guide")


@dataclass(slots=True)
class Surroundings:
    """The folders around one box.

    Args:
        room: An empty folder of its own.
        number: Names the box: its addresses come from it.
    """

    room: Path
    number: int
    facts: Facts = field(default_factory=Facts)
    _busy: int = 300
    _idle: int = 700
    _again: int = 0
    _sent: int = 0

    def make(self, names: str) -> None:
        """Lay the folders out; *names* is the box's own file of host names."""
        for folder in ("kernel", "proc", "sys", "etc/wpa_supplicant", "bin", "small-disk"):
            (self.room / folder).mkdir(parents=True)
        (self.room / "proc/self").symlink_to(self.room / "kernel/self")
        (self.room / "proc/thread-self").symlink_to(self.room / "kernel/thread-self")
        (self.room / "proc/mounts").symlink_to("self/mounts")
        etc = self.room / "etc"
        (etc / "hosts").write_text(names)
        (etc / "nsswitch.conf").write_text("hosts: files\n")
        (etc / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        (etc / "passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
        if LOADER_CACHE.exists():
            shutil.copy(LOADER_CACHE, etc)
        program = self.room / "bin/iw"
        program.write_text(IW.format(room=self.room))
        program.chmod(0o755)
        (self.room / "clock").write_text("0")
        self.write()

    def set_clock(self, wrong_ms: int) -> None:
        """Let the box's clock be wrong by so much, from now on."""
        beside = self.room / "clock.new"
        beside.write_text(str(wrong_ms))
        beside.replace(self.room / "clock")

    def shrink(self, size_bytes: int) -> None:
        """Let the data of the box lie on a disk of so many bytes, from its next start on."""
        (self.room / "small").write_text(str(size_bytes))

    def mac(self, last: int) -> str:
        """Return a hardware address of this box."""
        return MAC.format(self.number >> 8 & 255, self.number & 255, last)

    def write(self, passed_s: int = 60) -> None:
        """Let the box see the facts, *passed_s* seconds after the last time."""
        self._write_proc(passed_s)
        self._write_networks(passed_s)
        self._write_devices()

    def _write_proc(self, passed_s: int) -> None:
        facts, proc = self.facts, self.room / "proc"
        busy = round(passed_s * TICKS_PER_S * facts.busy_share)
        self._busy += busy
        self._idle += passed_s * TICKS_PER_S - busy
        facts.uptime_s += passed_s
        used = (1 - facts.free_share) * MEMORY_KIB
        _put(proc / "stat", f"cpu  {self._busy} 0 0 {self._idle} 0 0 0 0 0 0\n")
        _put(proc / "loadavg", f"{facts.busy_share * 4:.2f} 1.00 1.00 1/90 900\n")
        _put(proc / "uptime", f"{facts.uptime_s}.00 100.00\n")
        _put(
            proc / "meminfo",
            f"MemTotal: {MEMORY_KIB} kB\nMemFree: 9000 kB\n"
            f"MemAvailable: {MEMORY_KIB - round(used)} kB\n",
        )
        for pid, name in enumerate(facts.processes, start=200):
            ticks = round(self._busy / (pid - 198))
            rest = f"S 1 1 1 0 -1 0 0 0 0 0 {ticks} 50 0 0 20 0 1 0 5 0 {900 * (205 - pid)} 0"
            _put(proc / str(pid) / "stat", f"{pid} ({name}) {rest}\n")

    def _write_networks(self, passed_s: int) -> None:
        facts, net = self.facts, self.room / "sys/class/net"
        cable = net / "eth0"
        if not facts.on_wifi:
            (cable / "device").mkdir(parents=True, exist_ok=True)
        _put(cable / "type", "1\n")
        _put(cable / "address", self.mac(1) + "\n")
        _put(cable / "operstate", ("down" if facts.on_wifi else facts.link) + "\n")
        _put(cable / "speed", f"{facts.speed}\n")
        _put(cable / "duplex", f"{facts.duplex}\n")
        for name, count in (("rx_bytes", 9_000_000), ("tx_bytes", 70_000), ("rx_errors", 0)):
            counted = count + facts.errors if name == "rx_errors" else count
            _put(cable / "statistics" / name, f"{counted}\n")
        if facts.on_wifi:
            self._write_wifi(net / "wlan0", passed_s)

    def _write_wifi(self, place: Path, passed_s: int) -> None:
        facts = self.facts
        self._sent += PACKETS_PER_S * passed_s
        self._again += PACKETS_PER_S * passed_s * facts.retries // 100
        (place / "wireless").mkdir(parents=True, exist_ok=True)
        _put(place / "operstate", "up\n")
        _put(place / "address", self.mac(2) + "\n")
        words = f"0000 55. {facts.signal_dbm}. -95. 0 0 0 {self._again} 0 0"
        _put(
            self.room / "proc/net/wireless",
            "Inter-| sta-|   Quality        |   Discarded packets\n"
            " face | tus | link level noise |  nwid  crypt   frag  retry   misc\n"
            f" wlan0: {words}\n",
        )
        _put(place / "statistics/tx_packets", f"{self._sent}\n")
        own = next((one.mhz for one in facts.air if one.is_own), 2_412)
        rate = "rx bitrate: 72.2 MBit/s\n\ttx bitrate: 65.0 MBit/s"
        _put(
            self.room / "link", f"Connected to {self.mac(9)} (on wlan0)\n\tfreq: {own}\n\t{rate}\n"
        )
        _put(self.room / "air", "".join(map(_heard, enumerate(facts.air))))
        if not facts.has_iw:
            (self.room / "bin/iw").unlink(missing_ok=True)

    def _write_devices(self) -> None:
        facts, sys = self.facts, self.room / "sys"
        if facts.has_heat:
            zone = sys / "class/thermal/thermal_zone0"
            _put(zone / "type", "soc\n")
            _put(zone / "temp", f"{facts.heat_c * 1000}\n")
        disk = sys / "block/mmcblk0"
        _put(disk / "size", f"{EMMC_BYTES // SECTOR_BYTES}\n")
        if facts.has_wear:
            _put(disk / "device/pre_eol_info", f"{facts.pre_eol:#04x}\n")
            _put(disk / "device/life_time", f"{facts.worn:#04x} {facts.worn:#04x}\n")


def _heard(one: tuple[int, Neighbour]) -> str:
    number, network = one
    own = " -- associated" if network.is_own else ""
    return (
        f"BSS 02:00:5e:77:00:{number & 255:02x}(on wlan0){own}\n\tfreq: {network.mhz}\n"
        "\tcapability: ESS Privacy (0x0011)\n"
        f"\tsignal: {network.signal_dbm}.00 dBm\n\tSSID: Casa {number}\n\tRSN:\t * Version: 1\n"
    )


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
