"""Enrolment: one token, one serial, one key; a lost answer costs nothing."""

import base64
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from flask import Flask
from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.devices import service as devices
from oleada_server.devices.models import Device
from oleada_server.enrolment import pki, service
from oleada_server.enrolment.errors import (
    BadRequestForCertificateError,
    ClaimExpiredError,
    ClaimNotValidError,
    ClaimUsedError,
)
from oleada_server.enrolment.models import ClaimToken
from oleada_server.errors import BadInputError
from oleada_wire.ids import is_device_id
from sqlalchemy import func, select

from tests.support.certificates import a_key, a_request
from tests.support.fleet import a_hello

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _authorities(app: Flask) -> None:
    pki_dir = app.extensions["oleada_config"].pki_dir
    pki.make_authority(pki_dir, "device-ca", NOON)
    pki.make_authority(pki_dir, "service-ca", NOON)


def _claim(serial: str = "SN-1") -> str:
    return service.create_claim(
        serial, "VX-410", "Europe/Madrid", "north", actor="user:nora", now=NOON
    )


def test_a_token_becomes_a_device_and_a_certificate_of_its_own_name(app: Flask) -> None:
    key = a_key()

    enrolled = service.enrol(_claim(), "SN-1", a_request(key, "STB9999-evil"), NOON)

    assert is_device_id(enrolled.device_id)
    assert enrolled.device_id.startswith("VX41")
    assert (enrolled.hardware_model, enrolled.zone) == ("VX-410", "Europe/Madrid")
    certificate = x509.load_pem_x509_certificate(enrolled.certificate_pem.encode())
    (name,) = certificate.subject
    assert (name.oid, name.value) == (NameOID.COMMON_NAME, enrolled.device_id)
    assert certificate.public_key() == key.public_key()
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [n.value for n in names] == [f"urn:stb:{enrolled.device_id}"]
    use = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(use) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert certificate.not_valid_after_utc == NOON + timedelta(days=90)
    device_ca = pki.load_authority(app.extensions["oleada_config"].pki_dir, "device-ca")
    certificate.verify_directly_issued_by(device_ca.certificate)


def test_an_answer_that_was_lost_is_given_again(app: Flask) -> None:
    token, request = _claim(), a_request(a_key())

    first = service.enrol(token, "SN-1", request, NOON)
    again = service.enrol(token, "SN-1", request, NOON + timedelta(days=40))

    assert again == first
    assert len(audit.events_about(f"device:{first.device_id}")) == 1


def test_another_key_on_a_used_token_is_refused_and_rings(app: Flask) -> None:
    token = _claim()
    enrolled = service.enrol(token, "SN-1", a_request(a_key()), NOON)

    with pytest.raises(ClaimUsedError, match="another key"):
        service.enrol(token, "SN-1", a_request(a_key()), NOON)

    alarm = audit.events_about(f"device:{enrolled.device_id}")[0]
    assert (alarm.action, alarm.reason) == (
        "device.enrol-refused",
        "alarm: the claim token was tried with another key",
    )


def test_only_the_digest_of_a_token_is_stored(app: Flask) -> None:
    token = _claim()

    (row,) = db.session.scalars(select(ClaimToken))
    assert token not in {str(getattr(row, c.key)) for c in ClaimToken.__table__.columns}


@pytest.mark.parametrize(("token", "serial"), [("no such token", "SN-1"), (None, "SN-2")])
def test_a_token_opens_for_its_own_serial_only(app: Flask, token: str | None, serial: str) -> None:
    with pytest.raises(ClaimNotValidError):
        service.enrol(token or _claim(), serial, a_request(a_key()), NOON)


def test_a_token_that_was_not_used_in_time_is_refused(app: Flask) -> None:
    token = _claim()

    with pytest.raises(ClaimExpiredError):
        service.enrol(token, "SN-1", a_request(a_key()), NOON + timedelta(days=30))


def test_a_request_without_proof_of_its_key_is_refused(app: Flask) -> None:
    pem = a_request(a_key())
    stolen = x509.load_pem_x509_csr(pem.encode()).public_bytes(Encoding.DER)
    broken = stolen[:-1] + bytes([stolen[-1] ^ 1])
    csr = x509.load_der_x509_csr(broken).public_bytes(Encoding.PEM).decode()

    with pytest.raises(BadRequestForCertificateError, match="own key"):
        service.enrol(_claim(), "SN-1", csr, NOON)


