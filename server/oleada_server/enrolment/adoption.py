"""Boxes that were enrolled after the backup from which this server was restored.

Such a box has a certificate of our own device CA, else the broker would not have let it
speak under its id; only the row is lost. Its hello says the rest, which is believed when
it takes nothing from another box: a serial that is free and a model that is known. What
the certificate can not prove is written into the audit trail for a person to see.
"""

import logging
from collections.abc import Mapping
from datetime import datetime

from oleada_wire.messages import Hello
from sqlalchemy import select, update

from oleada_server import restored
from oleada_server.audit import service as audit
from oleada_server.db import db, insert
from oleada_server.devices.models import Device, HardwareModel
from oleada_server.enrolment.models import ClaimToken
from oleada_server.enrolment.service import SERIAL_CHARS_MAX
from oleada_server.live import service as live
from oleada_server.zones import zone_names

log = logging.getLogger(__name__)


def adopt_lost(hellos: Mapping[str, Hello], now: datetime) -> set[str]:
    """Give a row to each box of *hellos* (by device id, none is known) that may have one.

    One transaction; does nothing on a server that never was restored.

    Returns:
        The ids of the boxes that are known from now on.
    """
    if not hellos or not restored.was_restored():
        return set()
    adopted = {device_id for device_id, hello in hellos.items() if _adopt(device_id, hello, now)}
    db.session.commit()
    return adopted


def why_not(hello: Hello, *, model_is_known: bool, serial_owner: str | None) -> str | None:
    """Return why a box that the server has lost is not taken back; None when it is."""
    serial = hello.serial
    if not (0 < len(serial) <= SERIAL_CHARS_MAX and serial.isascii() and serial.isprintable()):
        return "its serial is not one"
    if serial_owner is not None:
        return f"its serial is that of {serial_owner}"
    if not model_is_known:
        return f"there is no hardware model {hello.hardware_model}"
    return None


def _adopt(device_id: str, hello: Hello, now: datetime) -> bool:
    owner = db.session.scalar(select(Device.id).where(Device.serial == hello.serial))
    model = db.session.get(HardwareModel, hello.hardware_model)
    if reason := why_not(hello, model_is_known=model is not None, serial_owner=owner):
        log.warning("box %s is not known and not taken back: %s", device_id, reason)
        return False
    row = {
        "id": device_id,
        "serial": hello.serial,
        "hardware_model": hello.hardware_model,
        "zone": hello.zone if hello.zone in zone_names() else "UTC",
        "enrolled_at": now,
        "connected": True,
        "boot_count": 0,
        "boot_nonce": "",
        "seq": 0,
        "assignment_seq": hello.assignment_seq,
        "cmd_seq": 0,
    }
    statement = insert(Device).values(row).on_conflict_do_nothing().returning(Device.id)
    if db.session.scalar(statement) is None:
        # Another worker was faster: with this box, or with its serial for another one.
        # One that is there and revoked is not taken back either.
        there = Device.id == device_id, Device.revoked_at.is_(None)
        return db.session.scalar(select(Device.id).where(*there)) is not None
    _use_up_claims(device_id, hello.serial, now)
    audit.record(
        "system:restore", "device.adopt", f"device:{device_id}", now=now,
        reason="its certificate is ours; the row was lost by a restore",
        after={"serial": hello.serial, "hardware_model": hello.hardware_model},
    )  # fmt: skip
    live.touch("devices", now)
    return True


def _use_up_claims(device_id: str, serial: str, now: datetime) -> None:
    """Let no other key use the claim with which this box was enrolled."""
    unused = (ClaimToken.serial == serial) & ClaimToken.used_at.is_(None)
    db.session.execute(update(ClaimToken).where(unused).values(used_at=now, device_id=device_id))
