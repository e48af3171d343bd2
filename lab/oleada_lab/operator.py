"""A small operator for demo, end-to-end tests and measurements: server, signer, boxes.

Everything goes through the doors that a real operator has: ``oleada up`` as a process,
the ``oleada`` commands of the signer, REST for the rest.
"""

import os
import secrets
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from oleada_server import client, config
from oleada_server.client import Client

from oleada_lab.boxes import Box, BoxPlan, make_box
from oleada_lab.clock import monotonic_s, sleep_s
from oleada_lab.errors import OperatorError
from oleada_lab.signer import Signer, oleada_command, run_oleada

__all__ = ["Operator", "Places", "Server", "Signer", "oleada_command", "run_oleada", "wait_until"]

READY_LIMIT_S: Final = 60
READY_LINE: Final = "Oleada is ready"  # what `oleada up` prints when it is
STOP_LIMIT_S: Final = 30
POLL_S: Final = (0.1, 1.0)
"""Between two questions, at least and at most."""
LATE_SHARE: Final = 0.1
"""Of a wait: so much later than it is done it may be noticed, for fewer questions."""


def wait_until(done: Callable[[], bool], limit_s: float, what: str) -> None:
    """Return when *done*, asked often at first and once a second in the end.

    Raises:
        OperatorError: It is not done after *limit_s* seconds; *what* names it.
    """
    begun_s = monotonic_s()
    while not done():
        waited_s = monotonic_s() - begun_s
        if waited_s > limit_s:
            raise OperatorError(f"Waited {limit_s:.0f} s in vain until {what}.")
        sleep_s(min(max(LATE_SHARE * waited_s, POLL_S[0]), POLL_S[1]))


class Server:
    """``oleada up`` on one data directory, as a child that dies with this process."""

    def __init__(self, data_dir: Path, settings: Mapping[str, str | int] | None = None) -> None:
        self.data_dir = data_dir.resolve()
        told = {f"OLEADA_{name.upper()}": str(value) for name, value in (settings or {}).items()}
        self._environment = {**os.environ, **told, "OLEADA_DATA_DIR": str(self.data_dir)}
        self._process: subprocess.Popen[bytes] | None = None
        self._log_from = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id of ``oleada up``.

        Raises:
            OperatorError: It does not run.
        """
        if self._process is None:
            raise OperatorError("The server does not run; start it first.")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether ``oleada up`` runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def config(self) -> config.Config:
        """The settings in force, with the ports that ``oleada up`` chose."""
        return config.load(self.data_dir, self._environment)

    @property
    def environment(self) -> dict[str, str]:
        """What a further process of this server is started with."""
        return dict(self._environment)

    @property
    def client(self) -> Client:
        """A REST client with the rights of this machine's owner."""
        return client.connect(self._environment)

    def start(self) -> None:
        """Start ``oleada up`` and return when console and device door answer.

        Raises:
            OperatorError: It ended, or did not answer in time; says where its log is.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._log_from = log.tell()
            self._process = subprocess.Popen(
                # If this process is killed, the kernel asks the server to stop.
                ["setpriv", "--pdeathsig", "TERM", *oleada_command("up")],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            wait_until(self._is_ready, READY_LIMIT_S, "the server answers")
        except OperatorError as error:
            self.stop()
            raise OperatorError(f"{error} Read {self._log}.") from error
        except KeyboardInterrupt:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop ``oleada up`` and wait until it and all its children are gone."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_LIMIT_S)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def kill(self) -> None:
        """End ``oleada up`` as a crash does: at once, with nothing said to its children."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def run(self, *arguments: str | Path) -> str:
        """Run ``oleada`` with *arguments* on this server; return what it printed.

        Raises:
            OperatorError: It failed; the message is its own.
        """
        return run_oleada(*arguments, environment=self._environment)

    @property
    def _log(self) -> Path:
        return self.data_dir / "up.log"

    def _is_ready(self) -> bool:
        """Return whether *this* server said so; another may answer on its ports."""
        said = self._log.read_bytes()[self._log_from :].decode(errors="replace")
        if self._process is not None and self._process.poll() is not None:
            last = (said.strip().splitlines() or ["It said nothing."])[-1]
            raise OperatorError(f"The server did not start. {last.removeprefix('Error: ')}")
        return READY_LINE in said


