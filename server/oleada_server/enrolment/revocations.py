"""A box is revoked: nothing that it holds opens a door any more.

The database is first. The broker follows within a second or two (gate.py, messaging/
gatekeeper.py): no new connection, and the one that stands is mute and then ended. What a
revoked box says is not stored, the device door knows it, and its certificates are not
renewed. A new claim token makes the box in whose hands it is one of ours again; its old
keys stay worthless.
"""

from datetime import datetime
from typing import Final

from oleada_wire import topics
from sqlalchemy import select, update

from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.devices.errors import DeviceNotFoundError
from oleada_server.devices.models import Device
from oleada_server.enrolment.models import Certificate, ClaimToken
from oleada_server.enrolment.service import record_change_of_gate
from oleada_server.errors import BadInputError
from oleada_server.live import service as live
from oleada_server.messaging import service as messaging
from oleada_server.rollouts import revoked as rollouts

ACTION: Final = "device.revoke"
REASON_CHARS_MAX: Final = 500


def revoke(device_id: str, reason: str, *, actor: str, now: datetime) -> Device:
    """Revoke box *device_id* and every certificate of it; one that is revoked stays so.

    Raises:
        BadInputError: there is no reason, or too long a one.
        DeviceNotFoundError: no such box is enrolled.
    """
    reason = reason.strip()
    if not 0 < len(reason) <= REASON_CHARS_MAX:
        raise BadInputError(f"Give a reason of 1 to {REASON_CHARS_MAX} characters.", "reason")
    record(device_id, reason, actor=actor, now=now)
    db.session.commit()
    return db.session.get_one(Device, device_id)


def record(
    device_id: str, reason: str, *, actor: str, now: datetime, asked_by: str | None = None
) -> None:
    """Revoke a box in the caller's transaction; *asked_by* if another one asked.

    Raises:
        DeviceNotFoundError: no such box is enrolled; the transaction is rolled back.
    """
    rollouts.leave_out(device_id, now)
    device = db.session.scalar(select(Device).where(Device.id == device_id).with_for_update())
    if device is None:
        db.session.rollback()
        raise DeviceNotFoundError(device_id)
    if device.revoked_at is not None:
        return
    device.revoked_at, device.connected = now, False
    of_box = Certificate.device_id == device_id
    db.session.execute(
        update(Certificate).where(of_box, Certificate.revoked_at.is_(None)).values(revoked_at=now)
    )
    unused = ClaimToken.serial == device.serial, ClaimToken.used_at.is_(None)
    db.session.execute(update(ClaimToken).where(*unused).values(expires_at=now))
    messaging.queue_retained(topics.down(device_id, topics.Down.ASSIGN), b"")
    record_change_of_gate()
    after = {"serial": device.serial} | ({"asked_by": asked_by} if asked_by else {})
    audit.record(actor, ACTION, f"device:{device_id}", now=now, reason=reason, after=after)
    live.touch(f"device:{device_id}", now)
    live.touch("devices", now)
