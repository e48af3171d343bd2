"""Renewal: the old key vouches for a new one, and the broker has the last word.

Run by a short-lived process of its own (``oleada-agent renew``), because what makes keys
and requests costs more memory than the agent. It asks the device door by EST (RFC 7030,
``simplereenroll``) over TLS in which it shows the certificate in use, expired or not, puts
the answer beside it, calls the broker with it, and only when that lets it in takes it into
use. Every step may be repeated after a power cut (keypairs.py).
"""

import base64
import http.client
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from oleada_agent import enrol, identity, keypairs
from oleada_agent.config import Config
from oleada_agent.disk import RealDisk
from oleada_agent.errors import AgentError
from oleada_agent.identity import Identity, IdentityError
from oleada_agent.ports import Disk
from oleada_agent.transport import SESSION_EXPIRY_S

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

PATH: Final = "/.well-known/est/simplereenroll"
ANSWER_BYTES_MAX: Final = 64 * 1024
TIMEOUT_S: Final = 60
LATER: Final = frozenset({408, 425, 429})
_CONNACK: Final = 0x20
_DISCONNECT: Final = bytes([0xE0, 0x00])


class AwayError(AgentError):
    """Door or broker can not be reached now; try again later."""

    code = "renewal-away"


class RefusedError(AgentError):
    """The door refuses, or answers what can not be used; asking at once will not help."""

    code = "renewal-refused"


class NotLetInError(AgentError):
    """The broker does not let the new certificate in."""

    code = "renewal-not-let-in"


Ask = Callable[[str], bytes]
"""Takes a request (PEM), returns the certificate (PEM)."""


def renew(disk: Disk, serial: str, ask: Ask, try_spare: Callable[[], None]) -> None:
    """Replace the pair in use by a new one, or go on where an earlier try was cut.

    Args:
        ask: Brings the request to the door.
        try_spare: Returns when the broker has let the pair in the spare slot in.

    Raises:
        AwayError: *ask* or *try_spare* reached nobody.
        RefusedError: the door refused, or its answer can not be used.
        NotLetInError: the broker refused; the new pair is forgotten.
        StorageError: the disk refused; the pair in use still is.
    """
    if not keypairs.is_candidate_there(disk):
        key = _key(disk)
        pem = ask(enrol.request_of(key, serial))
        _check(disk, pem, key)
        keypairs.put_certificate(disk, pem)
    try:
        try_spare()
    except (NotLetInError, IdentityError):
        keypairs.clear_spare(disk)
        raise
    keypairs.switch(disk)


def run(box: Path, settings: Config) -> None:
    """Renew the certificate of *box* over the network.

    Raises:
        RefusedError: the door refused.
        AgentError: nobody was reached, or the disk refused; try again later.
    """
    disk = RealDisk(box)
    found = identity.mend(disk)  # what rotted while the agent ran would keep the door shut
    renew(
        disk,
        settings.serial,
        lambda csr_pem: _ask_door(box, found, csr_pem),
        lambda: _call_broker(box, found),
    )


def _key(disk: Disk) -> "EllipticCurvePrivateKey":
    """Return the key that waits for its certificate, or a new one."""
    waiting = keypairs.waiting_key(disk)
    found = enrol.read_key(waiting) if waiting is not None else None
    if found is not None:
        return found
    keypairs.clear_spare(disk)
    key, pem = enrol.new_key()
    keypairs.put_key(disk, pem)
    return key


def _check(disk: Disk, pem: bytes, key: "EllipticCurvePrivateKey") -> None:
    """Let a certificate pass that is for *key* and better than the one in use."""
    from cryptography import x509  # noqa: PLC0415 - heavy, used by this process alone

    try:
        is_ours = x509.load_pem_x509_certificate(pem).public_key() == key.public_key()
    except ValueError as error:
        raise RefusedError(f"The door's certificate can not be read: {error}.") from error
    if not is_ours:
        raise RefusedError("The door's certificate is for another key.")
    new, held = keypairs.span_of(pem), keypairs.span(disk, keypairs.active(disk))
    if new is None or (held is not None and new.ends_ms <= held.ends_ms):
        raise RefusedError("The door's certificate ends no later than the one in use.")


