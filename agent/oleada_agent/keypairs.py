"""The box's key and certificate, in two slots of which one is in use.

Slot ``a`` is ``data/identity`` itself, where enrolment puts its pair, slot ``b`` a folder in
it. ``data/identity/active`` names the one in use; it is written last, when the broker has
let the box in with the other one. So a pair that nobody knows is never relied upon, and
the one before stays where it is until the next renewal needs its room.

A renewal makes its key first, asks, and then stores the certificate: what a power cut
leaves is a key without a certificate (asked for again with the same key) or a pair that
ends later than the one in use (tried again). Whatever else is in the spare slot is old.
Source: trust design 6.2; powerfail design 4.6.
"""

import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from oleada_agent.errors import StorageError
from oleada_agent.journal import write_whole
from oleada_agent.ports import Disk

DIRECTORY: Final = "data/identity"
KEY: Final = "key.pem"
CERTIFICATE: Final = "certificate.pem"
ACTIVE: Final = f"{DIRECTORY}/active"
FIRST, SECOND = "a", "b"
FOLDERS: Final = {FIRST: DIRECTORY, SECOND: f"{DIRECTORY}/b"}
PEM_BYTES_MAX: Final = 64 * 1024
_GENERALIZED_TIME: Final = 0x18


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when a certificate is valid, in UTC milliseconds."""

    begins_ms: int
    ends_ms: int


def active(disk: Disk) -> str:
    """Return the slot in use; of a record that is rotten, the slot that ends last."""
    if not disk.exists(ACTIVE):
        return FIRST
    try:
        said = disk.read(ACTIVE, 0, PEM_BYTES_MAX).decode("ascii", "replace").strip()
    except StorageError:
        said = ""
    return said if said in FOLDERS else max(FOLDERS, key=lambda slot: _end_ms(disk, slot))


def spare(disk: Disk) -> str:
    """Return the slot that is not in use."""
    return SECOND if active(disk) == FIRST else FIRST


def is_candidate_there(disk: Disk) -> bool:
    """Return whether the spare slot holds a whole pair that ends later than the one in use."""
    slot = spare(disk)
    has_key = disk.exists(f"{FOLDERS[slot]}/{KEY}")
    return has_key and _end_ms(disk, slot) > _end_ms(disk, active(disk))


def waiting_key(disk: Disk) -> bytes | None:
    """Return the key, PEM, for which a certificate was being asked; None if there is none."""
    folder = FOLDERS[spare(disk)]
    if disk.exists(f"{folder}/{CERTIFICATE}") or not disk.exists(f"{folder}/{KEY}"):
        return None
    return disk.read(f"{folder}/{KEY}", 0, PEM_BYTES_MAX)


def clear_spare(disk: Disk) -> None:
    """Empty the spare slot, the key first: a key that is alone is one that is waiting."""
    folder = FOLDERS[spare(disk)]
    for name in (KEY, CERTIFICATE):
        disk.unlink(f"{folder}/{name}.tmp")
        if disk.exists(f"{folder}/{name}"):
            disk.unlink(f"{folder}/{name}")
            disk.fsync_dir(folder)


def put_key(disk: Disk, pem: bytes) -> None:
    """Keep a new key in the spare slot, which is empty."""
    write_whole(disk, f"{FOLDERS[spare(disk)]}/{KEY}", pem)


def put_certificate(disk: Disk, pem: bytes) -> None:
    """Keep the certificate of the key in the spare slot."""
    write_whole(disk, f"{FOLDERS[spare(disk)]}/{CERTIFICATE}", pem)


def switch(disk: Disk) -> None:
    """Use the spare slot from now on."""
    write_whole(disk, ACTIVE, f"{spare(disk)}\n".encode())


def double_first(disk: Disk) -> None:
    """Keep the pair that enrolment has put in slot ``a`` in the spare slot as well.

    So the rot of one file leaves a pair, before the first renewal too. The key is put there
    last: one that stood alone would be taken for one that waits for its certificate.
    """
    for name in (CERTIFICATE, KEY):
        pem = disk.read(f"{FOLDERS[FIRST]}/{name}", 0, PEM_BYTES_MAX)
        write_whole(disk, f"{FOLDERS[SECOND]}/{name}", pem)


def use_first(disk: Disk) -> None:
    """Use slot ``a``, which enrolment has just filled."""
    write_whole(disk, ACTIVE, f"{FIRST}\n".encode())


def span(disk: Disk, slot: str) -> Span | None:
    """Return how long the certificate in *slot* is valid; None without a readable one."""
    path = f"{FOLDERS[slot]}/{CERTIFICATE}"
    try:
        return span_of(disk.read(path, 0, PEM_BYTES_MAX)) if disk.exists(path) else None
    except StorageError:
        return None


def span_of(pem: bytes) -> Span | None:
    """Return how long the certificate *pem* is valid; None if it can not be read.

    By hand, because the library that reads certificates costs more memory than the agent.
    Source: RFC 5280, 4.1 (the fifth part of the signed part) and X.690.
    """
    try:
        text = pem.partition(b"-----BEGIN CERTIFICATE-----")[2].partition(b"-----END")[0]
        der = binascii.a2b_base64(text)
        inner, _ = _der(der, _der(der, 0)[0])
        at = inner
        for _ in range(4):  # version, serial number, algorithm, issuer
            at = sum(_der(der, at))
        begins_at = _der(der, at)[0]
        return Span(_time_ms(der, begins_at), _time_ms(der, sum(_der(der, begins_at))))
    except (ValueError, IndexError):
        return None


def _end_ms(disk: Disk, slot: str) -> int:
    found = span(disk, slot)
    return found.ends_ms if found else 0


def _time_ms(der: bytes, at: int) -> int:
    start, length = _der(der, at)
    text = der[start : start + length].decode("ascii")
    century = "" if der[at] == _GENERALIZED_TIME else "20" if text[:2] < "50" else "19"
    year, rest = (century + text)[:4], (century + text)[4:14]
    parts = [int(rest[i : i + 2]) for i in range(0, 10, 2)]
    at_utc = datetime(int(year), *parts, tzinfo=UTC)  # type: ignore[arg-type, misc]
    return int(at_utc.timestamp() * 1000)


def _der(data: bytes, at: int) -> tuple[int, int]:
    """Return where the value of the element at *at* begins, and how long it is."""
    length = data[at + 1]
    if length < 0x80:
        return at + 2, length
    size = length & 0x7F
    return at + 2 + size, int.from_bytes(data[at + 2 : at + 2 + size], "big")
