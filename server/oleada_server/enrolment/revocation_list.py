"""The list of revoked certificates that the broker goes by (a CRL; RFC 5280, 5).

It is valid as long as the device CA itself: a broker refuses everybody when its list has
ended, and it is made anew whenever something is revoked anyway. What has expired is left
out: TLS refuses it without a list.
"""

from collections.abc import Mapping
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from oleada_server.enrolment.pki import Authority


def make(authority: Authority, revoked: Mapping[int, datetime]) -> bytes:
    """Return the list, PEM, of certificates by serial number and since when they are revoked."""
    certificate = authority.certificate
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(certificate.subject)
        .last_update(certificate.not_valid_before_utc)
        .next_update(certificate.not_valid_after_utc)
    )
    for serial_number, at in revoked.items():
        entry = x509.RevokedCertificateBuilder().serial_number(serial_number).revocation_date(at)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def is_current(pem: bytes, authority: Authority, revoked: Mapping[int, datetime]) -> bool:
    """Return whether the list *pem* is by *authority* and names exactly what is *revoked*."""
    try:
        found = x509.load_pem_x509_crl(pem)
        is_ours = found.is_signature_valid(authority.key.public_key())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
    lives_as_long = found.next_update_utc == authority.certificate.not_valid_after_utc
    return is_ours and lives_as_long and {one.serial_number for one in found} == revoked.keys()
