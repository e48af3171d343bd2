"""Firmware from the browser: a bundle is published as it arrives, or says why not."""

import io
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.audit import service as audit
from oleada_server.clock import now_utc
from oleada_server.db import db
from oleada_server.devices.service import record_model
from oleada_server.releases import service

from tests.support.releases import Signers, hold_ceremony, some_info
from tests.web.forms import csrf_of

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SignIn = Callable[..., FlaskClient]
MB = 1_000_000


@pytest.fixture
def now() -> datetime:
    """The real time, for metadata that must not have expired."""
    return now_utc()


@pytest.fixture
def signers(empty_app: Flask, now: datetime) -> Signers:
    """The signers of the console's server."""
    with empty_app.app_context():
        found = hold_ceremony(empty_app.extensions["oleada_config"].keys_dir, now)
        service.install_trust(found.files, "user:anna", now)
        record_model("VX-410", "4K")
        db.session.commit()
        db.session.remove()
    return found


@pytest.fixture
def client(empty_app: Flask, signed_in: SignIn) -> FlaskClient:
    """A client in which an operator is signed in."""
    return signed_in(empty_app)


def publish(client: FlaskClient, content: bytes, path: str = "/releases") -> tuple[int, str]:
    """Send the form with a bundle as a browser does; return status and page after it."""
    token = csrf_of(client.get("/releases").text)
    form = {"csrf_token": token, "bundle": (io.BytesIO(content), "a.bundle")}
    answer = client.post(path, data=form, content_type="multipart/form-data", follow_redirects=True)
    return answer.status_code, answer.text


def releases(app: Flask) -> list[str]:
    with app.app_context():
        found = [release.version for release in service.list_releases()]
        db.session.remove()
    return found


def test_a_signed_bundle_is_published_and_its_page_says_who_signed(
    empty_app: Flask, client: FlaskClient, signers: Signers, now: datetime
) -> None:
    content = signers.bundle(some_info("5.8.2"), now=now)

    status, page = publish(client, content)

    assert (status, releases(empty_app)) == (200, ["5.8.2"])
    assert "5.8.2 for VX-410 is published." in page
    assert "Signed by 2 keys" in page
    assert "This model needs 2 signatures." in page
    assert page.count("one of the keys of this model") == 2
    assert "Version 5.8.2" in page
    with empty_app.app_context():
        deeds = [(one.actor, one.action) for one in audit.events_about("VX-410/5.8.2.img")]
        db.session.remove()
    assert deeds == [("user:a.torres", "release.publish")]


