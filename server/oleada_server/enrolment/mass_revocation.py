"""Many boxes revoked at once: one person asks, another one confirms.

One person revokes one box after the other, up to ``revoke_alone_max`` in an hour, because a
stolen box waits for nobody. More could take a fleet off the air, so it takes two. What is
confirmed is exactly what was asked for: would it be other boxes by now, it is asked anew.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select

from oleada_server import config
from oleada_server.accounts import second_person
from oleada_server.accounts.models import AskedDeed, Role
from oleada_server.accounts.rights import Identity
from oleada_server.audit.models import AuditEvent
from oleada_server.config import TwoPersons
from oleada_server.db import chunks, db
from oleada_server.devices import service as devices
from oleada_server.devices.models import Device
from oleada_server.enrolment import revocations
from oleada_server.enrolment.errors import RevokedTooManyError
from oleada_server.errors import BadInputError, ConflictError

NEEDS: Final = Role.DEVICE_CA_ADMIN
SCOPE: Final = "devices:revoke"
ACTION: Final = "device.revoke-many"
BOXES_MAX: Final = 2000
"""In one request: so many are one short transaction."""
HOUR: Final = timedelta(hours=1)


def ask(device_ids: Sequence[str], reason: str, *, person: Identity, now: datetime) -> int:
    """Ask that every box of *device_ids* be revoked; return the number of the request.

    Raises:
        DeviceNotFoundError: One of them is not enrolled.
        BadInputError: One is revoked already, none or too many are named, or no reason.
    """
    db.session.rollback()
    found = _revocable(device_ids)
    for device_id in sorted(set(device_ids) - set(found))[:1]:
        devices.get(device_id)
        raise BadInputError(f"{device_id} is revoked already; leave it out.", "device_ids")
    if not 1 <= len(found) <= BOXES_MAX:
        raise BadInputError(f"Name 1 to {BOXES_MAX} boxes, not {len(found)}.", "device_ids")
    body = {"device_ids": " ".join(found), "sha256": _digest(found)}
    shown = {"boxes": len(found), "sha256": body["sha256"]}
    return second_person.ask(
        ACTION, "devices", body, reason, actor=person.actor, now=now, shown=shown
    )


def do_confirmed(deed: AskedDeed, actor: str, now: datetime) -> None:
    """Revoke what was asked for, in the caller's transaction.

    Raises:
        ConflictError: One of the boxes is gone or revoked by now.
    """
    wanted = deed.body["device_ids"].split()
    found = _revocable(wanted)
    if _digest(found) != deed.body["sha256"]:
        db.session.rollback()
        raise ConflictError(
            f"Of the {len(wanted)} boxes {len(wanted) - len(found)} are revoked or gone by now. "
            "Decline it, and ask for the others."
        )
    for device_id in found:
        revocations.record(device_id, deed.reason, actor=actor, now=now, asked_by=deed.asked_by)


def demand_few(person: Identity, now: datetime) -> None:
    """Let *person* revoke one more box alone.

    Raises:
        RevokedTooManyError: They have revoked as many as one may in the last hour.
    """
    settings = config.current()
    if person.is_local or settings.two_persons == TwoPersons.OFF:
        return
    query = select(func.count(AuditEvent.id)).where(
        AuditEvent.action == revocations.ACTION,
        AuditEvent.actor == person.actor,
        AuditEvent.at > now - HOUR,
    )
    if (db.session.scalar(query) or 0) >= settings.revoke_alone_max:
        db.session.rollback()
        raise RevokedTooManyError(settings.revoke_alone_max)


def _revocable(device_ids: Sequence[str]) -> list[str]:
    """Return those of *device_ids* that are there and not revoked, sorted."""
    found: set[str] = set()
    for chunk in chunks(device_ids):
        there = Device.id.in_(chunk), Device.revoked_at.is_(None)
        found.update(db.session.scalars(select(Device.id).where(*there)))
    return sorted(found)


def _digest(device_ids: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(device_ids).encode()).hexdigest()
