"""A real box at home: its own names, heat, clock and disk around the processes that ship.

A mount namespace of its own gives the box a file of host names and sensors that the lab
writes; its disk is a plain folder, a small one, or a medium that fails and forgets.
Everything of it lies in one folder; its power is a process group (``boxes``).
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final

from oleada_lab.boxes import Box
from oleada_lab.outages.small_disk import SmallDisk
from oleada_lab.real.mount import Mount, mounted
from oleada_lab.sim.crash import Kept

NAME: Final = "house.test"
"""Under which boxes know the server; their own file of host names says where it is."""
SMALL_BYTES: Final = 8 * 1024 * 1024
HOT_MC: Final = 110_000
"""Thousandths of a degree, as the kernel tells them."""
COOL_MC: Final = 41_000
ROOM: Final = """\
set -e
mount --bind "$1/hosts" /etc/hosts
[ ! -e /etc/nsswitch.conf ] || mount --bind "$1/nsswitch.conf" /etc/nsswitch.conf
[ ! -d /sys/class/thermal ] || mount --bind "$1/thermal" /sys/class/thermal
export OLEADA_LAB_CLOCK_FILE="$1/clock"
shift
exec "$@"
"""
"""What a box is started in: its own names, sensors and clock."""


class DiskKind(StrEnum):
    """What a box lies on."""

    PLAIN = "plain"
    SMALL = "small"
    FORGETFUL = "forgetful"


class Home(Box):
    """One box and what surrounds it.

    Args:
        folder: Of the box itself.
        room: What surrounds it; made here.
        address: Of its line.
        watchdog_s: For the first sign of its agent.
    """

    def __init__(self, folder: Path, room: Path, address: str, watchdog_s: int) -> None:
        self.room, self.address = room, address
        memory = room / "memory"
        for one in (room / "thermal" / "thermal_zone0", memory):
            one.mkdir(parents=True, exist_ok=True)
        super().__init__(folder, room / "console.log", memory, watchdog_s)
        self.mount: Mount | None = None
        self.small: SmallDisk | None = None
        (room / "nsswitch.conf").write_text("hosts: files\n")
        (room / "thermal" / "thermal_zone0" / "type").write_text("soc\n")
        self.set_names(there=True)
        self.set_heat(COOL_MC)
        self.set_clock(0)

    def program(self) -> list[str]:
        """Return the command line of its boot program, in its own room."""
        return [
            *("unshare", "--mount", "--", "sh", "-c", ROOM, "home", str(self.room)),
            *super().program(),
        ]

    def set_names(self, *, there: bool) -> None:
        """Let the server's name be found, or not; written in place, because it is mounted."""
        line = f"{self.address} {NAME}\n" if there else ""
        (self.room / "hosts").write_text(f"127.0.0.1 localhost\n{line}")

    def set_heat(self, thousandths_c: int) -> None:
        """Let the box be so warm."""
        (self.room / "thermal" / "thermal_zone0" / "temp").write_text(f"{thousandths_c}\n")

    def set_clock(self, wrong_ms: int) -> None:
        """Let the box's clock be wrong by so much, from now on."""
        beside = self.room / "clock.new"
        beside.write_text(str(wrong_ms))
        beside.replace(self.room / "clock")

    def set_viewer(self, *, there: bool) -> None:
        """Let somebody watch, as the media player tells the agent."""
        path = self.directory / "run" / "viewer.present"
        if there and path.parent.is_dir():
            path.touch()
        elif not there:
            path.unlink(missing_ok=True)

    def sleep(self) -> None:
        """Let nothing happen in the box."""
        if self.is_on:
            os.killpg(self.pid, signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on where it was."""
        if self.is_on:
            os.killpg(self.pid, signal.SIGCONT)

    def pull_the_plug(self, kept: Kept, seed: int) -> None:
        """Lose power, and of what is not durable what the mode *kept* loses."""
        self.power_cut()
        if self.mount is not None:
            self.mount.lose_power(kept, seed)

    def forget_household(self) -> None:
        """Forget what a household can make a box forget, while it is off.

        State and spool go; identity, trust, settings and slots stay.
        """
        data = self.directory / "data"
        for path in [*data.glob("outbox/*"), *data.iterdir()]:
            if path.is_file() and path.name not in KEPT_FILES:
                path.unlink()


KEPT_FILES: Final = frozenset({"config.toml", "server-ca.pem", "claim-token"})
"""In ``data/``: what the maker and the installer put there."""


@contextmanager
def at_home(box: Box, home: "Home", kind: DiskKind) -> Iterator[Home]:
    """Move *box*, which is off, onto the disk of *home*; yield it while the disk is there.

    Raises:
        LabError: This machine can not mount such a disk; says what to do.
    """
    match kind:
        case DiskKind.PLAIN:
            box.directory.rename(home.directory)
            yield home
        case DiskKind.SMALL:
            box.directory.rename(home.directory)
            with SmallDisk(home.directory / "data", SMALL_BYTES) as small:
                home.small = small
                yield home
        case DiskKind.FORGETFUL:
            with mounted(home.directory) as mount:
                mount.load(box.directory)
                home.mount = mount
                yield home