def _ask_door(box: Path, found: Identity, csr_pem: str) -> bytes:
    """Return the certificate that the device door gives for *csr_pem*.

    Raises:
        AwayError: it does not answer, or can not now.
        RefusedError: it refuses, or answers nonsense.
    """
    parts = urlsplit(found.artifacts_url)
    body = "".join(csr_pem.strip().splitlines()[1:-1])
    connection = http.client.HTTPSConnection(
        parts.hostname or "", parts.port, timeout=TIMEOUT_S, context=_context(box, None)
    )
    try:
        head = {"Content-Type": "application/pkcs10", "User-Agent": "oleada-agent"}
        connection.request("POST", PATH, body, head)
        answer = connection.getresponse()
        data = answer.read(ANSWER_BYTES_MAX + 1)
    except (OSError, http.client.HTTPException) as error:
        raise AwayError(f"The device door does not answer: {error}.") from error
    finally:
        connection.close()
    if answer.status in LATER or answer.status >= 500:
        raise AwayError(f"The device door answered {answer.status}; it will be asked again.")
    if answer.status != 200:
        said = data[:400].decode(errors="replace")
        raise RefusedError(f"The device door gives no new certificate ({answer.status}): {said}")
    return _certificate(data)


def _certificate(data: bytes) -> bytes:
    """Return the one certificate in *data*, certs-only PKCS#7 in base64, as PEM."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.serialization import pkcs7  # noqa: PLC0415

    try:
        (one,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(data[:ANSWER_BYTES_MAX]))
    except ValueError as error:
        raise RefusedError(f"The door's answer holds no certificate: {error}.") from error
    return one.public_bytes(serialization.Encoding.PEM)


def _call_broker(box: Path, found: Identity) -> None:
    """Return when the broker has let the pair in the spare slot in.

    It ends the agent's own connection, whose name it has; the agent comes back with the
    new certificate, and its session is still there.

    Raises:
        AwayError: the broker does not answer.
        NotLetInError: it does not let this certificate in.
    """
    context = _context(box, keypairs.spare(RealDisk(box)))
    try:
        plain = socket.create_connection((found.broker_host, found.broker_port), TIMEOUT_S)
    except OSError as error:
        raise AwayError(f"The broker does not answer: {error}.") from error
    try:
        with context.wrap_socket(plain, server_hostname=found.broker_host) as line:
            line.sendall(connect_packet(found.device_id))
            answer = _read_connack(line)
            if answer is None or answer[3] != 0:
                raise NotLetInError("The broker does not let the new certificate in.")
            line.sendall(_DISCONNECT)
    except ssl.SSLCertVerificationError as error:
        raise AwayError(f"The broker is not whom this box trusts: {error}.") from error
    except ssl.SSLError as error:
        raise NotLetInError(f"The broker does not let the new certificate in: {error}.") from error
    except OSError as error:
        raise AwayError(f"The broker does not answer: {error}.") from error


def _read_connack(line: ssl.SSLSocket) -> bytes | None:
    """Return the beginning of the broker's answer, up to its reason; None if it hung up."""
    data = b""
    while len(data) < 4:
        part = line.recv(4 - len(data))
        if not part:
            return None
        data += part
    return data if data[0] == _CONNACK else None


def connect_packet(device_id: str) -> bytes:
    """Return a CONNECT that goes on with the session of *device_id* and keeps it.

    Source: MQTT 5.0, 3.1.
    """
    name = device_id.encode()
    properties = bytes([0x11]) + SESSION_EXPIRY_S.to_bytes(4, "big") + bytes([0x21, 0, 1])
    rest = (
        bytes([0, 4]) + b"MQTT" + bytes([5, 0, 0, 60])
        + bytes([len(properties)]) + properties
        + len(name).to_bytes(2, "big") + name
    )  # fmt: skip
    return bytes([0x10, len(rest)]) + rest


def _context(box: Path, slot: str | None) -> ssl.SSLContext:
    """Return TLS with the pair in *slot*, or in use, that does not look at the time.

    A box that needs its next certificate may have a clock that is years off; who answers
    with an old certificate of ours can only give a certificate that the broker refuses.
    """
    context = identity.tls_context(box) if slot is None else identity.context_of(box, slot)
    identity.judge_time(context, is_clock_right=False, now_ms=0)
    return context
