"""Who is at the other end of the device door, by the certificate that TLS has proved.

The door asks every client for a certificate and takes none for an answer: a new box has
none yet. What is shown must be of the device CA and its key must be held, that is TLS's
part (patient_worker.py); whether it is still in time, known and not revoked is decided
here. So a box whose certificate has expired can still prove who it is, and is let to the
one place where it gets another.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from cryptography import x509
from cryptography.x509.oid import NameOID
from flask import request

from oleada_server.clock import now_utc
from oleada_server.db import db, read_only
from oleada_server.devices.models import Device
from oleada_server.enrolment.errors import (
    BoxNotKnownError,
    BoxRevokedError,
    CertificateExpiredError,
)
from oleada_server.enrolment.models import Certificate

RENEWAL_PATHS: Final = ("/.well-known/est/",)
"""What a box may ask for with a certificate that has expired."""


class _Tls(Protocol):
    def getpeercert(self, binary_form: bool = False) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Peer:
    """A certificate that was shown, and whose key was proved.

    Attributes:
        device_id: Its common name.
        serial_hex: Of the certificate, as the database has it.
    """

    device_id: str
    serial_hex: str
    not_before: datetime
    not_after: datetime

    def is_expired(self, now: datetime) -> bool:
        """Return whether it has ended at *now*."""
        return self.not_after <= now

    def is_half_over(self, now: datetime) -> bool:
        """Return whether at least half of its life has passed at *now*."""
        return now - self.not_before >= (self.not_after - self.not_before) / 2


def peer_of_request() -> Peer | None:
    """Return who asks; None without a certificate, or without TLS."""
    tls: _Tls | None = request.environ.get("gunicorn.socket")
    der = tls.getpeercert(binary_form=True) if hasattr(tls, "getpeercert") and tls else None
    return read_peer(der) if der else None


def read_peer(der: bytes) -> Peer:
    """Return what certificate *der*, of the device CA, says."""
    found = x509.load_der_x509_certificate(der)
    (name,) = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Peer(
        str(name.value),
        f"{found.serial_number:x}",
        found.not_valid_before_utc,
        found.not_valid_after_utc,
    )


def demand_not_revoked(peer: Peer) -> None:
    """Let *peer* pass if the server knows its box and neither is revoked, in the caller's read.

    A certificate without a row is one that a restore has lost: it is of our CA all the same.

    Raises:
        BoxNotKnownError: there is no such box.
        BoxRevokedError: the box or this certificate of it is revoked.
    """
    device = db.session.get(Device, peer.device_id)
    if device is None:
        raise BoxNotKnownError
    held = db.session.get(Certificate, peer.serial_hex)
    if device.revoked_at is not None or (held is not None and held.revoked_at is not None):
        raise BoxRevokedError


def refuse_bad_certificates() -> None:
    """Refuse the current request of a box that is revoked or late; the door's first question.

    Raises:
        BoxRevokedError: it is revoked.
        CertificateExpiredError: its certificate is good for a new one, and for nothing else.
    """
    peer = peer_of_request()
    if peer is None or request.path.startswith(RENEWAL_PATHS):
        return
    if peer.is_expired(now_utc()):
        raise CertificateExpiredError
    read_only()
    try:
        demand_not_revoked(peer)
    except BoxNotKnownError:
        return  # of a restored server: it is taken back when it says hello
