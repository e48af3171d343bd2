"""Bad input at the device door as boxes meet it: gunicorn, TLS and a raw socket."""

import base64
import os
import shutil
import socket
import sqlite3
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from oleada_server import config as settings
from oleada_server.clock import now_utc
from oleada_server.config import Config
from oleada_server.enrolment import pki
from oleada_server.up import door_command

from tests.support.broker import issue_box, wait_until
from tests.support.certificates import a_key, a_request
from tests.support.postgres import free_port

pytestmark = pytest.mark.real
LIMIT_S = 60.0
GOOD = b"GET /healthz HTTP/1.1\r\nHost: door\r\nConnection: close\r\n\r\n"
CHUNKED = (
    b"POST /device/v1/enrol HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
ODD = {
    "no HTTP": b"\x00\x01\x02\xff\r\n\r\n",
    "a method of nobody": b"BREW / HTTP/1.1\r\nHost: door\r\n\r\n",
    "a version of nobody": b"GET /healthz HTTP/9.9\r\nHost: door\r\n\r\n",
    "two lengths": b"POST /device/v1/enrol HTTP/1.1\r\nHost: d\r\nContent-Length: 3\r\n"
    b"Content-Length: 4\r\n\r\n{}}",
    "length and chunks": b"POST /device/v1/enrol HTTP/1.1\r\nHost: d\r\nContent-Length: 3\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk of letters": b"POST /device/v1/enrol HTTP/1.1\r\nHost: d\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "JSON in a chunk of letters": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "JSON in a chunk below nothing": CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    "JSON in a chunk that goes on": CHUNKED + b"2\r\n{}{}0\r\n\r\n",
    "JSON before a header with NUL": CHUNKED + b"2\r\n{}\r\n0\r\nX: a\x00b\r\n\r\n",
    "a length of letters": b"POST /device/v1/enrol HTTP/1.1\r\nHost: d\r\n"
    b"Content-Length: many\r\n\r\n",
    "a length beyond": b"POST /device/v1/enrol HTTP/1.1\r\nHost: d\r\n"
    b"Content-Length: 99999999999999999999\r\n\r\n",
    "a long line": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: d\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nHost: d\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    "a thousand headers": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
    "a header with NUL": b"GET / HTTP/1.1\r\nHost: d\r\nX: a\x00b\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: d\r\nX: a\r\n b\r\n\r\n",
    "a path above all": b"GET /artifacts/../../../../etc/passwd HTTP/1.1\r\nHost: d\r\n\r\n",
    "a quoted path above all": b"GET /tuf/%2e%2e%2f%2e%2e%2fkeys%2fdirector.pem HTTP/1.1\r\n"
    b"Host: d\r\n\r\n",
    "the console": b"GET /api/v1/devices HTTP/1.1\r\nHost: d\r\n\r\n",
}
"""By name: what is sent instead of a request."""


@dataclass(frozen=True, slots=True)
class Door:
    """A device door that runs."""

    config: Config
    log: Path

    def plain(self) -> socket.socket:
        """Return a connection without TLS."""
        return socket.create_connection(("127.0.0.1", self.config.door_port), timeout=LIMIT_S)

    def tls(self, shown: tuple[Path, Path] | None = None) -> ssl.SSLSocket:
        """Return a connection with TLS; whose the certificate is, is not asked here.

        *shown* are the files of a certificate and its key, to be shown to the door.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if shown is not None:
            context.load_cert_chain(*shown)
        return context.wrap_socket(self.plain())

    def ask(self, data: bytes, shown: tuple[Path, Path] | None = None) -> bytes:
        """Return all that is answered to *data*."""
        answer = b""
        with self.tls(shown) as link, suppress(ConnectionError, ssl.SSLError):
            link.sendall(data)
            while part := link.recv(65_536):
                answer += part
        return answer


@pytest.fixture(scope="module")
def door(
    filled_home: tuple[Path, dict[str, object]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Door]:
    """The device door over a filled data directory, with few threads."""
    home = tmp_path_factory.mktemp("door") / "oleada"
    shutil.copytree(filled_home[0], home)
    (home / "oleada.toml").write_text(f"door_port = {free_port()}\ndoor_threads = 4\n")
    found = Door(settings.load(home, {}), home.parent / "door.log")
    with found.log.open("wb") as log:
        process = subprocess.Popen(
            door_command(found.config), stdout=log, stderr=log,
            env={**os.environ, "OLEADA_DATA_DIR": str(home)},
        )  # fmt: skip
        try:
            wait_until(lambda: _answers(found), "the door answers", LIMIT_S)
            yield found
        finally:
            process.terminate()
            process.wait(LIMIT_S)


def _answers(door: Door) -> bool:
    try:
        return b"200 OK" in door.ask(GOOD)
    except OSError:
        return False


def test_what_is_no_request_gets_a_refusal_and_no_bytes_of_ours(door: Door) -> None:
    for name, data in ODD.items():
        answer = door.ask(data.replace(b"Host: d\r\n", b"Host: d\r\nConnection: close\r\n"))

        first = answer.partition(b"\r\n")[0]
        assert not first or first.split()[1][:1] in {b"4", b"5"}, (name, first)
        assert b" 500 " not in first, name
        assert b"PRIVATE KEY" not in answer, name
        assert b"root:" not in answer, name
    assert _answers(door)
    assert "Traceback" not in door.log.read_text()


def test_half_requests_of_the_silent_do_not_close_the_door(door: Door) -> None:
    with ExitStack() as held:
        for number in range(door.config.door_threads):
            if number % 2:
                link: socket.socket = held.enter_context(door.tls())
                link.sendall(b"POST /device/v1/enrol HTTP/1.1\r\nHost: d\r\nContent-Len")
            else:
                link = held.enter_context(door.plain())
                link.sendall(b"\x16\x03\x01")

        assert _answers(door)


def test_a_box_that_hangs_up_in_its_request_is_forgotten(door: Door) -> None:
    whole = (
        b"POST /device/v1/enrol HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
        b"Content-Length: 400\r\n\r\n" + b'{"token": "'
    )
    for cut in range(1, len(whole), 9):
        with door.tls() as link:
            link.sendall(whole[:cut])

    assert _answers(door)
    assert "Traceback" not in door.log.read_text()


def a_box(door: Door) -> str:
    with closing(sqlite3.connect(door.config.data_dir / "oleada.db")) as rows:
        return str(rows.execute("SELECT id FROM device ORDER BY id LIMIT 1").fetchone()[0])


def a_renewal() -> bytes:
    der = x509.load_pem_x509_csr(a_request(a_key()).encode()).public_bytes(Encoding.DER)
    body = base64.encodebytes(der)
    return (
        b"POST /.well-known/est/simplereenroll HTTP/1.1\r\nHost: d\r\nConnection: close\r\n"
        b"Content-Type: application/pkcs10\r\nContent-Length: %d\r\n\r\n" % len(body)
    ) + body


def test_an_expired_certificate_proves_who_calls_and_opens_the_renewal_alone(door: Door) -> None:
    shown = issue_box(door.config, a_box(door), now_utc() - timedelta(days=400))

    assert door.ask(a_renewal(), shown).startswith(b"HTTP/1.1 200")
    assert door.ask(GOOD, shown).startswith(b"HTTP/1.1 403")
    assert b"certificate-missing" in door.ask(a_renewal())


def test_a_certificate_that_another_authority_signed_is_no_proof(
    door: Door, tmp_path: Path
) -> None:
    pki.make_authority(tmp_path / "pki", "device-ca", now_utc())
    strange = replace(door.config, data_dir=tmp_path)

    assert door.ask(a_renewal(), issue_box(strange, a_box(door))) == b""
