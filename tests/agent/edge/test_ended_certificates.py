"""Certificates that have ended: a box reads its own; its pinned authority locks nobody out."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from oleada_agent import clock, identity

from tests.agent.edge.house import Authority
from tests.agent.edge.test_enrol import shake_hands

DAY_MS = 86_400_000


def a_certificate(ends: datetime, subject: str = "VX417Q3K0928") -> bytes:
    """Return the PEM of a certificate that *ends* then."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(1990, 1, 1, tzinfo=UTC))
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


def put(box: Path, pem: bytes) -> None:
    """Make *pem* the certificate of *box*."""
    path = box / "data/identity/certificate.pem"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pem)


@pytest.mark.parametrize(
    "ends",
    [
        datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2026, 3, 1, 12, 34, 56, tzinfo=UTC),
        datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2050, 1, 1, tzinfo=UTC),  # from here on with a year of four digits
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    ],
)
@pytest.mark.parametrize("subject", ["B", "B" * 64])
def test_a_box_reads_when_its_certificate_ends(
    tmp_path: Path, ends: datetime, subject: str
) -> None:
    put(tmp_path, a_certificate(ends, subject))

    assert identity.certificate_ends_ms(tmp_path) == int(ends.timestamp() * 1000)


def test_what_is_no_certificate_has_no_end(tmp_path: Path) -> None:
    whole = a_certificate(datetime(2030, 1, 1, tzinfo=UTC))
    der = ssl.PEM_cert_to_DER_cert(whole.decode())

    assert identity.certificate_ends_ms(tmp_path) is None
    for cut in range(0, 60, 7):
        put(tmp_path, ssl.DER_cert_to_PEM_cert(der[:cut]).encode())
        found = identity.certificate_ends_ms(tmp_path)
        assert found is None
    put(tmp_path, b"nonsense")
    assert identity.certificate_ends_ms(tmp_path) is None


def test_a_box_says_that_its_certificate_has_expired_and_only_then(tmp_path: Path) -> None:
    ends = datetime(2026, 3, 1, tzinfo=UTC)
    put(tmp_path, a_certificate(ends))
    ends_ms = int(ends.timestamp() * 1000)

    assert identity.note_on_end(tmp_path, ends_ms - 1) == ""
    assert "has expired" in identity.note_on_end(tmp_path, ends_ms)


def test_a_pinned_authority_that_has_ended_closes_no_door_but_a_strangers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = clock.now_ms()
    monkeypatch.setattr(clock, "now_ms", lambda: now_ms - 30 * DAY_MS)
    authority, stranger = Authority("service CA"), Authority("somebody")
    door = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    door.load_cert_chain(*authority.server_files(tmp_path))
    here = ssl.create_default_context(cadata=authority.pem)

    identity.judge_time(here, is_clock_right=True, now_ms=now_ms - 30 * DAY_MS)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        shake_hands(here, door)
    identity.judge_time(here, is_clock_right=True, now_ms=now_ms)
    shake_hands(here, door)

    other = ssl.create_default_context(cadata=stranger.pem)
    identity.judge_time(other, is_clock_right=True, now_ms=now_ms)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(other, door)
