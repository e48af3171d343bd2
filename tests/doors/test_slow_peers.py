"""Peers that drip, stall and never end, at both doors: they hold no thread that others need.

Each door has two threads. One slow peer more than that comes first, and all go on for as
long as an honest one waits.
"""

import os
import select
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from oleada_server import clock
from oleada_server import config as settings
from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.db import db
from oleada_server.initialise import make_certificates
from oleada_server.up import door_command, web_command
from oleada_store.keys import make_online_keys

from tests.support.broker import wait_until
from tests.support.postgres import free_port

pytestmark = pytest.mark.real
LIMIT_S = 60.0
THREADS = 2
SLOW = THREADS + 1
GOOD = b"GET /healthz HTTP/1.1\r\nHost: door\r\nConnection: close\r\n\r\n"
BODY = (
    b"POST %s HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n\r\n"
)
CHUNKS = (
    b"POST %s HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
HELLO = bytes.fromhex("16 03 01 02 00 01 00 01 fc 03 03")
"""How a TLS hello of 512 bytes begins."""
SLOWNESS = {
    "headers without end": (b"GET /healthz HTTP/1.1\r\n", b"X-More: and more\r\n"),
    "a request line that drips": (b"GET /", b"a"),
    "a body that drips": (BODY, b" "),
    "a body that never comes": (BODY, b""),
    "chunks that drip": (CHUNKS, b"1\r\n \r\n"),
    "a connection that says nothing": (b"", b""),
}
"""By name: what a peer says first, and then again and again."""


@dataclass(frozen=True, slots=True)
class Place:
    """A door that runs.

    Attributes:
        post: A path that takes a body.
    """

    port: int
    is_tls: bool
    post: bytes
    log: Path

    def plain(self) -> socket.socket:
        """Return a connection without TLS."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT_S)

    def open(self) -> socket.socket:
        """Return a connection as honest peers make it."""
        if not self.is_tls:
            return self.plain()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context.wrap_socket(self.plain())

    def answers(self, meanwhile: Callable[[], None] = lambda: None) -> bool:
        """Return whether an honest request is answered; calls *meanwhile* until then."""
        end_s = clock.monotonic_s() + LIMIT_S
        answer = b""
        with suppress(OSError), self.open() as link:
            link.sendall(GOOD)
            while clock.monotonic_s() < end_s:
                meanwhile()
                if select.select([link], [], [], 0.05)[0]:
                    part = link.recv(4096)
                    answer += part
                    if not part:
                        break
        return b"200 OK" in answer


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty data directory of which both doors have few threads."""
    home = tmp_path_factory.mktemp("slow") / "oleada"
    home.mkdir()
    lines = (
        f"door_port = {free_port()}", f"web_port = {free_port()}",
        f"door_threads = {THREADS}", f"web_threads = {THREADS}",
    )  # fmt: skip
    (home / "oleada.toml").write_text("\n".join(lines) + "\n")
    config = settings.load(home, {})
    make_online_keys(config.keys_dir)
    app = create_app(config, WITHOUT_PAGES)
    with app.app_context():
        make_certificates(config, clock.now_utc())
        db.create_all()
        db.session.remove()
        db.engine.dispose()
    return home


@pytest.fixture(scope="module", params=["console", "device door"])
def place(home: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    config = settings.load(home, {})
    is_door = request.param == "device door"
    port = config.door_port if is_door else config.web_port
    path = b"/device/v1/enrol" if is_door else b"/api/v1/claims"
    found = Place(port, is_door, path, home.parent / f"{port}.log")
    command = door_command(config) if is_door else web_command(config)
    with found.log.open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "OLEADA_DATA_DIR": str(home)}
        )
        try:
            wait_until(found.answers, "the door answers", LIMIT_S)
            yield found
        finally:
            process.terminate()
            process.wait(LIMIT_S)


def _begin(place: Place, first: bytes) -> socket.socket:
    link = place.open()
    link.sendall(first % place.post if b"%s" in first else first)
    return link


def _say(links: list[socket.socket], more: bytes) -> None:
    """Say *more* on every link that still stands."""
    for link in links:
        with suppress(OSError):
            link.sendall(more)


@pytest.mark.parametrize("name", SLOWNESS)
def test_an_honest_request_is_answered_beside_slow_ones(place: Place, name: str) -> None:
    first, more = SLOWNESS[name]
    with ExitStack() as held:
        links = [held.enter_context(_begin(place, first)) for _ in range(SLOW)]

        assert place.answers(partial(_say, links, more))

    assert "Traceback" not in place.log.read_text()


def test_half_a_tls_hello_holds_no_thread_for_long(place: Place) -> None:
    with ExitStack() as held:
        links = [held.enter_context(place.plain()) for _ in range(SLOW)]
        _say(links, HELLO)

        assert place.answers(partial(_say, links, b"\0"))

    assert "Traceback" not in place.log.read_text()


def test_an_honest_peer_may_take_its_time(place: Place) -> None:
    """One slow request among free threads is answered: nobody is cut off without need."""
    with place.open() as link:
        for byte in GOOD:
            link.sendall(bytes([byte]))
            select.select([link], [], [], 0.02)

        assert b"200 OK" in link.recv(4096)
