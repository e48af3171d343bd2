"""Enrolment: a one-time claim token and a key made on the box become an identity.

The request may be repeated with the same key any number of times (lost answer, power
cut): the server binds the token to the key. The door's certificate is checked against
the one authority that the maker put on the box.
Source: docs/explanation/how-the-parts-fit.md, "The wire"; trust design 6.2.
"""

import http.client
import json
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from oleada_agent import identity, keypairs
from oleada_agent.config import Config
from oleada_agent.errors import AgentError, StorageError
from oleada_agent.http_range import retry_after_s
from oleada_agent.identity import Identity, IdentityError
from oleada_agent.journal import write_whole
from oleada_agent.ports import Disk
from oleada_agent.trust import client, reading, store
from oleada_agent.trust.errors import TrustError
from oleada_agent.trust.floor import TimeFloor
from oleada_agent.trust.store import MetadataStore

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

ANSWER_BYTES_MAX: Final = 1024 * 1024
TIMEOUT_S: Final = 120
"""A box enrols once and has nothing else to do. One that hangs up while it stands in line
with a thousand others makes the server's work for it vain, and the line longer."""
RETRY_AFTER_S_MAX: Final = 3_600
"""Longer requests to wait are cut to this."""
TRUST: Final = store.TRUST
FILE_BYTES_MAX: Final = 1024 * 1024
"""Of the key, the token and the door's authorities."""
PATH: Final = "/device/v1/enrol"
Ask = Callable[[Disk, Config, dict[str, str]], dict[str, Any]]


class EnrolmentError(AgentError):
    """The server refused, or answered nonsense; asking again will not help."""

    code = "enrolment"


class ServerAwayError(AgentError):
    """The server can not answer now.

    Attributes:
        after_s: When it asked to be asked again; 0 when it did not say.
    """

    code = "server-away"

    def __init__(self, detail: str, after_s: int = 0) -> None:
        super().__init__(detail)
        self.after_s = after_s


def enrol(disk: Disk, config: Config, ask: "Ask | None" = None) -> Identity:
    """Return the identity of this box, asking the server for it unless it has one already.

    Args:
        ask: Brings the request to the server; by default over HTTPS.

    Raises:
        EnrolmentError: the server refused or its answer can not be used.
        ServerAwayError: try again later.
        StorageError: the disk refused; nothing is half done that matters.
    """
    if identity.is_enrolled(disk):
        return identity.load(disk)
    key = _key(disk)
    answer = (ask or ask_server)(disk, config, {
        "token": _token(disk, config),
        "serial": config.serial,
        "csr_pem": request_of(key, config.serial),
    })  # fmt: skip
    found = _identity(answer, config)
    certificate_pem = _text(answer, "certificate_pem")
    issued_ms = _check_certificate(certificate_pem, key)
    _keep_root(disk, _text(answer, "root_json").encode())
    TimeFloor(disk, TRUST).raise_to(issued_ms)
    identity.store(disk, found, certificate_pem, _text(answer, "ca_pem"))
    return found


def _key(disk: Disk) -> "EllipticCurvePrivateKey":
    """Return the box's P-256 key, made on first use and readable by its owner alone."""
    path = f"{keypairs.DIRECTORY}/{keypairs.KEY}"
    if disk.exists(path):
        found = read_key(disk.read(path, 0, FILE_BYTES_MAX))
        if found is not None:
            return found
    key, pem = new_key()
    write_whole(disk, path, pem)
    return key


def read_key(pem: bytes) -> "EllipticCurvePrivateKey | None":
    """Return the key in *pem*; None for one that was never made whole: no server has seen it."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - heavy, used once
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    try:
        found = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # rot may make another kind of it
        return None
    return found if isinstance(found, ec.EllipticCurvePrivateKey) else None


def new_key() -> "tuple[EllipticCurvePrivateKey, bytes]":
    """Return a new P-256 key, and it as PEM."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - heavy, used once
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return key, pem


