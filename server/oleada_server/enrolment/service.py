"""Enrolment: a claim token, once, becomes a box's certificate.

A token is 24 random bytes, stored only as SHA-256, of one serial. The first key that
uses it is bound to it: the same key again (a lost answer, a power cut) gets the same
certificate, another key is refused and written into the audit trail as an alarm.

Vain tries are counted by address, repeated ones by token (tries.py); a good token is
looked at however many bad ones come from the same address.
"""

import hashlib
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from flask import current_app
from oleada_wire.ids import DEVICE_ID_ALPHABET, is_hardware_model
from sqlalchemy import func, select

from oleada_server import config as settings
from oleada_server.audit import service as audit
from oleada_server.db import db, insert, read_only
from oleada_server.devices import service as devices
from oleada_server.devices.models import Device
from oleada_server.enrolment import pki
from oleada_server.enrolment.errors import (
    BadRequestForCertificateError,
    ClaimExpiredError,
    ClaimNotValidError,
    ClaimUsedError,
    EnrolTooOftenError,
)
from oleada_server.enrolment.models import Certificate, ClaimToken
from oleada_server.enrolment.tries import Tries, network_of
from oleada_server.errors import BadInputError, ServerError
from oleada_server.live import service as live
from oleada_server.messaging import service as messaging
from oleada_server.messaging.models import Counter
from oleada_server.zones import zone_names

GATE: Final = "gate"
TOKEN_BYTES: Final = 24
DEVICE_ID_CHARS: Final = 12
PREFIX_CHARS: Final = 4
SERIAL_CHARS_MAX: Final = 40
_NEW_WITH_EACH_CLAIM: Final = (
    *("hardware_model", "zone", "region"),
    *("enrolled_at", "revoked_at"),
    *("boot_count", "boot_nonce", "seq", "hello_boot", "health_boot"),
)
_WRITERS: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What a box learns when it is enrolled; *certificate_pem* is its own."""

    device_id: str
    hardware_model: str
    zone: str
    certificate_pem: str
    ca_pem: str


def create_claim(
    serial: str,
    hardware_model: str,
    zone: str = "UTC",
    region: str | None = None,
    *,
    actor: str,
    now: datetime,
) -> str:
    """Return a new claim token of *serial*, URL-safe text; it is not kept anywhere.

    Raises:
        BadInputError: serial, model or zone are not what is expected.
    """
    _check_claim(serial, hardware_model, zone)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    devices.record_model(hardware_model)
    db.session.add(
        ClaimToken(
            token_sha256=_digest(token),
            serial=serial,
            hardware_model=hardware_model,
            zone=zone,
            region=region,
            created_at=now,
            expires_at=now + timedelta(seconds=settings.current().claim_ttl_s),
        )
    )
    after = {"hardware_model": hardware_model, "zone": zone, "region": region}
    audit.record(actor, "device.claim", f"serial:{serial}", now=now, after=after)
    db.session.commit()
    return token


def enrol(token: str, serial: str, csr_pem: str, now: datetime, source: str = "") -> Enrolled:
    """Return the certificate of the box with *serial*, for the key of *csr_pem*.

    Idempotent: the same token and key get the same answer while the certificate is valid.

    Args:
        token: As `create_claim` has returned it.
        serial: The one that the token was made for.
        csr_pem: PKCS#10; only its key counts.
        now: Aware time.
        source: The address that asks.

    Raises:
        EnrolTooOftenError: too many vain tries from *source* or with *token*.
        BadRequestForCertificateError: *csr_pem* is not a request for a P-256 key of its own.
        ClaimNotValidError: the token is unknown or of another serial.
        ClaimExpiredError: it was not used in time.
        ClaimUsedError: it was used by another key; the audit trail has an alarm.
    """
    digest = _digest(token)
    if not _fits(digest, serial):
        _count_try(f"source:{network_of(source)}", now, ClaimNotValidError())
        raise ClaimNotValidError
    try:
        key = pki.read_request(csr_pem)
    except BadRequestForCertificateError as error:
        _count_try(f"claim:{digest}", now, error)
        raise
    with in_turn():
        return _use(digest, key, now)


def _use(digest: str, key: ec.EllipticCurvePublicKey, now: datetime) -> Enrolled:
    """Use claim *digest* for *key* in one transaction, or give its answer again."""
    spki = pki.spki_sha256(key)
    claim = db.session.get(ClaimToken, digest, with_for_update=True)
    if claim is None:
        raise ClaimNotValidError
    if claim.used_at is not None:
        _count_try(f"claim:{digest}", now)
        return _again(claim, spki, now)
    if claim.expires_at <= now:
        raise ClaimExpiredError
    _demand_clean(spki)
    device_id = _device_of(claim, now)
    certificate = record_certificate(device_id, key, spki, now)
    claim.used_at, claim.spki_sha256, claim.device_id = now, spki, device_id
    audit.record(f"device:{device_id}", "device.enrol", f"device:{device_id}", now=now,
                 after={"serial": claim.serial, "spki_sha256": spki})  # fmt: skip
    live.touch("devices", now)
    db.session.commit()
    return _enrolled(claim, certificate.pem)


def device_authority() -> pki.Authority:
    """Return the device CA, read once a process."""
    held: dict[str, Any] = current_app.extensions
    if "oleada_device_ca" not in held:
        held["oleada_device_ca"] = pki.load_authority(settings.current().pki_dir, "device-ca")
    found: pki.Authority = held["oleada_device_ca"]
    return found


def record_change_of_gate() -> None:
    """Let every worker look anew whom the broker may let in, after the caller's commit."""
    messaging.next_number(GATE)


