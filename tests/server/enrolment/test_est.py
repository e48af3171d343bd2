"""Enrolment and renewal by EST (RFC 7030): the old key proves the box, however late it comes."""

import base64
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates
from cryptography.x509.oid import NameOID
from flask import Flask
from oleada_server import clock
from oleada_server.app import create_door
from oleada_server.audit import service as audit
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.enrolment import pki, service
from oleada_server.enrolment.models import Certificate
from oleada_server.enrolment.renewals import A_DAY_MAX
from sqlalchemy import select
from werkzeug.test import TestResponse

from tests.support.certificates import a_key, a_request

DAY = timedelta(days=1)
TIME_OF_A_CERTIFICATE = 90 * DAY


class Tls:
    """The end of a TLS connection whose client has proved a certificate."""

    def __init__(self, certificate: x509.Certificate | None) -> None:
        self._certificate = certificate

    def getpeercert(self, binary_form: bool = False) -> bytes | None:
        """Return it in DER."""
        assert binary_form
        return self._certificate.public_bytes(Encoding.DER) if self._certificate else None


@pytest.fixture
def door(app: Flask) -> Iterator[Flask]:
    """The device door on the database of *app*, with its authorities."""
    config: Config = app.extensions["oleada_config"]
    for name in ("device-ca", "service-ca"):
        pki.make_authority(config.pki_dir, name, clock.now_utc() - 1000 * DAY)
    found = create_door(config)
    yield found
    with found.app_context():
        db.engine.dispose()


def now() -> datetime:
    return clock.now_utc()


def enrolled(at: datetime) -> tuple[str, x509.Certificate]:
    """Return id and certificate of a box that was enrolled *at* a time."""
    token = service.create_claim("SN-1", "VX-410", actor="user:nora", now=at)
    found = service.enrol(token, "SN-1", a_request(a_key()), at)
    return found.device_id, x509.load_pem_x509_certificate(found.certificate_pem.encode())


def a_body(key: EllipticCurvePrivateKey, name: str = "whoever") -> bytes:
    der = x509.load_pem_x509_csr(a_request(key, name).encode()).public_bytes(Encoding.DER)
    return base64.encodebytes(der)


def ask(
    door: Flask, path: str, body: bytes = b"", shown: x509.Certificate | None = None, **more: Any
) -> TestResponse:
    """POST *body*, over TLS by which *shown* was proved."""
    db.session.rollback()
    return door.test_client().post(
        f"/.well-known/est/{path}", data=body, content_type="application/pkcs10",
        environ_overrides={"gunicorn.socket": Tls(shown)}, **more,
    )  # fmt: skip


def renew(door: Flask, body: bytes, shown: x509.Certificate | None) -> TestResponse:
    return ask(door, "simplereenroll", body, shown)


def certificates(answer: TestResponse) -> list[x509.Certificate]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/pkcs7-mime; smime-type=certs-only"
    return load_der_pkcs7_certificates(base64.b64decode(answer.data))


def code(answer: TestResponse) -> tuple[int, str]:
    found: Any = answer.get_json(force=True)
    return answer.status_code, found["code"]


def alarms(device_id: str) -> list[str | None]:
    db.session.rollback()
    found = audit.events_about(f"device:{device_id}")
    return [one.reason for one in found if one.action == "device.renew-alarm"]


def test_the_authorities_are_told(door: Flask) -> None:
    found = certificates(door.test_client().get("/.well-known/est/cacerts"))

    names = {str(one.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value) for one in found}
    assert names == {"Oleada service-ca", "Oleada device-ca"}


def test_a_claim_token_as_password_becomes_a_certificate_and_the_names_asked_for_do_not_count(
    door: Flask,
) -> None:
    token = service.create_claim("SN-7", "VX-410", actor="user:nora", now=now())
    key = a_key()

    answer = ask(door, "simpleenroll", a_body(key, "somebody-else"), auth=("SN-7", token))
    again = ask(door, "simpleenroll", a_body(key), auth=("SN-7", token))

    (found,) = certificates(answer)
    assert found.public_key() == key.public_key()
    assert certificates(again) == [found]
    (name,) = found.subject
    device = db.session.scalars(select(Device)).one()
    assert (name.value, device.serial) == (device.id, "SN-7")


def test_the_same_token_with_another_key_is_refused_and_rings(door: Flask) -> None:
    token = service.create_claim("SN-7", "VX-410", actor="user:nora", now=now())
    certificates(ask(door, "simpleenroll", a_body(a_key()), auth=("SN-7", token)))

    answer = ask(door, "simpleenroll", a_body(a_key()), auth=("SN-7", token))

    assert code(answer) == (409, "claim-used")
    device = db.session.scalars(select(Device)).one()
    assert "alarm" in (audit.events_about(f"device:{device.id}")[0].reason or "")


