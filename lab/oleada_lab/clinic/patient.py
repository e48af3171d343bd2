"""One box with its own room, network and media player; its power is a process group."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from oleada_lab.boxes import Box
from oleada_lab.clinic.street import Way
from oleada_lab.clinic.surroundings import ROOM, Surroundings
from oleada_lab.media.daemon import Daemon
from oleada_lab.media.player import Player
from oleada_lab.operator import wait_until

WATCHDOG_S: Final = 120
BOOT_LIMIT_S: Final = 120.0


class Patient(Box):
    """A box whose agent sees what the lab writes, and asks a media player of the lab.

    Args:
        folder: Of the box itself; in *room*.
        room: What surrounds it; made.
    """

    def __init__(self, folder: Path, room: Surroundings, way: Way) -> None:
        super().__init__(folder, room.room / "console.log", None, WATCHDOG_S)
        self.room, self.way = room, way
        self.player = Player()
        self.daemon: Daemon | None = None

    def program(self) -> list[str]:
        """Return the command line of its boot program, in its own room and network."""
        return [
            *("nsenter", f"--net={self.way.place}", "--"),
            *("unshare", "--mount", "--", "sh", "-c", ROOM, "home", str(self.room.room)),
            *super().program(),
        ]

    def add_settings(self, lines: Mapping[str, Sequence[str]]) -> None:
        """Add settings that are lists to those of the box."""
        with (self.directory / "data/config.toml").open("a") as file:
            for name, words in lines.items():
                file.write(f"{name} = [{', '.join(f'{word!r}' for word in words)}]\n")

    def start(self, lie: str = "") -> None:
        """Give it power, and its media player as soon as it has booted.

        Raises:
            OperatorError: It does not boot.
        """
        before = self._boot_id()
        self.power_on()
        self.await_boot(before)
        self.begin_player(lie)

    def await_boot(self, before: str) -> None:
        """Return when the box has booted since boot *before*.

        Raises:
            OperatorError: It does not boot.
        """
        wait_until(lambda: self._boot_id() not in ("", before), BOOT_LIMIT_S, f"{self.name} boots")

    def is_alive(self) -> bool:
        """Return whether its agent has begun in this boot."""
        return (self.directory / "run/agent.alive").exists()

    def begin_player(self, lie: str = "") -> None:
        """Start the media player; one that was there is replaced."""
        self.end_player()
        self.daemon = Daemon(self.directory, self.player, lie)

    def end_player(self) -> None:
        """End the media player."""
        if self.daemon is not None:
            with suppress(OSError):
                self.daemon.stop()
            self.daemon = None

    def end(self) -> None:
        """Pull the plug of box and player."""
        self.end_player()
        self.power_cut()

    def _boot_id(self) -> str:
        found = self.booted()
        return str(found["boot_id"]) if found else ""
