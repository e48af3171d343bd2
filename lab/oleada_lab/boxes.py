"""Boxes as real processes: a directory stands for a box, a process group for its power.

``oleada-boot`` of a box leads a session of its own, so that SIGKILL to the group is a
power cut: boot program and agent are gone at once, nothing is flushed. A box also dies
with the process that switched it on, because the lab must leave nothing behind.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from oleada_agent.boot.control import FileBootControl, factory
from oleada_agent.boot.disk import RealDisk
from oleada_agent.boot.image import HEADER_BYTES, ImageHeader, parse_header
from oleada_agent.journal import Journal
from oleada_agent.machine_states import State

from oleada_lab.errors import BoxError

POWER_OFF_LIMIT_S: Final = 20
"""A clean power-off that takes longer is answered by pulling the plug."""
SLOTS: Final = ("A", "B")
DIES_WITH_PARENT: Final = ("setpriv", "--pdeathsig", "KILL")
CONNECT_SPREAD_S: Final = 5
"""Few boxes on a bench need no minute to come back one by one."""


@dataclass(frozen=True, slots=True)
class BoxPlan:
    """What a box leaves the factory with.

    Attributes:
        enrol_url: Such as ``https://127.0.0.1:8443/device/v1/enrol``.
        ca_pem: The CA that the box pins, as PEM.
        claim_token: One time; the box enrols with it at its first start.
        settings: More lines of ``data/config.toml``, by name.
        player_fails_on: Versions on which this box's media player never gets ready.
    """

    serial: str
    hardware_model: str
    enrol_url: str
    ca_pem: str
    claim_token: str
    mac: str = ""
    zone: str = "UTC"
    settings: Mapping[str, str | int] = field(default_factory=dict)
    player_fails_on: tuple[str, ...] = ()


def make_box(directory: Path, plan: BoxPlan, factory_image: Path) -> "Box":
    """Make the directory of a box that has *factory_image* in slot A, and return the box.

    Raises:
        BoxError: *directory* is there already.
    """
    if directory.exists():
        raise BoxError(f"{directory} is there already; a box is made once.")
    data = directory / "data"
    for folder in (directory / "slots", directory / "boot", data, directory / "run"):
        folder.mkdir(parents=True)
    data.chmod(0o700)
    shutil.copyfile(factory_image, directory / "slots" / "a.img")
    (directory / "slots" / "b.img").touch()
    FileBootControl(RealDisk(directory)).store(factory("A"))
    (data / "server-ca.pem").write_text(plan.ca_pem)
    token = data / "claim-token"
    token.touch(mode=0o600)
    token.write_text(plan.claim_token + "\n")
    (data / "config.toml").write_text(_config_of(plan))
    if plan.player_fails_on:
        (directory / "boot" / "hardware.toml").write_text(
            f"player_fails_on = {json.dumps(plan.player_fails_on)}\n"
        )
    return Box(directory)


class Box:
    """One box: its directory, and its process while it has power.

    Args:
        directory: The box.
        console: Where boot program and agent speak; ``console.log`` in the box if not given.
        memory: For temporary files, which a box that is killed leaves behind; the
            machine's own folder if not given.
        watchdog_s: For the agent to begin; the boot program's own if not given.
    """

    def __init__(
        self,
        directory: Path,
        console: Path | None = None,
        memory: Path | None = None,
        watchdog_s: int | None = None,
    ) -> None:
        self.directory = directory.resolve()
        self._console = console or self.directory / "console.log"
        self._own_environment = {"TMPDIR": str(memory)} if memory else {}
        self._watchdog = () if watchdog_s is None else ("--watchdog-s", str(watchdog_s))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """The name of its directory."""
        return self.directory.name

    @property
    def is_on(self) -> bool:
        """Whether its boot program runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of its boot program.

        Raises:
            BoxError: It is off.
        """
        if self._process is None or not self.is_on:
            raise BoxError(f"Box {self.name} is off; power it on first.")
        return self._process.pid

    def power_on(self) -> None:
        """Start the boot program; a box that is on stays as it is."""
        if self.is_on:
            return
        with self._console.open("ab") as console:
            self._process = subprocess.Popen(
                # The kernel kills the box when the lab is gone, however it went.
                [*DIES_WITH_PARENT, *self.command()],
                env={**os.environ, **self._own_environment},
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )

    def command(self) -> list[str]:
        """Return what is started when the box gets power."""
        # The box itself looks too, in case the lab went before the kernel could know.
        return [*self.program(), "--dies-with", str(os.getpid())]

    def program(self) -> list[str]:
        """Return the command line of its boot program."""
        words = [sys.executable, "-m", "oleada_agent.boot.program", "--box", str(self.directory)]
        return [*words, *self._watchdog]

    def power_off(self) -> None:
        """Switch it off as a person would by the button; wait until it is off."""
        self.begin_power_off()
        self.end_power_off()

    def begin_power_off(self) -> None:
        """Press the button and do not wait; ``end_power_off`` does."""
        if self._process is not None and self.is_on:
            self._process.send_signal(signal.SIGTERM)

    def end_power_off(self) -> None:
        """Return when the box is off; one that does not stop in time loses its power."""
        if self._process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(POWER_OFF_LIMIT_S)
        self.power_cut()

    def power_cut(self) -> None:
        """Pull the plug: every process of the box is gone at once."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def image_header(self, slot: str) -> ImageHeader:
        """Return what the header in *slot* says, unchecked against the body.

        Raises:
            ImageError: There is no header; of ``oleada_agent``.
        """
        with self.slot_path(slot).open("rb") as file:
            return parse_header(file.read(HEADER_BYTES))

    def slot_path(self, slot: str) -> Path:
        """Return the file of *slot*, ``A`` or ``B``."""
        return self.directory / "slots" / f"{slot.lower()}.img"

    def slot_sha256(self, slot: str) -> str:
        """Return the SHA-256 of the image in *slot*: as many bytes as its header says."""
        remaining, digest = self.image_header(slot).image_bytes, hashlib.sha256()
        with self.slot_path(slot).open("rb") as file:
            while remaining and (part := file.read(min(remaining, 1 << 20))):
                digest.update(part)
                remaining -= len(part)
        return digest.hexdigest()

    def booted(self) -> dict[str, Any] | None:
        """Return what the boot program told the agent of this boot; None before that."""
        try:
            found: dict[str, Any] = json.loads((self.directory / "run" / "booted.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return found

    def journal(self) -> State | None:
        """Return the machine's state as the journal holds it; None when there is none.

        Reads a copy, so that a box that runs is not disturbed.
        """
        with tempfile.TemporaryDirectory(prefix="oleada-journal-") as folder:
            copy = Path(folder, "data")
            copy.mkdir()
            for path in (self.directory / "data").glob("journal.[01]"):
                shutil.copyfile(path, copy / path.name)
            return Journal(RealDisk(Path(folder))).load().state

    def console(self) -> str:
        """Return what the boot program and the agent have said so far."""
        return self._console.read_text(errors="replace") if self._console.exists() else ""


@contextmanager
def powered(boxes: list[Box]) -> Iterator[list[Box]]:
    """Switch *boxes* on; switch all of them off at the end, in parallel."""
    try:
        for box in boxes:
            box.power_on()
        yield boxes
    finally:
        power_off_all(boxes)


def power_off_all(boxes: list[Box]) -> None:
    """Switch all *boxes* off cleanly, in parallel; none is left running."""
    for box in boxes:
        box.begin_power_off()
    for box in boxes:
        box.end_power_off()


def _config_of(plan: BoxPlan) -> str:
    values: dict[str, str | int] = {
        "serial": plan.serial,
        "hardware_model": plan.hardware_model,
        "zone": plan.zone,
        "enrol_url": plan.enrol_url,
        "ca_file": "server-ca.pem",
        "claim_token_file": "claim-token",
        **({"mac": plan.mac} if plan.mac else {}),
        "connect_spread_s": CONNECT_SPREAD_S,
        **plan.settings,
    }
    return "".join(
        f"{name} = {value}\n" if isinstance(value, int) else f'{name} = "{value}"\n'
        for name, value in values.items()
    )