def test_who_shows_no_token_is_asked_for_one(door: Flask) -> None:
    for more in ({}, {"headers": {"Authorization": "Bearer x"}}, {"auth": ("SN-7", "")}):
        answer = ask(door, "simpleenroll", a_body(a_key()), **more)
        assert code(answer) == (401, "claim-missing")
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize("age", [60 * DAY, 89 * DAY, 91 * DAY, 455 * DAY, 3 * 365 * DAY])
def test_a_certificate_in_time_or_years_late_becomes_the_next_one(
    door: Flask, age: timedelta
) -> None:
    device_id, old = enrolled(now() - age)
    key = a_key()

    (new,) = certificates(renew(door, a_body(key, "somebody-else"), old))

    assert new.public_key() == key.public_key()
    assert new.subject == old.subject
    assert new.not_valid_after_utc > now() + 89 * DAY
    late = [
        one for one in audit.events_about(f"device:{device_id}") if one.action == "device.renew"
    ]
    assert len(late) == (age > TIME_OF_A_CERTIFICATE)


def test_an_answer_that_was_lost_is_given_again_and_makes_no_second_certificate(
    door: Flask,
) -> None:
    device_id, old = enrolled(now() - 100 * DAY)
    body = a_body(a_key())

    first = certificates(renew(door, body, old))
    again = certificates(renew(door, body, old))

    assert again == first
    assert len(db.session.scalars(select(Certificate)).all()) == 2
    assert alarms(device_id) == []


def test_an_older_certificate_that_asks_for_another_key_gets_it_and_rings(door: Flask) -> None:
    """A box whose new key rotted away needs another; so does a thief with the old key."""
    device_id, old = enrolled(now() - 100 * DAY)
    certificates(renew(door, a_body(a_key()), old))

    certificates(renew(door, a_body(a_key()), old))

    (alarm,) = alarms(device_id)
    assert "perhaps a copy" in (alarm or "")


def test_a_thief_with_an_old_key_does_not_get_certificates_without_end(door: Flask) -> None:
    _, old = enrolled(now() - 100 * DAY)
    for _ in range(A_DAY_MAX):
        certificates(renew(door, a_body(a_key()), old))

    answer = renew(door, a_body(a_key()), old)

    assert code(answer) == (429, "renew-too-often")
    assert int(answer.headers["Retry-After"]) > 0


def test_a_certificate_in_its_first_half_is_not_renewed(door: Flask) -> None:
    _, old = enrolled(now() - 44 * DAY)

    assert code(renew(door, a_body(a_key()), old)) == (409, "renewal-not-due")


def test_nobody_gets_a_certificate_for_the_key_of_another_box(door: Flask) -> None:
    stolen = a_key()
    token = service.create_claim("SN-9", "VX-410", actor="user:nora", now=now())
    service.enrol(token, "SN-9", a_request(stolen), now())
    device_id, old = enrolled(now() - 80 * DAY)

    assert code(renew(door, a_body(stolen), old)) == (409, "key-not-new")
    assert "another box" in (alarms(device_id)[0] or "")


def test_without_a_certificate_nothing_is_renewed(door: Flask) -> None:
    assert code(renew(door, a_body(a_key()), None)) == (403, "certificate-missing")


@pytest.mark.parametrize(
    "header", ["X-SSL-Client-Cert", "X-Forwarded-Client-Cert", "Client-Cert", "SSL_CLIENT_CERT",
               "X-Client-Verify"]
)  # fmt: skip
def test_a_certificate_in_a_header_is_none_whoever_ended_the_tls(door: Flask, header: str) -> None:
    _, shown = enrolled(now() - 80 * DAY)
    pem = shown.public_bytes(Encoding.PEM).decode()

    for text in (quote(pem), base64.b64encode(shown.public_bytes(Encoding.DER)).decode()):
        answer = ask(door, "simplereenroll", a_body(a_key()), headers={header: text})
        assert code(answer) == (403, "certificate-missing")
        assert "a proxy" in answer.get_json(force=True)["detail"]


def test_a_certificate_whose_box_is_not_enrolled_is_refused(door: Flask) -> None:
    authority = service.device_authority()
    stranger = pki.issue_device(
        authority, "VX41ZZZZ0001", a_key().public_key(), now() - 80 * DAY, 90
    )

    assert code(renew(door, a_body(a_key()), stranger)) == (403, "box-not-known")


def test_a_certificate_that_a_restore_has_lost_is_renewed_all_the_same(door: Flask) -> None:
    device_id, _ = enrolled(now() - 200 * DAY)
    lost = pki.issue_device(
        service.device_authority(), device_id, a_key().public_key(), now() - 80 * DAY, 90
    )

    assert certificates(renew(door, a_body(a_key()), lost))


@pytest.mark.parametrize("body", [b"", b"%%%", b"AAAA", b"A" * 20_000, "\u00e9".encode()])
def test_a_body_that_is_no_request_is_refused(door: Flask, body: bytes) -> None:
    _, old = enrolled(now() - 80 * DAY)
    token = service.create_claim("SN-8", "VX-410", actor="user:nora", now=now())

    assert code(renew(door, body, old)) == (400, "bad-csr")
    assert code(ask(door, "simpleenroll", body, auth=("SN-8", token))) == (400, "bad-csr")


def test_a_certificate_that_has_expired_opens_nothing_else(door: Flask) -> None:
    _, old = enrolled(now() - 100 * DAY)
    db.session.rollback()
    client = door.test_client()

    for path in ("/artifacts/" + "0" * 64, "/tuf/root.json", "/device/v1/enrol", "/healthz"):
        late = client.get(path, environ_overrides={"gunicorn.socket": Tls(old)})
        without = client.get(path, environ_overrides={"gunicorn.socket": Tls(None)})
        assert late.status_code == 403, path
        assert without.status_code != 403, path