def gate_changes() -> int:
    """Return how often that has changed, in the caller's read."""
    return db.session.scalar(select(Counter.value).where(Counter.name == GATE)) or 0


def boxes_expired(now: datetime) -> int:
    """Return how many boxes have no certificate that is valid at *now*, in the caller's read."""
    newest = (
        select(Certificate.device_id)
        .where(Certificate.revoked_at.is_(None))
        .group_by(Certificate.device_id)
        .having(func.max(Certificate.not_after) <= now)
    )
    return db.session.scalar(select(func.count()).select_from(newest.subquery())) or 0


def certificate_ends(device_id: str) -> datetime | None:
    """Return when the newest certificate of a box ends; None if it never had one."""
    query = select(func.max(Certificate.not_after)).where(
        Certificate.device_id == device_id, Certificate.revoked_at.is_(None)
    )
    return db.session.scalar(query)


def service_ca_pem() -> str:
    """Return the certificate that boxes pin for broker and device door."""
    held: dict[str, Any] = current_app.extensions
    if "oleada_service_ca" not in held:
        held["oleada_service_ca"] = pki.load_authority(settings.current().pki_dir, "service-ca").pem
    return str(held["oleada_service_ca"])


def new_device_id(hardware_model: str) -> str:
    """Return a random device id that begins with the model's letters, as in ``VX41…``."""
    letters = [c for c in hardware_model if c in DEVICE_ID_ALPHABET][:PREFIX_CHARS]
    rest = DEVICE_ID_CHARS - len(letters)
    return "".join(letters) + "".join(secrets.choice(DEVICE_ID_ALPHABET) for _ in range(rest))


@contextmanager
def in_turn() -> Iterator[None]:
    """Let the threads of a process write one after the other where SQLite would anyway.

    SQLite wakes nobody: who finds it busy sleeps and looks again, so that of a thousand
    boxes some would be overtaken until their patience ends, while it stands idle.
    """
    is_sqlite = db.session.get_bind().dialect.name == "sqlite"
    with _WRITERS if is_sqlite else nullcontext():
        try:
            yield
        except ServerError:
            db.session.rollback()
            raise


def _fits(digest: str, serial: str) -> bool:
    """Return whether there is such a claim for *serial*; on SQLite nobody waits for it."""
    read_only()
    found = db.session.scalar(select(ClaimToken.serial).where(ClaimToken.token_sha256 == digest))
    db.session.rollback()
    return found is not None and secrets.compare_digest(found.encode(), serial.encode())


def _count_try(name: str, now: datetime, instead_of: ServerError | None = None) -> None:
    held: dict[str, Any] = current_app.extensions
    if "oleada_enrol_tries" not in held:
        held["oleada_enrol_tries"] = Tries(settings.current().enrol_tries_per_minute)
    wait_s = held["oleada_enrol_tries"].count(name, now.timestamp())
    if wait_s:
        raise EnrolTooOftenError(wait_s) from instead_of