def _rsa_request() -> str:
    key = rsa.generate_private_key(65537, 2048)
    return a_request(key)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "make",
    [
        lambda: a_request(a_key(ec.SECP384R1())),
        _rsa_request,
        lambda: "nonsense",
        lambda: "",
        lambda: "A" * 10_000,
        lambda: "\u00e9",
    ],
    ids=["P-384", "RSA", "nonsense", "nothing", "huge", "not ASCII"],
)
def test_anything_but_a_p256_request_is_refused(app: Flask, make: Callable[[], str]) -> None:
    with pytest.raises(BadRequestForCertificateError, match="P-256"):
        service.enrol(_claim(), "SN-1", make(), NOON)


def test_no_damaged_byte_of_a_request_is_more_than_a_refusal() -> None:
    """Some of them name a key or a signature that the library has never heard of."""
    whole = x509.load_pem_x509_csr(a_request(a_key()).encode()).public_bytes(Encoding.DER)

    for place in range(len(whole)):
        broken = bytearray(whole)
        broken[place] ^= 0xFF
        lines = base64.encodebytes(bytes(broken)).decode()
        pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{lines}-----END CERTIFICATE REQUEST-----\n"
        with pytest.raises(BadRequestForCertificateError):
            pki.read_request(pem)


def test_a_refused_request_does_not_use_the_token_up(app: Flask) -> None:
    token = _claim()
    with pytest.raises(BadRequestForCertificateError):
        service.enrol(token, "SN-1", "nonsense", NOON)

    assert service.enrol(token, "SN-1", a_request(a_key()), NOON)


def test_a_wiped_box_keeps_its_id_and_may_count_its_boots_anew(app: Flask) -> None:
    first = service.enrol(_claim(), "SN-1", a_request(a_key()), NOON)
    devices.record_hello(first.device_id, a_hello(boot=70), NOON)
    db.session.commit()

    second = service.enrol(_claim(), "SN-1", a_request(a_key()), NOON)

    assert second.device_id == first.device_id
    assert devices.record_hello(first.device_id, a_hello(boot=1, version="9.9"), NOON)


def test_many_boxes_at_once_get_one_device_each(app: Flask) -> None:
    work = [(f"SN-{n}", _claim(f"SN-{n}"), a_request(a_key())) for n in range(8)]
    db.session.remove()
    failed: list[Exception] = []

    def enrol(serial: str, token: str, request: str) -> None:
        with app.app_context():
            try:
                service.enrol(token, serial, request, NOON)
            except Exception as error:
                failed.append(error)
            db.session.remove()

    threads = [threading.Thread(target=enrol, args=one) for one in work * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert db.session.scalar(select(func.count(Device.id))) == 8


@pytest.mark.parametrize(
    ("serial", "model", "zone"),
    [("", "VX-410", "UTC"), ("S" * 41, "VX-410", "UTC"), ("S\n1", "VX-410", "UTC"),
     ("S1", "vx 410", "UTC"), ("S1", "VX-410", "Mars/Olympus")],
)  # fmt: skip
def test_a_claim_for_nonsense_is_refused(app: Flask, serial: str, model: str, zone: str) -> None:
    with pytest.raises(BadInputError):
        service.create_claim(serial, model, zone, None, actor="user:nora", now=NOON)


def test_keys_are_for_the_servers_user_alone(app: Flask) -> None:
    pki_dir = app.extensions["oleada_config"].pki_dir

    assert {path.stat().st_mode & 0o777 for path in pki_dir.iterdir()} == {0o600}
    assert pki_dir.stat().st_mode & 0o777 == 0o700


def test_a_server_certificate_is_renewed_when_its_hosts_change_or_its_end_is_near(
    app: Flask,
) -> None:
    pki_dir = app.extensions["oleada_config"].pki_dir
    made = pki_dir / "door.pem"
    pki.make_server_end(pki_dir, "door", ["127.0.0.1"], NOON)
    first = made.read_bytes()

    pki.make_server_end(pki_dir, "door", ["127.0.0.1"], NOON + timedelta(days=700))
    assert made.read_bytes() == first
    pki.make_server_end(pki_dir, "door", ["127.0.0.1", "box.example"], NOON)
    second = made.read_bytes()
    assert second != first
    pki.make_server_end(pki_dir, "door", ["127.0.0.1", "box.example"], NOON + timedelta(days=800))
    assert made.read_bytes() != second
