"""Identities of light boxes, issued as the enrolment does it, many at once."""

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from oleada_server.app import create_app
from oleada_server.config import Config
from oleada_server.enrolment import service as enrolment

from oleada_lab.clock import now_utc


@dataclass(frozen=True, slots=True)
class Identity:
    """What a light box proves itself with.

    Attributes:
        certificate_file: PEM.
        key_file: PEM, without a passphrase.
    """

    device_id: str
    serial: str
    hardware_model: str
    certificate_file: Path
    key_file: Path


def issue(config: Config, folder: Path, hardware_model: str, count: int) -> list[Identity]:
    """Claim and enrol *count* new light boxes; their files go into *folder*.

    The server of *config* may run or not; its database must be there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    app = create_app(config)
    with app.app_context():
        return [_issue_one(folder, hardware_model, number) for number in range(count)]


def _issue_one(folder: Path, hardware_model: str, number: int) -> Identity:
    serial = f"LIGHT{number:06d}"
    now = now_utc()
    key = ec.generate_private_key(ec.SECP256R1())
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, serial)]))
        .sign(key, hashes.SHA256())
    )
    token = enrolment.create_claim(serial, hardware_model, actor="system:bench", now=now)
    csr_pem = request.public_bytes(Encoding.PEM).decode()
    enrolled = enrolment.enrol(token, serial, csr_pem, now)
    certificate_file = folder / f"{serial}.pem"
    key_file = folder / f"{serial}.key"
    certificate_file.write_text(enrolled.certificate_pem)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    key_file.touch(mode=0o600)
    key_file.write_bytes(pem)
    return Identity(enrolled.device_id, serial, hardware_model, certificate_file, key_file)
