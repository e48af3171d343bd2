"""Does TLS from the boxes end at the device door, or at something in front of it?

A box is known by the certificate in its TLS and by nothing else. So this machine goes where
boxes go, to the public name, as two strangers: the first shows no certificate and looks
which one it is shown; the second shows one that the device CA has not signed. The door
hangs up on that. What answers it, did not look.

What can not be seen from here: a proxy that was given the door's own certificate and key,
and the device CA as well, and checks boxes itself.
"""

import socket
import ssl
import tempfile
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from oleada_server.config import Config
from oleada_server.enrolment import pki

TIMEOUT_S: Final = 5.0
"""For each connection, and for the answer to its one question."""
STRANGER: Final = "stranger"
WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - compared
_ASKED: Final = b"GET /healthz HTTP/1.0\r\nHost: door\r\n\r\n"


class Front(StrEnum):
    """What is found under the public name of the device door."""

    DOOR = "door"
    OTHER = "other"
    BLIND = "blind"
    AWAY = "away"


def find(config: Config, now: datetime, timeout_s: float = TIMEOUT_S) -> Front | None:
    """Return what boxes meet under the public name of the door of *config*.

    ``OTHER``: a certificate that is not of the service CA. ``BLIND``: the right one, but
    nobody looks at what a box shows. ``AWAY``: nothing, though the door itself answers on
    this machine. None: neither does, or this is no server yet; nothing is known then.
    """
    authority = _authority(config.pki_dir)
    if authority is None:
        return None
    try:
        shown = _shown(config.public_host, config.door_port, timeout_s)
        if not _is_of(authority, shown):
            return Front.OTHER
        looks = _hangs_up_on_a_stranger(config.public_host, config.door_port, now, timeout_s)
        return Front.DOOR if looks else Front.BLIND
    except OSError:
        return Front.AWAY if _answers_here(config, timeout_s) else None


def _shown(host: str, port: int, timeout_s: float) -> bytes:
    """Return the certificate that is shown at *host*, DER; empty by what speaks no TLS.

    Raises:
        OSError: Nothing answers, or not in time.
    """
    with socket.create_connection((host, port), timeout_s) as plain:
        try:
            with _unbelieving().wrap_socket(plain, server_hostname=host) as tls:
                return tls.getpeercert(binary_form=True) or b""
        except ssl.SSLError:
            return b""


def _hangs_up_on_a_stranger(host: str, port: int, now: datetime, timeout_s: float) -> bool:
    """Return whether a client with a certificate of nobody's gets no answer.

    Raises:
        OSError: The connection does not come about, or the answer does not come in time.
    """
    context = _unbelieving()
    with tempfile.TemporaryDirectory(prefix="oleada-doctor-") as name:
        pki.make_authority(Path(name), STRANGER, now)
        context.load_cert_chain(Path(name) / f"{STRANGER}.pem", Path(name) / f"{STRANGER}.key")
    with socket.create_connection((host, port), timeout_s) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=host) as tls:
                tls.sendall(_ASKED)
                return tls.recv(1) == b""
        except (ssl.SSLError, ConnectionError):
            return True


def _answers_here(config: Config, timeout_s: float) -> bool:
    host = WILDCARDS.get(config.door_host, config.door_host)
    if host == config.public_host:
        return False
    try:
        return bool(_shown(host, config.door_port, timeout_s))
    except OSError:
        return False


def _unbelieving() -> ssl.SSLContext:
    """Return a context that takes any certificate: which one it is, is what is asked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _authority(pki_dir: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate((pki_dir / "service-ca.pem").read_bytes())
    except (OSError, ValueError):
        return None


def _is_of(authority: x509.Certificate, der: bytes) -> bool:
    try:
        x509.load_der_x509_certificate(der).verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