def _again(claim: ClaimToken, spki: str, now: datetime) -> Enrolled:
    if claim.spki_sha256 != spki:
        audit.record(
            f"device:{claim.device_id}", "device.enrol-refused", f"device:{claim.device_id}",
            now=now, reason="alarm: the claim token was tried with another key",
            after={"spki_sha256": spki},
        )  # fmt: skip
        db.session.commit()
        raise ClaimUsedError
    query = (
        select(Certificate)
        .where(Certificate.device_id == claim.device_id, Certificate.spki_sha256 == spki)
        .where(Certificate.revoked_at.is_(None), Certificate.not_after > now)
    )
    certificate = db.session.scalar(query.order_by(Certificate.not_after.desc()).limit(1))
    if certificate is None:
        raise ClaimExpiredError
    answer = _enrolled(claim, certificate.pem)
    db.session.rollback()
    return answer


def _demand_clean(spki: str) -> None:
    """Let a key pass that was never revoked: who else has it may enrol nobody with it."""
    of_key = Certificate.spki_sha256 == spki
    query = select(Certificate.device_id).where(of_key, Certificate.revoked_at.is_not(None))
    if db.session.scalar(query.limit(1)) is not None:
        raise BadRequestForCertificateError("its key was revoked.")


def _device_of(claim: ClaimToken, now: datetime) -> str:
    """Return the id of the box with the claim's serial; a new row under the unique serial.

    A box that enrols again was wiped: its boot count starts anew, so the row's does too.
    One that was revoked is let in again.
    """
    is_out = Device.serial == claim.serial, Device.revoked_at.is_not(None)
    if db.session.scalar(select(Device.id).where(*is_out)) is not None:
        record_change_of_gate()
    row = {
        "id": new_device_id(claim.hardware_model),
        "serial": claim.serial,
        "hardware_model": claim.hardware_model,
        "zone": claim.zone,
        "region": claim.region,
        "enrolled_at": now,
        "revoked_at": None,
        "connected": False,
        "boot_count": 0,
        "boot_nonce": "",
        "seq": 0,
        "hello_boot": "",
        "health_boot": "",
        "assignment_seq": 0,
        "cmd_seq": 0,
    }
    statement = insert(Device).values(row)
    anew = {name: row[name] for name in _NEW_WITH_EACH_CLAIM}
    upsert = statement.on_conflict_do_update(index_elements=["serial"], set_=anew)
    return str(db.session.execute(upsert.returning(Device.id)).scalar_one())


def record_certificate(
    device_id: str, key: ec.EllipticCurvePublicKey, spki: str, now: datetime
) -> Certificate:
    """Return a new certificate of box *device_id* for *key*, in the caller's transaction."""
    days = settings.current().certificate_days
    issued = pki.issue_device(device_authority(), device_id, key, now, days)
    certificate = Certificate(
        serial_hex=f"{issued.serial_number:x}",
        device_id=device_id,
        spki_sha256=spki,
        pem=issued.public_bytes(Encoding.PEM).decode(),
        not_before=issued.not_valid_before_utc,
        not_after=issued.not_valid_after_utc,
    )
    db.session.add(certificate)
    return certificate


def _enrolled(claim: ClaimToken, certificate_pem: str) -> Enrolled:
    assert claim.device_id is not None, "a used claim names its device"  # noqa: S101
    return Enrolled(
        device_id=claim.device_id,
        hardware_model=claim.hardware_model,
        zone=claim.zone,
        certificate_pem=certificate_pem,
        ca_pem=service_ca_pem(),
    )


def _check_claim(serial: str, hardware_model: str, zone: str) -> None:
    if not (0 < len(serial) <= SERIAL_CHARS_MAX and serial.isprintable() and serial.isascii()):
        raise BadInputError(
            f"Serial {serial[:60]!r} is not 1 to {SERIAL_CHARS_MAX} printable characters.", "serial"
        )
    if not is_hardware_model(hardware_model):
        raise BadInputError(
            f"Hardware model {hardware_model[:40]!r} is not capitals, digits and dashes, such as "
            "VX-410.",
            "hardware_model",
        )
    if zone not in zone_names():
        raise BadInputError(
            f"Zone {zone[:40]!r} is not a time zone, such as Europe/Madrid.", "zone"
        )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
