"""The scene of an outage: a whole server, real boxes, and somebody in front of the console."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import psutil
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from oleada_agent import keypairs
from oleada_agent.disk import RealDisk
from oleada_server.accounts import service as accounts
from oleada_server.accounts.models import Role
from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.audit import service as audit
from oleada_server.client import NoServerError, RefusedError
from oleada_server.db import db
from oleada_server.enrolment import pki
from oleada_server.enrolment import service as enrolment
from oleada_server.enrolment.models import Certificate
from oleada_server.system.cli import look
from oleada_server.system.judge import Condition
from sqlalchemy import delete

from oleada_lab.boxes import Box, power_off_all
from oleada_lab.clock import now_utc
from oleada_lab.errors import OperatorError
from oleada_lab.firmware.image import ImageSpec, build_small_image
from oleada_lab.operator import Operator, Places, wait_until
from oleada_lab.outages.reader import Reader
from oleada_lab.outages.small_disk import SmallDisk
from oleada_lab.postgres import Cluster

READER: Final = "reader"
MODEL: Final = "VX-240"
FACTORY: Final = "1.0.0"
SYSTEM_BYTES: Final = 256 * 1024
HELLO_LIMIT_S: Final = 120.0
BOX_SETTINGS: Final[Mapping[str, int]] = {
    "health_s": 2,
    "connect_spread_s": 1,
    "trial_s": 120,
    "settle_s": 1,
    "player_s": 30,
}


class Scene:
    """A server on *database* with *boxes* boxes, under *home*.

    The last box's data lie on a disk of *last_disk_bytes*, if that is not 0.

    Attributes:
        cluster: None on SQLite.
        reader: Signed in.
    """

    def __init__(
        self,
        home: Path,
        *,
        database: str = "sqlite",
        boxes: int = 1,
        settings: Mapping[str, str | int] | None = None,
        last_disk_bytes: int = 0,
    ) -> None:
        self.home = home
        self._last_disk_bytes = last_disk_bytes
        self._stack = ExitStack()
        self.cluster = Cluster(home / "postgresql") if database == "postgresql" else None
        told = {**(settings or {})}
        if self.cluster is not None:
            told["database_url"] = self.cluster.url
        self.operator = Operator(Places.under(home), told)
        self.boxes: list[Box] = []
        self._count = boxes
        self.reader = Reader("")

    def __enter__(self) -> Self:
        try:
            if self.cluster is not None:
                self.cluster.make()
            self.operator.server.start()
            self.operator.establish([MODEL])
            for number in range(self._count):
                self.boxes.append(self._add_box(number))
                if number == self._count - 1 and self._last_disk_bytes:
                    data = self.boxes[-1].directory / "data"
                    self._stack.enter_context(SmallDisk(data, self._last_disk_bytes))
                self.boxes[-1].power_on()
            wait_until(lambda: self._heard() == self._count, HELLO_LIMIT_S, "all boxes said hello")
            self.reader = Reader(self.operator.server.config.console_url)
            self.reader.sign_in(self._link())
        except BaseException:
            self.clear()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()

    def clear(self) -> None:
        """End every process of the scene."""
        power_off_all(self.boxes)
        self.operator.server.stop()
        if self.cluster is not None:
            self.cluster.kill()
        self._stack.close()

    def image(self, version: str) -> Path:
        """Return an image of *version*, built once."""
        self.operator.images_dir.mkdir(parents=True, exist_ok=True)
        out = self.operator.images_dir / f"{version}.img"
        if not out.exists():
            build_small_image(ImageSpec(MODEL, version), out, system_bytes=SYSTEM_BYTES)
        return out

    def bundle(self, version: str) -> Path:
        """Return a signed bundle of *version*, not published yet."""
        base = self.operator.server.config.tuf_dir
        notes = {"en": f"Version {version}"}
        return self.operator.signer.bundle(self.image(version), MODEL, version, base, notes)

    def publish(self, version: str) -> None:
        """Sign and publish *version*.

        Raises:
            OperatorError: The server refuses it; the message is its own.
        """
        self.operator.publish(self.image(version), MODEL, version, {"en": f"Version {version}"})

    def roll_out(self, version: str, boxes: Sequence[Box]) -> str:
        """Start a rollout of *version* to *boxes*; return its id."""
        ids = self.ids()
        wave = {
            "name": "All",
            "device_ids": [ids[box.name] for box in boxes],
            "soak_s": 1,
            "sample_min": 1,
            "success_share_min": 0.5,
        }
        plan = {"hardware_model": MODEL, "version": version, "waves": [wave], "spread_s": 1,
                "evidence": None}  # fmt: skip
        rest = self.operator.server.client
        made: dict[str, Any] = rest.post("/api/v1/rollouts", plan)
        rest.post(f"/api/v1/rollouts/{made['id']}/start")
        return str(made["id"])

    def ids(self) -> dict[str, str]:
        """Return the device id of each box, by its serial."""
        return {str(row["serial"]): str(row["id"]) for row in self.operator.devices()}

    def versions(self, boxes: Sequence[Box]) -> set[str]:
        """Return the versions that *boxes* run, as the server knows."""
        names = {box.name for box in boxes}
        devices = self.operator.devices()
        return {str(row["version"]) for row in devices if row["serial"] in names}

    def doctor(self) -> dict[str, Condition]:
        """Return what `oleada doctor` finds, by code."""
        return {str(one.code): one for one in look(self.operator.server.config)}

    def is_over(self, *codes: str) -> bool:
        """Return whether `oleada doctor` finds none of *codes* any more."""
        return not set(codes) & set(self.doctor())

    def log_lines(self, process: str, word: str) -> list[str]:
        """Return the messages in the log of *process* that hold *word*."""
        path = self.operator.server.config.logs_dir / f"{process}.log"
        return [line for line in path.read_text(errors="replace").splitlines() if word in line]

    def box_says(self, box: Box, word: str) -> list[str]:
        """Return the lines of a box's log since it was switched on that hold *word*."""
        path = box.directory / "run" / "agent.log"
        said = path.read_text(errors="replace") if path.exists() else ""
        return [line for line in said.splitlines() if word in line]

    def waiting(self) -> int:
        """Return how many messages wait in the boxes' outboxes for the server."""
        return sum(1 for box in self.boxes for _ in (box.directory / "data" / "outbox").glob("*-*"))

    def process(self, *words: str) -> psutil.Process:
        """Return the server's process whose command line holds all of *words*.

        Raises:
            OperatorError: There is none.
        """
        for process in psutil.Process(self.operator.server.pid).children():
            with suppress(psutil.Error):  # one that has just ended
                line = " ".join(process.cmdline())
                if all(word in line for word in words):
                    return process
        raise OperatorError(f"No process of the server is called {' '.join(words)}.")

    def expire(self, device_id: str, box: Box, long_ago: datetime) -> None:
        """Let the certificate of *box*, which is off, be one that was issued *long_ago*."""
        disk = RealDisk(box.directory)
        folder = box.directory / keypairs.FOLDERS[keypairs.active(disk)]
        with self._database():
            key = load_pem_private_key((folder / keypairs.KEY).read_bytes(), None)
            assert isinstance(key, EllipticCurvePrivateKey)  # noqa: S101 - boxes make no other
            db.session.execute(delete(Certificate).where(Certificate.device_id == device_id))
            issued = enrolment.record_certificate(
                device_id, key.public_key(), pki.spki_sha256(key.public_key()), long_ago
            )
            db.session.commit()
            for copy in keypairs.FOLDERS.values():  # until its first renewal a box has it twice
                (box.directory / copy / keypairs.CERTIFICATE).write_text(issued.pem)

    def audited(self, object_ref: str) -> list[dict[str, Any]]:
        """Return what the audit trail has about *object_ref*, the newest first."""
        with self._database():
            found = audit.events_about(object_ref)
            return [{"action": one.action, "reason": one.reason} for one in found]

    @contextmanager
    def _database(self) -> Iterator[None]:
        """Yield with the server's database at hand, as one more process of it."""
        app = create_app(self.operator.server.config, WITHOUT_PAGES)
        with app.app_context():
            try:
                yield
            finally:
                db.session.remove()
                db.engine.dispose()

    def _link(self) -> str:
        """Return the one-time link of somebody who may read."""
        with self._database():
            now, actor = now_utc(), "system:lab"
            accounts.add_user(READER, full_name=READER, role=Role.VIEWER, actor=actor, now=now)
            return f"/sign-in/link/{accounts.create_link(READER, actor=actor, now=now)}"

    def _heard(self) -> int:
        try:
            return sum(1 for device in self.operator.devices() if device["version"])
        except (NoServerError, RefusedError):
            return 0

    def _add_box(self, number: int) -> Box:
        """Return box *number*, made and claimed, but not switched on."""
        return self.operator.add_box(
            f"240C26{number:05d}", MODEL, self.image(FACTORY), settings=BOX_SETTINGS
        )
