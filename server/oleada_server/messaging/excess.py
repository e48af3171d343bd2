"""Boxes that send more than their quota: kept in spells, told on the box's page.

A spell ends when nothing was too much for an hour; the next one begins anew and is one
more entry of the audit trail. So a box that floods for a month is one entry and one row.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import case

from oleada_server.audit import service as audit
from oleada_server.db import db, insert
from oleada_server.devices import service as devices
from oleada_server.live import service as live
from oleada_server.messaging.models import DeviceExcess

SPELL_GAP: Final = timedelta(hours=1)


def record_excess(found: Mapping[str, int], now: datetime) -> None:
    """Add to the spell of each box in *found* how many messages were not kept.

    Part of the caller's transaction. Boxes that are not enrolled are left out.
    """
    enrolled = devices.known(found)
    for device_id in sorted(enrolled):
        _add(device_id, found[device_id], now)
        live.touch(f"device:{device_id}", now)


def excess_of(device_id: str, now: datetime) -> DeviceExcess | None:
    """Return the spell of a box that sends too much; None when it has ended."""
    found = db.session.get(DeviceExcess, device_id)
    return found if found is not None and found.last_at > now - SPELL_GAP else None


def _add(device_id: str, messages: int, now: datetime) -> None:
    row = {"device_id": device_id, "began_at": now, "last_at": now, "messages": messages}
    is_over = DeviceExcess.last_at <= now - SPELL_GAP
    goes_on: dict[str, Any] = {
        "began_at": case((is_over, now), else_=DeviceExcess.began_at),
        "messages": case((is_over, messages), else_=DeviceExcess.messages + messages),
        "last_at": now,
    }
    statement = insert(DeviceExcess).values(row)
    upsert = statement.on_conflict_do_update(index_elements=["device_id"], set_=goes_on)
    began_at = db.session.scalar(upsert.returning(DeviceExcess.began_at))
    if began_at == now:
        ref = f"device:{device_id}"
        why = "it sends more than its quota; what is beyond it is not kept"
        audit.record(
            "system:worker", "device.over-quota", ref, now=now, reason=why,
            after={"messages": messages},
        )  # fmt: skip
