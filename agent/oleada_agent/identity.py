"""Who this box is to the server: key, certificate, and where the doors are.

Lies in ``data/identity``; which of its keys is in use, ``keypairs`` knows. A key is made on
the box and never leaves it. The file ``identity.json`` is written last: with it the box is
enrolled, without it it is not, whatever else a power cut has left behind.

Nothing here can be had a second time, so all of it stands twice: record and authority in
``second`` as well, each record with its own CRC-32 (as in zlib, over the JSON of the
rest, its names in order) and that of the authority.
"""

import json
import ssl
import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from oleada_wire.ids import is_device_id, is_hardware_model

from oleada_agent import keypairs
from oleada_agent.config import ConfigError, check_https, check_zone
from oleada_agent.disk import RealDisk
from oleada_agent.errors import AgentError, StorageError
from oleada_agent.journal import write_whole
from oleada_agent.keypairs import CERTIFICATE, DIRECTORY, KEY
from oleada_agent.ports import Disk

AUTHORITY: Final = "ca.pem"
RECORD: Final = "identity.json"
SUM: Final = "crc32"
AUTHORITY_SUM: Final = "ca_crc32"
FOLDERS: Final = (DIRECTORY, f"{DIRECTORY}/second")
"""Where record and authority stand; the first one says whether the box is enrolled."""
FILE_BYTES_MAX: Final = 64 * 1024
NO_CHECK_TIME: Final = ssl.VerifyFlags(0x200000)
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, for which Python has no name."""


class IdentityError(AgentError):
    """This box has no identity, or one that can not be used."""

    code = "identity"


@dataclass(frozen=True, slots=True)
class Identity:
    """What enrolment gave this box.

    Attributes:
        device_id: Common name of the certificate, user name at the broker.
        artifacts_url: Images are fetched from here, by digest.
    """

    device_id: str
    hardware_model: str
    zone: str
    broker_host: str
    broker_port: int
    artifacts_url: str


class _TidySocket(ssl.SSLSocket):
    """Closes itself when the other side is not whom we trust; paho would leave it open."""

    def do_handshake(self, block: bool = False) -> None:
        """Prove each other, or close."""
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def is_enrolled(disk: Disk) -> bool:
    """Return whether the box on *disk* has been enrolled."""
    return disk.exists(f"{DIRECTORY}/{RECORD}")


def load(disk: Disk) -> Identity:
    """Return the identity of the box on *disk*.

    Raises:
        IdentityError: it has none, or a broken one.
    """
    return _believed(disk)[0]


def mend(disk: Disk) -> Identity:
    """Return what ``load`` does, both copies brought to what can be believed.

    One that has rotted gives way to the other; what an agent of before kept once is kept
    twice from now on. A disk that refuses keeps what it has.

    Raises:
        IdentityError: this box has no identity, or a broken one.
    """
    found, crc = _believed(disk)
    with suppress(StorageError):
        pems = [pem for folder in FOLDERS if (pem := _read(disk, f"{folder}/{AUTHORITY}"))]
        good = [pem for pem in pems if crc is None or zlib.crc32(pem) == crc]
        if good:
            _keep(disk, AUTHORITY, good[0])
            _keep(disk, RECORD, _sealed(asdict(found), good[0]))
    return found


def _believed(disk: Disk) -> tuple[Identity, int | None]:
    """Return what the first record that is whole says, and its CRC of the authority.

    That is None of an agent of before. What another record says of the authority does not
    count: such an agent, which enrols the box anew, leaves the second record as it is.

    Raises:
        IdentityError: there is none, or this box is not enrolled.
    """
    problem = IdentityError("This box is not enrolled; run 'oleada-agent enrol' first.")
    for folder in FOLDERS:
        try:
            if is_enrolled(disk) and disk.exists(f"{folder}/{RECORD}"):
                record = _record(disk, folder)
                return parse(record, f"{folder}/{RECORD}"), record.get(AUTHORITY_SUM)
        except IdentityError as error:
            problem = error
        except (StorageError, ValueError, RecursionError) as error:
            problem = IdentityError(
                f"{folder}/{RECORD} can not be read: {error}. Enrol the box again."
            )
    raise problem


def parse(found: Any, where: str) -> Identity:
    """Return the identity in *found*, which came from disk or from the server.

    Raises:
        IdentityError: a part is missing or makes no sense.
    """
    hints = Identity.__annotations__
    if not isinstance(found, dict):
        raise IdentityError(f"{where}: an object was expected.")
    for name, kind in hints.items():
        if type(found.get(name)) is not kind:
            raise IdentityError(f"{where}: {name!r} is missing or not a {kind.__name__}.")
    identity = Identity(**{name: found[name] for name in hints})
    if not is_device_id(identity.device_id) or not is_hardware_model(identity.hardware_model):
        raise IdentityError(f"{where}: device_id or hardware_model is malformed.")
    if not identity.broker_host or not 0 < identity.broker_port < 65_536:
        raise IdentityError(f"{where}: the broker's address is malformed.")
    try:
        check_https("artifacts_url", identity.artifacts_url, where)
        check_zone(identity.zone, where)
    except ConfigError as error:
        raise IdentityError(str(error)) from error
    return identity


def store(disk: Disk, identity: Identity, certificate_pem: str, ca_pem: str) -> None:
    """Keep what enrolment gave, the record last; the key is there already.

    Raises:
        StorageError: the disk refused; the box is not enrolled then.
    """
    write_whole(disk, f"{DIRECTORY}/{CERTIFICATE}", certificate_pem.encode())
    keypairs.use_first(disk)
    keypairs.double_first(disk)
    for name, data in (
        (AUTHORITY, ca_pem.encode()),
        (RECORD, _sealed(asdict(identity), ca_pem.encode())),
    ):
        for folder in reversed(FOLDERS):
            write_whole(disk, f"{folder}/{name}", data)


def _keep(disk: Disk, name: str, data: bytes) -> None:
    for folder in reversed(FOLDERS):
        if _read(disk, f"{folder}/{name}") != data:
            write_whole(disk, f"{folder}/{name}", data)


def _read(disk: Disk, path: str) -> bytes:
    """Return what is at *path*; nothing of what can not be read."""
    with suppress(StorageError):
        return disk.read(path, 0, FILE_BYTES_MAX) if disk.exists(path) else b""
    return b""


def _sealed(record: dict[str, Any], ca_pem: bytes) -> bytes:
    """Return *record* with its CRC and that of the authority."""
    whole = {**record, AUTHORITY_SUM: zlib.crc32(ca_pem)}
    return json.dumps({**whole, SUM: _sum_of(whole)}, indent=1).encode()


def _record(disk: Disk, folder: str) -> dict[str, Any]:
    """Return the record in *folder*; one of an agent of before has no CRC.

    Raises:
        StorageError: it can not be read.
        ValueError: it is not what was written.
    """
    found = json.loads(disk.read(f"{folder}/{RECORD}", 0, FILE_BYTES_MAX).decode("utf-8"))
    if not isinstance(found, dict):
        raise ValueError("an object was expected")
    crc = found.pop(SUM, None)
    if crc != (_sum_of(found) if AUTHORITY_SUM in found else None):
        raise ValueError("it is not what was written")
    return found


def _sum_of(record: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(record, sort_keys=True).encode())


def tls_context(box: Path) -> ssl.SSLContext:
    """Return TLS that trusts the service's own authority only and shows this box's certificate.

    A pair in use that has rotted away gives way to the one before it.

    Raises:
        IdentityError: a file is missing or broken.
    """
    disk = RealDisk(box)
    try:
        return context_of(box, keypairs.active(disk))
    except IdentityError:
        if not disk.exists(f"{keypairs.FOLDERS[keypairs.spare(disk)]}/{CERTIFICATE}"):
            raise
        return context_of(box, keypairs.spare(disk))


def context_of(box: Path, slot: str) -> ssl.SSLContext:
    """Return TLS as ``tls_context`` does, with the pair in *slot*.

    Raises:
        IdentityError: a file is missing or broken.
    """
    folder = box / keypairs.FOLDERS[slot]
    try:
        context = _trusting(box)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.sslsocket_class = _TidySocket
        context.load_cert_chain(folder / CERTIFICATE, folder / KEY)
    except (OSError, ssl.SSLError) as error:
        raise IdentityError(f"The box's certificate can not be used: {error}.") from error
    return context


def _trusting(box: Path) -> ssl.SSLContext:
    """Return TLS that trusts the first copy of the service's authority that can be read."""
    first, second = (box / folder / AUTHORITY for folder in FOLDERS)
    try:
        return ssl.create_default_context(cafile=first)
    except (OSError, ssl.SSLError):
        if not second.exists():
            raise
        return ssl.create_default_context(cafile=second)


