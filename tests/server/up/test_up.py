"""``oleada up`` with real processes: it starts, heals, refuses a twin, and leaves nothing."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
from oleada_server import config as settings
from oleada_server.client import Client, connect
from oleada_server.config import Config

from tests.support.broker import wait_until
from tests.support.postgres import free_port

pytestmark = pytest.mark.real

START_S = 90.0


class Up:
    """A running ``oleada up``."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.output = home.parent / "up.out"
        with self.output.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "oleada_server", "up"],
                env={**os.environ, "OLEADA_DATA_DIR": str(home)},
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    @property
    def config(self) -> Config:
        """Its settings."""
        return settings.load(self.home, {})

    @property
    def client(self) -> Client:
        """A client with the token that it left for this machine."""
        return connect({"OLEADA_DATA_DIR": str(self.home)})

    def family(self) -> list[psutil.Process]:
        """Return every process that it has started, by their data directory."""
        return [
            process
            for process in psutil.process_iter()
            if process.pid != os.getpid() and _belongs(process, self.home)
        ]

    def wait_ready(self, times: int = 1) -> None:
        """Return when it has said so *times* times."""
        wait_until(
            lambda: (
                self.output.read_text().count("Oleada is ready") == times
                or self.process.poll() is not None
            ),
            "oleada up is ready",
            START_S,
        )
        assert self.process.poll() is None, self.output.read_text()

    def end(self, number: int) -> int:
        """Send it signal *number* and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def running(home: Path, times: int = 1) -> Iterator[Up]:
    found = Up(home)
    try:
        found.wait_ready(times)
        yield found
    finally:
        if found.process.poll() is None:
            found.end(signal.SIGINT)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data directory whose ports nobody else has."""
    return with_own_ports(tmp_path)


def with_own_ports(folder: Path) -> Path:
    """Return a data directory in *folder* whose ports nobody else has."""
    home = folder / "oleada"
    home.mkdir()
    names = ("web_port", "door_port", "broker_port", "broker_services_port")
    (home / "oleada.toml").write_text("".join(f"{name} = {free_port()}\n" for name in names))
    return home


def _belongs(process: psutil.Process, home: Path) -> bool:
    try:
        in_environ = process.environ().get("OLEADA_DATA_DIR") == str(home)
    except psutil.Error:
        return False
    return in_environ and process.status() != psutil.STATUS_ZOMBIE


def _status(url: str, context: ssl.SSLContext) -> int:
    try:
        with urllib.request.urlopen(url, context=context) as answer:  # noqa: S310 - https, ours
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def _listens(place: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(place, START_S):
            return True
    except OSError:
        return False


def _child(up: Up, word: str) -> psutil.Process:
    (found,) = [p for p in psutil.Process(up.process.pid).children() if word in p.cmdline()]
    return found


def _knock_while_busy(up: Up, times: int) -> None:
    """Let *times* boxes knock at a broker that has no time: each line stands at once."""
    (broker,) = [p for p in psutil.Process(up.process.pid).children() if p.name() == "mosquitto"]
    broker.suspend()
    try:
        with ExitStack() as lines:
            for _ in range(times):
                place = ("127.0.0.1", up.config.broker_port)
                lines.enter_context(socket.create_connection(place, START_S))
    finally:
        broker.resume()


def test_it_starts_everything_and_ctrl_c_leaves_nothing(home: Path) -> None:
    with running(home) as up:
        assert up.client.get("/api/v1/devices")["total"] == 0
        claim = up.client.post("/api/v1/claims", {"serial": "SN-1", "hardware_model": "VX-410"})
        assert claim["enrol_url"].startswith(up.config.door_url)
        context = ssl.create_default_context(cafile=str(home / "pki" / "service-ca.pem"))
        assert _status(f"{up.config.door_url}/healthz", context) == 200
        assert _status(f"{up.config.door_url}/api/v1/devices", context) == 404
        assert len(psutil.Process(up.process.pid).children()) == 5
        _knock_while_busy(up, 300)

        assert up.end(signal.SIGINT) == 0

    assert up.family() == []
    assert (home / "keys").stat().st_mode & 0o777 == 0o700
    assert json.loads((home / "keys" / "online-public.json").read_text())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One that runs, for tests that leave it running; its broker found a damaged store."""
    home = with_own_ports(tmp_path_factory.mktemp("shared"))
    store = home / "broker" / "mosquitto.db"
    store.parent.mkdir()
    store.write_bytes(b"\0" * 100)
    with running(home) as up:
        yield up


def test_a_second_one_on_the_same_directory_is_refused_with_a_sentence(shared: Up) -> None:
    twin = subprocess.run(
        [sys.executable, "-m", "oleada_server", "up"],
        env={**os.environ, "OLEADA_DATA_DIR": str(shared.home)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert twin.returncode == 1
    assert twin.stderr.startswith("Error: Another 'oleada up' runs on")


def test_a_child_that_dies_is_started_again(shared: Up) -> None:
    ready = shared.home / "run" / "worker-1.ready"
    before = _child(shared, "worker").pid
    os.kill(before, signal.SIGKILL)

    wait_until(
        lambda: ready.exists() and ready.read_text().strip() not in {"", str(before)},
        "another worker is ready",
        START_S,
    )
    assert "worker ended (signal SIGKILL)" in shared.output.read_text()


def test_a_broker_whose_store_is_damaged_begins_without_it(shared: Up) -> None:
    """Cut short while nobody ran, and again under a broker that runs."""
    store = shared.home / "broker" / "mosquitto.db"
    assert store.with_name("mosquitto.db.damaged").read_bytes() == b"\0" * 100
    (broker,) = [
        p for p in psutil.Process(shared.process.pid).children() if p.name() == "mosquitto"
    ]
    store.write_bytes(b"half a store")
    broker.kill()

    wait_until(
        lambda: store.with_name("mosquitto.db.damaged").read_bytes() == b"half a store",
        "what is damaged is set aside",
        START_S,
    )
    place = ("127.0.0.1", shared.config.broker_port)
    wait_until(lambda: _listens(place), "the broker is there again", START_S)


def test_killed_with_9_it_takes_its_children_along_and_starts_again_with_the_same_keys(
    home: Path,
) -> None:
    up = Up(home)
    up.wait_ready()
    up.client.post("/api/v1/claims", {"serial": "SN-1", "hardware_model": "VX-410"})
    kept = {path: path.read_bytes() for path in [*home.glob("pki/*"), *home.glob("keys/*")]}
    up.end(signal.SIGKILL)

    wait_until(lambda: up.family() == [], "no process is left")
    with running(home, times=2) as again:
        assert again.client.get("/api/v1/me")["name"] == "local"
        assert again.client.get("/api/v1/devices")["total"] == 0

    assert kept
    assert {path: path.read_bytes() for path in kept} == kept


def test_a_port_that_is_taken_for_good_is_named(home: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", settings.load(home, {}).door_port))
        holder.listen()
        up = Up(home)

        assert up.process.wait(60) == 1

    said = up.output.read_text()
    assert "is taken by another program; stop that, or change door_port" in said


def test_without_ports_in_the_file_free_ones_are_chosen_and_kept(tmp_path: Path) -> None:
    home = tmp_path / "fresh"
    done = subprocess.run(
        [sys.executable, "-m", "oleada_server", "init"],
        env={**os.environ, "OLEADA_DATA_DIR": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    config = settings.load(home, {})
    ports = {config.web_port, config.door_port, config.broker_port, config.broker_services_port}
    assert len(ports) == 4
    assert settings.given(home, {}) >= {"web_port", "broker_services_port"}
