"""What stands before the device door: the door itself, or something that ends its TLS."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from oleada_server.config import Config
from oleada_server.enrolment import pki
from oleada_server.system import front, sentences
from oleada_server.system.front import Front
from oleada_server.system.judge import Code, Facts, judge

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ANSWER = b"HTTP/1.0 502 Bad Gateway\r\n\r\n"


@pytest.fixture
def ready(sqlite_config: Config) -> Config:
    """A server with its authorities and the certificate of its door."""
    for name in ("device-ca", "service-ca"):
        pki.make_authority(sqlite_config.pki_dir, name, NOON)
    pki.make_server_end(sqlite_config.pki_dir, "door", ["localhost", "127.0.0.1"], NOON)
    return sqlite_config


def tls_of(pki_dir: Path, name: str = "door", *, asks: bool = True) -> ssl.SSLContext:
    """Return TLS with the certificate of *name*; as the door's own if it *asks* for boxes'."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki_dir / f"{name}.pem", pki_dir / f"{name}.key")
    if asks:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(pki_dir / "device-ca.pem")
    return context


@contextmanager
def listening(context: ssl.SSLContext | None) -> Iterator[int]:
    """Answer every request on loopback, in *context* or in plain; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                peer, _ = server.accept()
                with peer:
                    if peer.getpeername() == ended:
                        return
                    _answer(peer, context)

        thread = threading.Thread(target=serve)
        thread.start()
        last = socket.socket()
        last.bind(("127.0.0.1", 0))
        ended = last.getsockname()
        try:
            yield server.getsockname()[1]
        finally:
            last.connect(server.getsockname())
            thread.join()
            last.close()


def _answer(peer: socket.socket, context: ssl.SSLContext | None) -> None:
    try:
        spoken = context.wrap_socket(peer, server_side=True) if context else peer
        with spoken:
            if spoken.recv(1000):
                spoken.sendall(ANSWER)
    except OSError:
        return  # who asks hangs up, or is hung up on


def met(config: Config, context: ssl.SSLContext | None) -> Front | None:
    with listening(context) as port:
        return front.find(replace(config, door_port=port), NOON, timeout_s=60)


def test_a_door_that_asks_boxes_for_their_certificates_is_the_door(ready: Config) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = tls_of(ready.pki_dir)
        context.minimum_version = context.maximum_version = version

        assert met(ready, context) is Front.DOOR


def test_a_proxy_with_the_doors_own_certificate_that_asks_for_none_is_found(
    ready: Config,
) -> None:
    assert met(ready, tls_of(ready.pki_dir, asks=False)) is Front.BLIND


def test_a_proxy_with_a_certificate_of_its_own_is_found(ready: Config, tmp_path: Path) -> None:
    pki.make_authority(tmp_path, "service-ca", NOON)
    pki.make_authority(tmp_path, "device-ca", NOON)
    pki.make_server_end(tmp_path, "door", ["localhost"], NOON)

    assert met(ready, tls_of(tmp_path)) is Front.OTHER


def test_what_speaks_no_tls_is_not_the_door(ready: Config) -> None:
    assert met(ready, None) is Front.OTHER


def test_the_next_certificate_of_the_door_is_the_doors_as_well(ready: Config) -> None:
    context = tls_of(ready.pki_dir)
    (ready.pki_dir / "door.pem").unlink()
    pki.make_server_end(ready.pki_dir, "door", ["localhost"], NOON)

    assert met(ready, context) is Front.DOOR


def test_a_public_name_that_leads_nowhere_counts_only_while_the_door_is_there(
    ready: Config,
) -> None:
    away = replace(ready, public_host="127.0.0.2", door_host="0.0.0.0")  # noqa: S104 - as in a container

    with listening(tls_of(ready.pki_dir)) as port:
        assert front.find(replace(away, door_port=port), NOON, timeout_s=60) is Front.AWAY
    assert front.find(replace(away, door_port=port), NOON, timeout_s=60) is None


def test_where_there_is_no_server_yet_nothing_is_known(sqlite_config: Config) -> None:
    assert front.find(sqlite_config, NOON) is None


@pytest.mark.parametrize(
    ("seen", "code", "kind", "title"),
    [
        (Front.OTHER, Code.DOOR_OTHER, "bad", "shows another certificate"),
        (Front.BLIND, Code.DOOR_BLIND, "bad", "looks at certificates of boxes"),
        (Front.AWAY, Code.DOOR_AWAY, "warn", "does not answer at https://tv.example:8443"),
    ],
)
def test_it_is_said_in_words(seen: Front, code: Code, kind: str, title: str) -> None:
    facts = Facts(database_ms=1.0, front=seen, door="https://tv.example:8443")

    (found,) = judge(facts, NOON)

    assert (found.code, found.kind) == (code, kind)
    assert title in sentences.said(found).title


@pytest.mark.parametrize("seen", [Front.DOOR, None])
def test_a_door_that_is_reached_or_that_nobody_looked_for_is_no_matter(seen: Front | None) -> None:
    assert judge(Facts(database_ms=1.0, front=seen), NOON) == []