def certificate_ends_ms(box: Path) -> int | None:
    """Return when this box's certificate ends, in UTC milliseconds; None if it can not be read."""
    disk = RealDisk(box)
    found = keypairs.span(disk, keypairs.active(disk))
    return found.ends_ms if found else None


def note_on_end(box: Path, now_ms: int) -> str:
    """Return what to add to why there is no connection; empty while the certificate is good."""
    ends_ms = certificate_ends_ms(box)
    if ends_ms is None or ends_ms > now_ms:
        return ""
    return (
        " (by this box's clock its certificate has expired: it goes on as it is, and asks the "
        "device door for the next one)"
    )


def judge_time(context: ssl.SSLContext, *, is_clock_right: bool, now_ms: int) -> None:
    """Let *context* check when certificates are valid only while that can be believed.

    A box whose clock battery is dead could else reach nobody, for ever; neither could one
    whose pinned authority has ended, for that comes with the box. Everything else about a
    certificate is checked all the same, and what the box obeys is signed.
    """
    ends_s = [ssl.cert_time_to_seconds(str(one["notAfter"])) for one in context.get_ca_certs()]
    if is_clock_right and max(ends_s, default=0) * 1000 > now_ms:
        context.verify_flags &= ~NO_CHECK_TIME
    else:
        context.verify_flags |= NO_CHECK_TIME