@dataclass(frozen=True, slots=True)
class Places:
    """Where an operator's things lie.

    Attributes:
        data_dir: Of the server.
        signer_dir: Of the signer's machine: the offline keys.
        boxes_dir: One directory per box.
        images_dir: Images, built once.
    """

    data_dir: Path
    signer_dir: Path
    boxes_dir: Path
    images_dir: Path

    @classmethod
    def under(cls, home: Path) -> Self:
        """Return places side by side in *home*."""
        return cls(home / "oleada", home / "signer", home / "boxes", home / "images")


class Operator:
    """Server, signer and boxes; each step does nothing when it has been done."""

    def __init__(self, places: Places, settings: Mapping[str, str | int] | None = None) -> None:
        self.server = Server(places.data_dir, settings)
        self.signer = Signer(places.signer_dir)
        self.boxes_dir = places.boxes_dir.resolve()
        self.images_dir = places.images_dir.resolve()

    def establish(self, hardware_models: Sequence[str], *, waves_by_people: bool = False) -> None:
        """Hold the ceremony and give the server its trust, unless that has been done.

        Most programs of the lab measure something else and let the server sign waves; with
        *waves_by_people* each rollout waits for :meth:`sign_waves`.

        Raises:
            OperatorError: A command failed; says why.
        """
        if not self.signer.is_ready:
            online = self.server.config.keys_dir / "online-public.json"
            self.signer.hold_ceremony(online, hardware_models, waves_by_people=waves_by_people)
        self.server.run("release", "trust", self.signer.tuf_dir)

    def publish(
        self, image: Path, hardware_model: str, version: str, notes: Mapping[str, str]
    ) -> None:
        """Sign and publish *image*, unless this version is published.

        Raises:
            OperatorError: A command failed; says why.
        """
        if (hardware_model, version) in self.published():
            return
        bundle = self.signer.bundle(
            image, hardware_model, version, self.server.config.tuf_dir, notes
        )
        self.server.run("release", "publish", bundle)
        bundle.unlink()

    def sign_waves(self, rollout: str) -> None:
        """Fetch the waves of *rollout*, let two approvers sign them, and hand them in.

        Raises:
            OperatorError: A command failed; says why.
        """
        file = self.signer.folder / f"{rollout}.waves.json"
        self.server.run("rollout", "waves", rollout, "-o", file)
        self.signer.sign_waves(file)
        self.server.run("rollout", "authorise", file)
        file.unlink()

    def published(self) -> set[tuple[str, str]]:
        """Return model and version of every release."""
        rows = self.server.client.get("/api/v1/releases")["releases"]
        return {(row["hardware_model"], row["version"]) for row in rows}

    def add_box(
        self,
        serial: str,
        hardware_model: str,
        factory_image: Path,
        *,
        zone: str = "UTC",
        mac: str = "",
        settings: Mapping[str, str | int] | None = None,
        player_fails_on: tuple[str, ...] = (),
    ) -> Box:
        """Return the box with *serial*; claims and makes it if it is not there.

        Raises:
            OperatorError: The server refuses the claim.
        """
        directory = self.boxes_dir / serial
        if directory.exists():
            return Box(directory)
        claim = self.server.client.post(
            "/api/v1/claims", {"serial": serial, "hardware_model": hardware_model, "zone": zone}
        )
        plan = BoxPlan(
            serial=serial,
            hardware_model=hardware_model,
            enrol_url=f"{self.server.config.door_url}/device/v1/enrol",
            ca_pem=(self.server.config.pki_dir / "service-ca.pem").read_text(),
            claim_token=claim["token"],
            mac=mac,
            zone=zone,
            settings=settings or {},
            player_fails_on=player_fails_on,
        )
        self.boxes_dir.mkdir(parents=True, exist_ok=True)
        # Made aside and renamed: a box is there whole or not at all.
        unfinished = self.boxes_dir / f".{serial}.{secrets.token_hex(4)}"
        make_box(unfinished, plan, factory_image)
        unfinished.rename(directory)
        return Box(directory)

    def devices(self) -> list[dict[str, Any]]:
        """Return every device as REST shows it."""
        found: list[dict[str, Any]] = []
        after = None
        while True:
            page = self.server.client.get("/api/v1/devices", {"limit": 200, "after": after})
            found += page["devices"]
            after = page["next_key"]
            if after is None:
                return found
