"""Certificates: two CAs of our own, what they issue, and nothing else.

The *device CA* signs boxes, and only the broker's door for boxes believes it. The
*service CA* signs the server's own ends: the broker, the device door and the clients
among our processes; boxes pin it. Neither key signs firmware. Keys are P-256, files
0600. Source: RFC 5280; profile in the trust design, 6.2.
"""

import ipaddress
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from oleada_server.enrolment.errors import BadRequestForCertificateError
from oleada_server.errors import ServerError

CA_DAYS: Final = 3653
SERVICE_DAYS: Final = 825
RENEW_BEFORE: Final = timedelta(days=90)
RENEW_AUTHORITY_BEFORE: Final = timedelta(days=2 * 365)
"""Longer than a certificate that it signs now lives at most, so none outlives its CA's."""
SKEW: Final = timedelta(hours=1)
"""How long before now a certificate begins, for boxes whose clock is behind."""
CSR_BYTES_MAX: Final = 8 * 1024
SERVER_NAME: Final = "oleada-server"
"""Common name, hence broker user name, of our own processes."""


class NoCertificateAuthorityError(ServerError):
    """A CA's files are missing or damaged."""

    status = 500
    code = "no-certificate-authority"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is missing or damaged; run `oleada init`, or restore the backup.")


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA: its certificate and the key that signs."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        """The CA's certificate as PEM."""
        return self.certificate.public_bytes(Encoding.PEM).decode()


def make_authority(directory: Path, name: str, now: datetime) -> None:
    """See to a CA *name* (``device-ca``, ``service-ca``) in *directory*.

    One that ends soon, or whose certificate was damaged, gets a new certificate for its old
    key: what it signed stays good, and who pins the old certificate trusts it on.

    Raises:
        NoCertificateAuthorityError: its key is missing or damaged; that can not be mended.
    """
    path = directory / f"{name}.pem"
    if not path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
    else:
        key = _authority_key(path)
        ends = _end_of(path)
        if ends is not None and ends > now + RENEW_AUTHORITY_BEFORE:
            return
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Oleada {name}")])
    builder = (
        _builder(subject, subject, key.public_key(), now, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    _write(directory, name, key, builder.sign(key, hashes.SHA256()))


def _authority_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(path.with_suffix(".key").read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise NoCertificateAuthorityError(path) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise NoCertificateAuthorityError(path)
    return key


def _end_of(path: Path) -> datetime | None:
    """Return when the certificate at *path* ends; None for one that can not be read."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except ValueError:
        return None


def load_authority(directory: Path, name: str) -> Authority:
    """Return CA *name* of *directory*.

    Raises:
        NoCertificateAuthorityError: its files are missing or damaged.
    """
    path = directory / f"{name}.pem"
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise NoCertificateAuthorityError(path) from error
    return Authority(certificate, _authority_key(path))


def make_server_end(directory: Path, name: str, hosts: list[str], now: datetime) -> None:
    """See to a valid server certificate *name* for *hosts*, names or addresses.

    Made again with a new key when it ends soon or when the hosts have changed.
    """
    wanted = x509.SubjectAlternativeName([_host(host) for host in dict.fromkeys(hosts)])
    if _is_good(directory / f"{name}.pem", wanted, now):
        return
    _make_end(directory, name, wanted, ExtendedKeyUsageOID.SERVER_AUTH, now)


def make_client_end(directory: Path, name: str, now: datetime) -> None:
    """See to a valid client certificate *name* of our own processes, from the service CA."""
    wanted = x509.SubjectAlternativeName([x509.DNSName(name)])
    if _is_good(directory / f"{name}.pem", wanted, now):
        return
    _make_end(directory, name, wanted, ExtendedKeyUsageOID.CLIENT_AUTH, now)


def read_request(csr_pem: str) -> ec.EllipticCurvePublicKey:
    """Return the key that *csr_pem* proves to hold; the names in it are ignored.

    Raises:
        BadRequestForCertificateError: it is no request, not signed by its own key, or the
            key is not P-256.
    """
    if len(csr_pem) > CSR_BYTES_MAX:
        raise BadRequestForCertificateError(f"it is longer than {CSR_BYTES_MAX} bytes.")
    try:
        request = x509.load_pem_x509_csr(csr_pem.encode())
        key = request.public_key()
        proved = request.is_signature_valid
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise BadRequestForCertificateError("it can not be read.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadRequestForCertificateError("its key is not a P-256 key.")
    if not proved:
        raise BadRequestForCertificateError("its signature is not by its own key.")
    return key


def issue_device(
    authority: Authority,
    device_id: str,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    days: int,
) -> x509.Certificate:
    """Return a client certificate of box *device_id* for *key*, valid for *days*."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device_id)])
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"urn:stb:{device_id}")])
    issuer = authority.certificate
    builder = _end(
        _builder(subject, issuer.subject, key, now, days),
        authority,
        names,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    )
    return builder.sign(authority.key, hashes.SHA256())


def spki_sha256(key: ec.EllipticCurvePublicKey) -> str:
    """Return the SHA-256 of *key*'s SubjectPublicKeyInfo, 64 hex digits."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()


def _make_end(
    directory: Path,
    name: str,
    names: x509.SubjectAlternativeName,
    use: x509.ObjectIdentifier,
    now: datetime,
) -> None:
    authority = load_authority(directory, "service-ca")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _builder(subject, authority.certificate.subject, key.public_key(), now, SERVICE_DAYS)
    certificate = _end(builder, authority, names, use).sign(authority.key, hashes.SHA256())
    _write(directory, name, key, certificate)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + timedelta(days=days))
    )


def _end(
    builder: x509.CertificateBuilder,
    authority: Authority,
    names: x509.SubjectAlternativeName,
    use: x509.ObjectIdentifier,
) -> x509.CertificateBuilder:
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        .add_extension(names, critical=False)
        .add_extension(identifier, critical=False)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _is_good(path: Path, names: x509.SubjectAlternativeName, now: datetime) -> bool:
    """Return whether certificate and key are there, readable, of one pair and not to be renewed."""
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
        held = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        key = load_pem_private_key(path.with_suffix(".key").read_bytes(), None)
    except (FileNotFoundError, ValueError, TypeError, x509.ExtensionNotFound):
        return False  # damaged is as good as missing
    if key.public_key() != found.public_key():
        return False
    return held == names and found.not_valid_after_utc > now + RENEW_BEFORE


def _write(
    directory: Path, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
) -> None:
    """Write key, then certificate: whoever sees the certificate finds its key."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_file(directory / f"{name}.key", pem)
    write_file(directory / f"{name}.pem", certificate.public_bytes(Encoding.PEM))


def write_file(path: Path, content: bytes) -> None:
    """Make *path* hold *content*, all at once and durably, for the server's user alone."""
    part = path.with_name(f"{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
