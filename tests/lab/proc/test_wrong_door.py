"""What somebody in front of the device door may answer, over TLS and on real sockets."""

import http.client
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from oleada_lab.proc.line import Line, Lines
from oleada_lab.proc.wrong_door import LONGER_BYTES, RETRY_AFTER_S, Certificates, flipped
from oleada_lab.real.house import Authority, Door, free_port
from oleada_lab.scenario import Line as Profile
from oleada_lab.scenario import Moment
from oleada_lab.sim.door import Wrong

ADDRESS = "127.77.252.1"
IMAGE = Random(3).randbytes(60_000)
QUICK = Profile(rtt=Moment(2), jitter=Moment(0))
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the door's certificate and key, and who signed it."""
    found = tmp_path_factory.mktemp("pki")
    authority = Authority("service CA")
    certificate, key = authority.server_files(found)
    certificate.rename(found / "door.pem")
    key.rename(found / "door.key")
    (found / "service-ca.pem").write_text(authority.pem)
    return found


@pytest.fixture
def line(pki: Path, tmp_path: Path) -> Iterator[Line]:
    """Return a line to a door that serves one image."""

    certificates = Certificates.of(pki, tmp_path)
    door = Door(certificates.own, lambda _: (403, {}))
    door.artifacts["image"] = IMAGE
    thread = threading.Thread(target=door.serve_forever, args=(0.01,))
    thread.start()
    with Lines() as lines:
        yield lines.open(
            Line(ADDRESS, (free_port(), door.server_port), QUICK, Random(1), certificates)
        )
    door.shutdown()
    thread.join()
    door.server_close()


def ask(line: Line, pki: Path, offset: int = 0) -> tuple[http.client.HTTPResponse, bytes]:
    """Return the answer to a box that asks for the image from *offset* on."""
    context = ssl.create_default_context(cafile=str(pki / "service-ca.pem"))
    context.check_hostname = False  # the address of a line is in no certificate
    port = line.ports[1]
    connection = http.client.HTTPSConnection(line.address, port, timeout=LIMIT_S, context=context)
    try:
        span = f"bytes={offset}-{len(IMAGE) - 1}"
        connection.request("GET", "/artifacts/image", headers={"Range": span})
        response = connection.getresponse()
        try:
            body = response.read()
        except http.client.IncompleteRead as error:
            body = error.partial
        return response, body
    finally:
        connection.close()


def test_without_anybody_in_front_the_image_comes_as_it_is(line: Line, pki: Path) -> None:
    response, body = ask(line, pki, 1000)

    assert response.status == 206
    assert body == IMAGE[1000:]


def test_a_portal_is_a_stranger_first_and_then_a_page_that_looks_well(
    line: Line, pki: Path
) -> None:
    line.wrong = Wrong.PORTAL

    with pytest.raises(ssl.SSLCertVerificationError):
        ask(line, pki)
    response, body = ask(line, pki)

    assert (response.status, response.headers["Content-Type"]) == (200, "text/html")
    assert b"sign in" in body


@pytest.mark.parametrize(("wrong", "status"), [(Wrong.NOT_FOUND, 404), (Wrong.BUSY, 503)])
def test_a_door_has_nothing_or_no_time(wrong: Wrong, status: int, line: Line, pki: Path) -> None:
    line.wrong = wrong

    response, _ = ask(line, pki)

    assert response.status == status
    wanted = str(RETRY_AFTER_S) if wrong is Wrong.BUSY else None
    assert response.headers["Retry-After"] == wanted


def test_a_bit_of_each_part_is_another_one_and_the_length_is_right(line: Line, pki: Path) -> None:
    line.wrong = Wrong.CORRUPT

    _, body = ask(line, pki)

    assert len(body) == len(IMAGE)
    assert body[0] == IMAGE[0] ^ 1
    assert body != IMAGE


def test_an_answer_ends_in_the_middle(line: Line, pki: Path) -> None:
    line.wrong = Wrong.TRUNCATED

    response, body = ask(line, pki)

    assert int(response.headers["Content-Length"]) == len(IMAGE)
    assert body == IMAGE[: len(IMAGE) // 2]


def test_a_file_is_longer_than_the_one_that_was_signed(line: Line, pki: Path) -> None:
    line.wrong = Wrong.OVERSIZED

    response, body = ask(line, pki)

    longer = len(IMAGE) + LONGER_BYTES
    assert response.headers["Content-Range"] == f"bytes 0-{longer - 1}/{longer}"
    assert len(body) == longer


def test_one_bit_is_one_bit() -> None:
    assert flipped(b"\x00ab") == b"\x01ab"