def request_of(key: "EllipticCurvePrivateKey", serial: str) -> str:
    """Return a request, PKCS#10 in PEM, for a certificate of *key*."""
    from cryptography import x509  # noqa: PLC0415 - heavy, used once
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415

    name = x509.Name([x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, serial)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def _token(disk: Disk, config: Config) -> str:
    path = f"data/{config.claim_token_file}"
    try:
        token = disk.read(path, 0, FILE_BYTES_MAX).decode("ascii").strip()
    except (StorageError, ValueError) as error:
        raise EnrolmentError(
            f"The claim token can not be read from {path}: {error}. Put a new one there."
        ) from error
    if not token:
        raise EnrolmentError(f"{path} is empty. Put the claim token there.")
    return token


def ask_server(disk: Disk, config: Config, body: dict[str, str]) -> dict[str, Any]:
    """Return what the server answers to *body*.

    Raises:
        EnrolmentError: it refused.
        ServerAwayError: try again later.
    """
    parts = urlsplit(config.enrol_url)
    ca_file = f"data/{config.ca_file}"
    try:
        context = ssl.create_default_context(
            cadata=disk.read(ca_file, 0, FILE_BYTES_MAX).decode("ascii")
        )
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    except (StorageError, ValueError, ssl.SSLError) as error:
        raise EnrolmentError(f"The authority in {ca_file} can not be used: {error}.") from error
    connection = http.client.HTTPSConnection(
        parts.hostname or "", parts.port, timeout=TIMEOUT_S, context=context
    )
    try:
        connection.request(
            "POST",
            PATH if parts.path in ("", "/") else parts.path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "User-Agent": "oleada-agent"},
        )
        response = connection.getresponse()
        data = response.read(ANSWER_BYTES_MAX + 1)
        after = response.headers.get("Retry-After", "0")
    except (OSError, http.client.HTTPException) as error:
        raise ServerAwayError(f"{config.enrol_url} does not answer: {error}.") from error
    finally:
        connection.close()
    return _read(response.status, data, min(retry_after_s(after), RETRY_AFTER_S_MAX))


def _read(status: int, data: bytes, after_s: int) -> dict[str, Any]:
    if status in (408, 425, 429) or status >= 500:
        raise ServerAwayError(f"The server answered {status}; it will be asked again.", after_s)
    try:
        found = json.loads(data) if len(data) <= ANSWER_BYTES_MAX else None
    except (ValueError, RecursionError):
        found = None
    if status not in (200, 201):
        said = found.get("detail") if isinstance(found, dict) else None
        raise EnrolmentError(
            f"The server refused to enrol this box ({status}): "
            f"{str(said or 'no reason given')[:400]}"
        )
    if not isinstance(found, dict):
        raise EnrolmentError("The server's answer is not a JSON object; is it the right address?")
    return found


def _identity(answer: dict[str, Any], config: Config) -> Identity:
    broker = answer.get("broker")
    broker = broker if isinstance(broker, dict) else {}
    flat = {**answer, "broker_host": broker.get("host"), "broker_port": broker.get("port")}
    if not flat.get("zone"):
        flat["zone"] = config.zone
    try:
        found = identity.parse(flat, "the server's answer")
    except IdentityError as error:
        raise EnrolmentError(f"The server's answer can not be used: {error}") from error
    if found.hardware_model != config.hardware_model:
        raise EnrolmentError(
            f"The server takes this box for a {found.hardware_model}; its settings say "
            f"{config.hardware_model}. Correct the claim or the settings."
        )
    return found


def _check_certificate(pem: str, key: "EllipticCurvePrivateKey") -> int:
    """Return when the certificate was issued, after it is found to be for our key."""
    from cryptography import x509  # noqa: PLC0415 - heavy, used once

    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        is_ours = certificate.public_key() == key.public_key()
    except ValueError as error:
        raise EnrolmentError(f"The certificate can not be read: {error}.") from error
    if not is_ours:
        raise EnrolmentError("The certificate is for another key; the server must issue it anew.")
    return int(certificate.not_valid_before_utc.timestamp() * 1000)


def _keep_root(disk: Disk, data: bytes) -> None:
    """Keep the root of trust, unless the maker has put one on the box already."""
    store = MetadataStore(disk, TRUST)
    if next(store.read("root"), None) is not None:
        return
    try:
        root = reading.root(data, client.ROOT_BYTES_MAX)
        client.check_root_by_itself(root, client.BOX)
    except TrustError as error:
        raise EnrolmentError(f"The root of trust is refused: {error}") from error
    store.write("root", data)


def _text(answer: dict[str, Any], name: str) -> str:
    found = answer.get(name)
    if not isinstance(found, str) or not found:
        raise EnrolmentError(f"The server's answer has no {name!r}.")
    return found