def test_the_beginning_of_a_bundle_says_what_is_signed_before_the_rest_is_sent(
    empty_app: Flask, client: FlaskClient, signers: Signers, now: datetime
) -> None:
    content = signers.bundle(some_info("5.8.2"), b"x" * MB, now=now)

    status, said = publish(client, content[: len(content) // 2], "/releases/check")

    assert (status, releases(empty_app)) == (200, [])
    assert "The signatures hold" in said
    assert "<b>5.8.2</b> for VX-410" in said
    assert "2 keys, 2 needed" in said
    assert "Version 5.8.2" in said


@pytest.mark.parametrize("path", ["/releases", "/releases/check"])
def test_a_bundle_that_too_few_signed_is_refused_in_words(
    empty_app: Flask, client: FlaskClient, signers: Signers, now: datetime, path: str
) -> None:
    content = signers.bundle(some_info("5.8.2"), signed_by=[], now=now)

    status, page = publish(client, content, path)

    assert (status, releases(empty_app)) == (400, [])
    assert "have signed it." in page
    assert "Nothing of it was kept." in page


def test_each_refusal_is_in_words_and_keeps_nothing(
    empty_app: Flask, client: FlaskClient, signers: Signers, now: datetime
) -> None:
    content = signers.bundle(some_info("5.8.2"), now=now)
    damaged = bytearray(content)
    damaged[-4000] ^= 1

    said = [
        publish(client, wrong)
        for wrong in (b"not a bundle at all" * 99, content[:-3000], bytes(damaged), b"")
    ]

    assert [status for status, _ in said] == [400, 400, 400, 400]
    assert "This file is not a release bundle." in said[0][1]
    assert "The file ends too early" in said[1][1]
    assert "The image is not the one that was signed." in said[2][1]
    assert releases(empty_app) == []


def test_nothing_chosen_asks_for_a_bundle(client: FlaskClient) -> None:
    token = csrf_of(client.get("/releases").text)
    body = (
        f'--x\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n{token}\r\n'
        '--x\r\nContent-Disposition: form-data; name="bundle"; filename=""\r\n'
        "Content-Type: application/octet-stream\r\n\r\n\r\n--x--\r\n"
    )

    answer = client.post("/releases", data=body, content_type="multipart/form-data; boundary=x")

    assert answer.status_code == 400
    assert "Choose a bundle first." in answer.text


@pytest.mark.parametrize("token", ["", "wrong"])
def test_a_bundle_without_the_form_token_is_refused(
    empty_app: Flask, client: FlaskClient, signers: Signers, now: datetime, token: str
) -> None:
    content = signers.bundle(some_info("5.8.2"), now=now)
    form = {"csrf_token": token, "bundle": (io.BytesIO(content), "a.bundle")}

    answer = client.post("/releases", data=form, content_type="multipart/form-data")

    assert (answer.status_code, releases(empty_app)) == (400, [])


@pytest.mark.parametrize(
    "body",
    [b"", b"--x", b"--x\r\n", b'--x\r\nContent-Disposition: form-data; name="a"', b"\0" * 5000],
)  # fmt: skip
def test_a_form_that_is_cut_off_or_none_is_refused(client: FlaskClient, body: bytes) -> None:
    answer = client.post("/releases", data=body, content_type="multipart/form-data; boundary=x")

    assert answer.status_code == 400


def test_memory_stays_flat_while_a_large_bundle_arrives(
    empty_app: Flask, client: FlaskClient, signers: Signers, now: datetime
) -> None:
    size = 32 * MB
    head, tail = parts_of(signers, now, size)
    token = csrf_of(client.get("/releases").text)
    before = b'--x\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n' + token.encode()
    before += b'\r\n--x\r\nContent-Disposition: form-data; name="bundle"; filename="a"\r\n\r\n'
    after = tail + b"\r\n--x--\r\n"
    length = len(before) + len(head) + size + len(after)
    tracemalloc.start()

    answer = client.post(
        "/releases",
        input_stream=Pieces(chunks(before + head, size, after), length),
        content_type="multipart/form-data; boundary=x",
    )
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert answer.status_code == 303, answer.text
    assert releases(empty_app) == ["6.0.0"]
    assert peak_bytes < 12 * MB  # a few pieces of a megabyte, and the pages


class Pieces(io.RawIOBase):
    """A stream of *length* bytes in pieces that are made as they are read."""

    def __init__(self, pieces: Iterator[bytes], length: int) -> None:
        super().__init__()
        self._pieces, self._rest = pieces, b""
        self._length, self._place = length, 0

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Say where the end is; the test client asks for the length so."""
        self._place = self._length if whence == 2 else offset
        return self._place

    def tell(self) -> int:
        """Return what the last :meth:`seek` said."""
        return self._place

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, room: "WriteableBuffer", /) -> int:
        """Fill *room* from the next piece; return how many bytes that were."""
        view = memoryview(room)
        if not self._rest:
            self._rest = next(self._pieces, b"")
        found, self._rest = self._rest[: len(view)], self._rest[len(view) :]
        view[: len(found)] = found
        return len(found)


def chunks(before: bytes, size: int, after: bytes) -> Iterator[bytes]:
    yield before
    block = bytes(MB)
    for _ in range(size // MB):
        yield block
    yield after


def parts_of(signers: Signers, now: datetime, size: int) -> tuple[bytes, bytes]:
    """Return what stands before and after the zeros of a bundle whose image is zeros."""
    content = signers.bundle(some_info("6.0.0"), bytes(size), now=now)
    start = content.rindex(b"image", 0, 200_000)
    first = (start // 512 + 1) * 512
    return content[:first], content[first + size :]


def test_a_release_is_withdrawn_with_a_reason_and_its_version_typed(
    empty_app: Flask, client: FlaskClient, signers: Signers, now: datetime
) -> None:
    publish(client, signers.bundle(some_info("5.8.2"), now=now))
    path = "/releases/VX-410/5.8.2/withdraw"
    token = csrf_of(client.get(path).text)

    lacking = [
        client.post(path, data={"csrf_token": token, **form})
        for form in ({"reason": "", "confirm": "5.8.2"}, {"reason": "kept", "confirm": "5.8.1"})
    ]
    done = client.post(
        path,
        data={"csrf_token": token, "reason": "it hangs", "confirm": "5.8.2"},
        follow_redirects=True,
    )

    assert [answer.status_code for answer in lacking] == [400, 400]
    assert 'value="kept"' in lacking[1].text
    assert "“it hangs”. No box installs it any more." in done.text
    with empty_app.app_context():
        assert service.get("VX-410", "5.8.2").state == "withdrawn"
        db.session.remove()


def test_a_viewer_sees_who_may_publish_and_no_form(
    empty_app: Flask, signed_in: SignIn, signers: Signers
) -> None:
    page = signed_in(empty_app, "v.dvorak").get("/releases").text

    assert 'name="bundle"' not in page


def test_notes_are_in_the_readers_language(filled_app: Flask, signed_in: SignIn) -> None:
    pages = {
        name: signed_in(filled_app, name).get("/releases/VX-410/5.8.2").text
        for name in ("a.torres", "v.dvorak", "l.ruiz")
    }

    assert "Picture comes back after standby" in pages["a.torres"]
    assert 'lang="cs">Obraz se po pohotovosti vrátí' in pages["v.dvorak"]
    assert 'lang="es">La imagen vuelve tras la espera' in pages["l.ruiz"]
