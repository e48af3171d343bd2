"""The real server of a run: set up once, with its trust and two releases; and its database."""

import itertools
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

import psutil
from flask import Flask
from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.db import db
from oleada_server.messaging import service as messaging
from oleada_wire import topics
from oleada_wire.ids import BootId
from oleada_wire.messages import Cmd, Header, seal
from oleada_wire.topics import Down
from sqlalchemy.exc import DBAPIError

from oleada_lab.boxes import Box
from oleada_lab.chaos.schedule import Victim
from oleada_lab.chaos.victims import Lab
from oleada_lab.clock import now_utc
from oleada_lab.errors import OperatorError
from oleada_lab.firmware.image import BuiltImage, ImageSpec, build_small_image
from oleada_lab.operator import Operator, Places
from oleada_lab.proc.ear import Ear
from oleada_lab.proc.home import NAME
from oleada_lab.proc.old_agent import agent_at
from oleada_lab.real.house import free_port

PORTS: Final = ("web_port", "door_port", "broker_port", "broker_services_port")
SYSTEM_BYTES: Final = 256 * 1024
START_TRIES: Final = 3
"""Of a minute each; a second start goes on where the first one was."""
COMMAND_VALID: Final = timedelta(minutes=10)


class House:
    """A server with boxes of one hardware model, under *home*."""

    def __init__(self, home: Path, model: str) -> None:
        settings: dict[str, str | int] = {name: free_port() for name in PORTS}
        settings["public_host"] = NAME
        # A run may ask more of a line than a household would in a minute.
        settings["enrol_tries_per_minute"] = 1000
        self.operator = Operator(Places.under(home), settings)
        self.lab = Lab(self.operator, [])
        self.model = model
        self._app: Flask | None = None
        self._ear: Ear | None = None
        self._boot = BootId(1, secrets.token_hex(4))
        self._cmd_seq = itertools.count(1)

    @property
    def ear(self) -> Ear:
        """Who hears everything at the broker."""
        assert self._ear is not None, "the house is not open"  # noqa: S101
        return self._ear

    @property
    def app(self) -> Flask:
        """The server's app, for its database."""
        assert self._app is not None, "the house is not open"  # noqa: S101
        return self._app

    @contextmanager
    def open(self) -> Iterator["House"]:
        """Start the server and give it its trust; end all of it afterwards.

        Raises:
            OperatorError: It does not start; says why.
        """
        try:
            self._start()
            self.operator.establish([self.model])
            self._app = create_app(self.operator.server.config, WITHOUT_PAGES)
            with self._app.app_context(), Ear(self.operator.server.config) as self._ear:
                try:
                    yield self
                finally:
                    with suppress(DBAPIError):
                        db.session.remove()
                    db.engine.dispose()
        finally:
            self.operator.server.stop()

    def _start(self) -> None:
        """Start the server; a machine that is busy for a minute is asked again."""
        for _ in range(START_TRIES - 1):
            with suppress(OperatorError):
                self.operator.server.start()
                return
        self.operator.server.start()

    def build(self, version: str, behaviour: str = "good", agent_of: str = "") -> BuiltImage:
        """Return an image of *version*, with the agent of commit *agent_of* if it is given.

        Raises:
            LabError: There is no such commit here; says what to type.
        """
        folder = self.operator.images_dir
        folder.mkdir(parents=True, exist_ok=True)
        spec = ImageSpec(self.model, version, behaviour=behaviour)
        source = agent_at(agent_of, folder / "old-agent") if agent_of else None
        return build_small_image(
            spec, folder / f"{version}.img", system_bytes=SYSTEM_BYTES, agent_source=source
        )

    def add_box(self, serial: str, factory: Path, settings: dict[str, str | int]) -> Box:
        """Return a new box that is claimed and has never had power."""
        return self.operator.add_box(serial, self.model, factory, settings=settings)

    def ids(self) -> dict[str, str]:
        """Return the device id of each box that was heard, by its serial."""
        rows = self.operator.devices()
        return {str(row["serial"]): str(row["id"]) for row in rows if row["version"]}

    def ask_for_health(self, device_id: str) -> None:
        """Let the director ask a box for a health message now, as a signed command."""
        now = now_utc()
        number = next(self._cmd_seq)
        header = Header(secrets.token_hex(16), int(now.timestamp() * 1000), self._boot, number)
        command = Cmd(
            header,
            device_id,
            f"CMD-{number}",
            number,
            "report_health",
            int((now + COMMAND_VALID).timestamp() * 1000),
        )
        sealed = seal(command, [messaging.director(self._app)])
        self.ear.say_again([(topics.down(device_id, Down.CMD), sealed)])

    def stop_worker(self) -> None:
        """Let the worker stand still."""
        self._signal(signal.SIGSTOP)

    def let_worker_go(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        process = self.lab.process_of(Victim.WORKER)
        if process is not None:
            with suppress(psutil.Error):
                process.send_signal(number)
