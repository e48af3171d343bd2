"""A port that somebody takes between our choice and our child's bind is chosen again."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from oleada_server import config as settings
from oleada_server import initialise, listening, up
from oleada_server.config import Config
from oleada_server.processes import Child

from tests.support.broker import wait_until
from tests.support.postgres import free_port

pytestmark = pytest.mark.real
LISTENER = """
import signal, socket, sys
sockets = [socket.create_server(("127.0.0.1", int(port))) for port in sys.argv[1:]]
signal.pause()
"""
"""A program as small as can be: it ends when a port of its own is taken."""


class Stopped:
    """Nobody asks us to stop."""

    asked = False


@pytest.fixture
def grabber(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Path, list[socket.socket]]]:
    """A server of small programs in an empty directory, and a list of who grabs its ports.

    After the first choice somebody listens on the door's port.
    """
    home = tmp_path / "oleada"
    grabbed: list[socket.socket] = []
    defaults = {name: free_port() for name in initialise.PORTS}

    def prepare(directory: Path, anew: frozenset[str]) -> Config:
        told = settings.load(directory, {})
        given = settings.given(directory, {}) - anew
        if not settings.given(directory, {}):
            told = replace(told, **defaults)  # type: ignore[arg-type]
        config = initialise.choose_ports(told, given)
        if not grabbed:
            grabbed.append(socket.create_server(("127.0.0.1", config.door_port)))
        return config

    def children(config: Config) -> list[Child]:
        ready = config.data_dir / "run" / "worker-1.ready"
        ready.parent.mkdir(parents=True, exist_ok=True)
        found = []
        for name in ("broker", "web", "door", "worker", "scheduler"):
            ports = [str(getattr(config, one)) for one in up.LISTENERS.get(name, ())]
            command = [sys.executable, "-S", "-c", LISTENER, *ports]
            if name == "worker":
                command = ["sh", "-c", f"touch {ready}; exec sleep 600"]
            found.append(Child(name, command, dict(os.environ), tmp_path / f"{name}.log"))
        return found

    monkeypatch.setattr(up, "prepare", prepare)
    monkeypatch.setattr(up, "_children", children)
    yield home, grabbed
    for one in grabbed:
        one.close()


def test_a_port_that_was_taken_after_it_was_chosen_is_chosen_again(
    grabber: tuple[Path, list[socket.socket]],
) -> None:
    home, grabbed = grabber
    said: list[str] = []

    config, children = up._bring_up(home, Stopped(), said.append)  # type: ignore[arg-type]
    up._stop(children)

    assert "has just taken the port of door_port; choosing another." in said[0]
    assert f"Oleada is ready: {config.console_url}" in said
    assert config.door_port != grabbed[0].getsockname()[1]
    assert settings.load(home, {}).door_port == config.door_port
    assert (home / "oleada.toml").read_text().count("door_port") == 1


def test_a_port_that_stood_in_the_file_is_not_exchanged_for_another(
    grabber: tuple[Path, list[socket.socket]], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, _ = grabber
    monkeypatch.setattr(up, "PORT_FREE_S", 0.1)
    home.mkdir()
    (home / "oleada.toml").write_text(f"door_port = {free_port()}\n")

    with pytest.raises(up.PortTakenError, match="or change door_port in"):
        up._bring_up(home, Stopped(), lambda _: None)  # type: ignore[arg-type]


def test_another_program_on_our_port_is_not_taken_for_ours() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as ours,
        subprocess.Popen([sys.executable, "-S", "-c", LISTENER, str(port := free_port())]) as other,
    ):
        wait_until(lambda: listening.listens(other.pid, port), "it listens")

        assert listening.listens(os.getpid(), ours.getsockname()[1])
        assert not listening.listens(os.getpid(), port)
        assert not listening.listens(other.pid, ours.getsockname()[1])
        other.kill()
    assert not listening.listens(other.pid, port)
