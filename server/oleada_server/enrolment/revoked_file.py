"""Who is revoked, as a file that outlives the database: a restore takes no revocation back.

A backup knows what was revoked before it. This file has what is revoked now: every box and
every certificate, also expired ones, for those could be renewed. It lies beside the broker's
lists and, where the setting ``revocations_file`` says so, in a second place; it is signed
with the key of the device CA, which the backup has, so that nobody else revokes a fleet.
"""

import base64
import json
import logging
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from sqlalchemy import select, update

from oleada_server.audit import service as audit
from oleada_server.config import Config
from oleada_server.db import db, insert, read_only
from oleada_server.devices.models import Device, HardwareModel
from oleada_server.enrolment import pki, revocations
from oleada_server.enrolment.errors import BadRevocationsError
from oleada_server.enrolment.models import Certificate

FILE_NAME: Final = "revoked.json"
FORMAT: Final = "oleada.revoked/1"
ACTOR: Final = "system:restore"
WHY: Final = "it was revoked after the backup from which this server was restored"

log = logging.getLogger(__name__)


def keep(config: Config) -> None:
    """Write who is revoked now, where it is not there already; ends the transaction.

    A file that names boxes which are not revoked here any more is kept under another name.

    Raises:
        OSError: The data directory's disk refuses; a second place that does is told of.
    """
    authority = pki.load_authority(config.pki_dir, "device-ca")
    body = _body()
    _write(config.broker_dir / FILE_NAME, body, authority)
    if not config.revocations_file:
        return
    try:
        _write(Path(config.revocations_file), body, authority)
    except OSError as error:
        log.error("revocations can not be kept in %s: %s", config.revocations_file, error)


def merge(path: Path, config: Config, now: datetime) -> int:
    """Revoke what file *path* says is revoked and the database does not know; commits.

    A box that got a certificate after it was revoked is in again, and stays in.

    Returns:
        How many boxes are revoked by it.

    Raises:
        BadRevocationsError: It is no such file, or not signed by this server's device CA.
        OSError: It can not be read.
    """
    db.session.rollback()
    boxes = _read(path.read_bytes(), pki.load_authority(config.pki_dir, "device-ca"))
    count = sum(_merge_box(box, now) for box in boxes)
    db.session.commit()
    return count


def _body() -> str:
    read_only()
    held = select(Certificate).where(Certificate.revoked_at.is_not(None))
    boxes: dict[str, dict[str, Any]] = {}
    for one in db.session.scalars(held.order_by(Certificate.serial_hex)):
        boxes.setdefault(one.device_id, {"certificates": []})["certificates"].append(
            {
                "serial_hex": one.serial_hex,
                "spki_sha256": one.spki_sha256,
                "not_before": one.not_before.isoformat(),
                "not_after": one.not_after.isoformat(),
                "revoked_at": one.revoked_at and one.revoked_at.isoformat(),
            }
        )
    out = Device.revoked_at.is_not(None)
    for device in db.session.scalars(select(Device).where(out | Device.id.in_(list(boxes)))):
        boxes.setdefault(device.id, {"certificates": []}).update(
            serial=device.serial,
            hardware_model=device.hardware_model,
            revoked_at=device.revoked_at and device.revoked_at.isoformat(),
        )
    db.session.rollback()
    found = [{"id": device_id} | box for device_id, box in sorted(boxes.items())]
    return json.dumps({"format": FORMAT, "boxes": found}, sort_keys=True)


def _write(path: Path, body: str, authority: pki.Authority) -> None:
    held = path.read_bytes() if path.exists() else b""
    before = _revoked_in(held)
    if held and before is not None and json.loads(held)["body"] == body:
        return
    if before and not before <= (_revoked_in(_signed(body, authority)) or set()):
        path.replace(path.with_name(f"{path.name}.{path.stat().st_mtime_ns}"))
    pki.write_file(path, _signed(body, authority))


def _signed(body: str, authority: pki.Authority) -> bytes:
    signature = authority.key.sign(body.encode(), ec.ECDSA(SHA256()))
    spelt = {"body": body, "signature": base64.b64encode(signature).decode()}
    return json.dumps(spelt).encode()


def _revoked_in(text: bytes) -> set[str] | None:
    """Return the boxes that a file says are revoked, unchecked; None if it is no such file."""
    try:
        boxes = json.loads(json.loads(text)["body"])["boxes"]
        return {box["id"] for box in boxes if box.get("revoked_at")}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _read(text: bytes, authority: pki.Authority) -> Iterable[dict[str, Any]]:
    try:
        spelt = json.loads(text)
        body, signature = spelt["body"].encode(), base64.b64decode(spelt["signature"])
        authority.key.public_key().verify(signature, body, ec.ECDSA(SHA256()))
        found = json.loads(body)
        if found["format"] != FORMAT:
            raise ValueError(f"its format is {found['format']!r}")
        boxes: list[dict[str, Any]] = found["boxes"]
    except InvalidSignature as error:
        raise BadRevocationsError("it is not signed by this server's device CA") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadRevocationsError(str(error)) from error
    return boxes


def _merge_box(box: dict[str, Any], now: datetime) -> int:
    device = db.session.get(Device, box["id"])
    if device is None and not _add_lost(box, now):
        return 0
    for held in box["certificates"]:
        _merge_certificate(box["id"], held)
    db.session.flush()
    if not box["revoked_at"]:
        return 0
    at = datetime.fromisoformat(box["revoked_at"])
    later = Certificate.device_id == box["id"], Certificate.revoked_at.is_(None)
    if db.session.scalar(select(Certificate.serial_hex).where(*later, Certificate.not_before > at)):
        return 0
    if db.session.get_one(Device, box["id"], populate_existing=True).revoked_at is not None:
        return 0
    revocations.record(box["id"], WHY, actor=ACTOR, now=now)
    return 1


def _add_lost(box: dict[str, Any], now: datetime) -> bool:
    """Give a row to a box that was enrolled and revoked after the backup; return whether.

    Without one it would be taken back as it says hello.
    """
    if db.session.get(HardwareModel, box["hardware_model"]) is None:
        return False  # and no box of that model is taken back
    row = {
        "id": box["id"], "serial": box["serial"], "hardware_model": box["hardware_model"],
        "zone": "UTC", "enrolled_at": now, "connected": False, "boot_count": 0,
        "boot_nonce": "", "seq": 0, "assignment_seq": 0, "cmd_seq": 0,
    }  # fmt: skip
    added = insert(Device).values(row).on_conflict_do_nothing().returning(Device.id)
    found = db.session.scalar(added) is not None
    if found:
        audit.record(ACTOR, "device.adopt", f"device:{box['id']}", now=now, reason=WHY)
    return found


def _merge_certificate(device_id: str, held: dict[str, Any]) -> None:
    at = datetime.fromisoformat(held["revoked_at"])
    known = Certificate.serial_hex == held["serial_hex"]
    there = update(Certificate).where(known, Certificate.revoked_at.is_(None))
    db.session.execute(there.values(revoked_at=at))
    row = {
        "serial_hex": held["serial_hex"], "device_id": device_id, "pem": "", "revoked_at": at,
        "spki_sha256": held["spki_sha256"],
        "not_before": datetime.fromisoformat(held["not_before"]),
        "not_after": datetime.fromisoformat(held["not_after"]),
    }  # fmt: skip
    db.session.execute(insert(Certificate).values(row).on_conflict_do_nothing())
