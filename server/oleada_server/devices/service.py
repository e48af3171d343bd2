"""Devices: what boxes say of themselves, in bulk and in order.

Only enrolled boxes have a row. A row is changed only by a message that is newer, by
(boot count, sequence number), than the one it was last changed by; *last_seen_at*
moves with every message, a duplicate too.
"""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from oleada_wire import actions, batch
from oleada_wire.messages import Header, Health, Hello, SlotInfo
from sqlalchemy import ColumnElement, and_, case, func, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute

from oleada_server.clock import box_time, to_ms
from oleada_server.db import TIME_TEXT, db, insert, listed, run_on_rows, time_text
from oleada_server.devices.errors import DeviceNotFoundError
from oleada_server.devices.models import Device, HardwareModel
from oleada_server.devices.search import (
    Contact,
    Filters,
    Page,
    Sort,
    list_devices,
    model_counts,
    version_counts,
)
from oleada_server.live import service as live
from oleada_server.zones import zone_names

__all__ = [
    "DROPPED",
    "Contact",
    "Filters",
    "Page",
    "Sort",
    "get",
    "known",
    "list_devices",
    "model_counts",
    "normalise_mac",
    "parameters_of",
    "record_gone",
    "record_health",
    "record_hello",
    "record_model",
    "slots_by_name",
    "version_counts",
]

DROPPED: Final = "X_OLEADA_DroppedMessages"
"""Where a box's number of dropped telemetry messages stands among its parameters."""
COUNT_DIGITS: Final = 8
"""Of a boot id, in front of its nonce."""
CLOCK_OFF_S_MAX: Final = 10**9
"""Thirty years: a clock that is wrong by more says no more."""
_MAC: Final = re.compile(r"[0-9A-F]{12}")


def get(device_id: str) -> Device:
    """Return the device with *device_id*.

    Raises:
        DeviceNotFoundError: no such box is enrolled.
    """
    found = db.session.get(Device, device_id)
    if found is None:
        raise DeviceNotFoundError(device_id)
    return found


def known(device_ids: Iterable[str]) -> set[str]:
    """Return those of *device_ids* that are enrolled and not revoked."""
    there = Device.id.in_(listed(set(device_ids)))
    return set(db.session.scalars(select(Device.id).where(there, Device.revoked_at.is_(None))))


def record_model(name: str, title: str = "") -> None:
    """See to it that hardware model *name* has a row."""
    db.session.execute(
        insert(HardwareModel).values(name=name, title=title).on_conflict_do_nothing()
    )


def record_hello(device_id: str, hello: Hello, now: datetime) -> bool:
    """Write what a box said of itself; return whether it was news.

    A box that knows a higher assignment number than the server (whose database came
    from a backup) lifts the server's, so that the next assignment is not stale.
    """
    _seen([device_id], now)
    header = hello.header
    values: dict[Any, Any] = {
        Device.hello_boot: str(header.boot),
        Device.hello_seq: header.seq,
        Device.boot_reason: str(hello.boot_reason),
        Device.security_version: hello.security_version,
        Device.agent_version: hello.agent_version,
        Device.provides: list(hello.provides),
        Device.reads_batches: batch.WORD in (hello.reads or ()),
        Device.reads_actions: actions.WORD in (hello.reads or ()),
        Device.denied_actions: list(hello.denied) if hello.denied is not None else None,
        Device.assignment_seq: _at_least(Device.assignment_seq, hello.assignment_seq),
    }
    if (mac := normalise_mac(hello.mac or "")) is not None:
        values[Device.mac] = mac
    if hello.zone in zone_names():
        values[Device.zone] = hello.zone
    with_health: dict[Any, Any] = {
        Device.boot_count: header.boot.count,
        Device.boot_nonce: header.boot.nonce,
        Device.seq: header.seq,
        Device.version: hello.version,
        Device.running_slot: hello.running_slot,
        Device.slots: slots_by_name(hello.slots),
        Device.clock_ahead_s: _ahead_s(header, now),
    }
    row = update(Device).where(Device.id == device_id)
    is_news = or_(_is_newer(header), _is_newer_hello(header))
    changed: Any = db.session.execute(row.where(is_news).values(values), **_IN_PLACE)
    db.session.execute(row.where(_is_newer(header)).values(with_health), **_IN_PLACE)
    live.touch(f"device:{device_id}", now)
    live.touch("devices", now)
    return bool(changed.rowcount)


def record_health(items: Sequence[tuple[str, Health]], now: datetime) -> None:
    """Write the newest health of each box in *items*; older ones only count as contact.

    Announces ``devices`` alone: a row of the change table for each box and health message
    would be the largest table of all.
    """
    newest: dict[str, Health] = {}
    for device_id, health in items:
        held = newest.get(device_id)
        if held is None or _order(held.header) < _order(health.header):
            newest[device_id] = health
    if not newest:
        return
    seen_at = time_text(now)
    rows = [_health_row(device_id, health, now, seen_at) for device_id, health in newest.items()]
    if run_on_rows(_WRITE_HEALTH, _HEALTH_TYPES, rows) < len(rows):
        run_on_rows(_WRITE_LATE_HEALTH, _HEALTH_TYPES, rows)
    _seen(newest, now)  # those of which nothing was news
    live.touch("devices", now)


def record_gone(device_id: str, now: datetime) -> None:
    """Take note that the broker has lost the connection of a box; whatever it says next undoes it.

    A hint for people, and no contact: nothing is decided by it.
    """
    lost = update(Device).where(Device.id == device_id, Device.connected.is_(True))
    changed: Any = db.session.execute(lost.values(connected=False), **_IN_PLACE)
    if changed.rowcount:
        live.touch(f"device:{device_id}", now)


def slots_by_name(slots: Iterable[SlotInfo]) -> dict[str, Any]:
    """Return *slots* by their letter, as the row keeps them."""
    return {
        slot.slot: {
            name: value
            for name in ("slot", "version", "status", "sha256")
            if (value := getattr(slot, name)) is not None
        }
        for slot in slots
    }


@lru_cache(maxsize=1024)
def _slots_text(slots: tuple[SlotInfo, ...]) -> str:
    """Return *slots* as the row keeps them; most boxes of a fleet hold the same few releases."""
    return json.dumps(slots_by_name(slots))


def normalise_mac(text: str) -> str | None:
    """Return *text* as ``AA:BB:CC:DD:EE:FF``; None if it is no MAC address."""
    digits = re.sub(r"[:.\- ]", "", text).upper()
    if not _MAC.fullmatch(digits):
        return None
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


_IN_PLACE: Final[dict[str, Any]] = {"execution_options": {"synchronize_session": False}}


def _seen(device_ids: Iterable[str], now: datetime) -> None:
    stale = or_(Device.last_seen_at.is_(None), Device.last_seen_at < now)
    change = update(Device).where(Device.id.in_(listed(device_ids)), stale)
    first_seen_at = func.coalesce(Device.first_seen_at, now)
    db.session.execute(
        change.values(last_seen_at=now, connected=True, first_seen_at=first_seen_at), **_IN_PLACE
    )


def _is_newer(header: Header) -> ColumnElement[bool]:
    """Tell whether a message is newer than the row; two boots with one count both count."""
    news = or_(Device.boot_nonce != header.boot.nonce, Device.seq < header.seq)
    same_count = and_(Device.boot_count == header.boot.count, news)
    return or_(Device.boot_count < header.boot.count, same_count)


def _is_newer_hello(header: Header) -> ColumnElement[bool]:
    """As ``_is_newer``, among hellos alone."""
    count = func.substr(Device.hello_boot, 1, COUNT_DIGITS)
    boot = str(header.boot)
    news = or_(Device.hello_boot != boot, Device.hello_seq < header.seq)
    same_count = and_(count == boot[:COUNT_DIGITS], news)
    return or_(count < boot[:COUNT_DIGITS], same_count)


def _order(header: Header) -> tuple[int, int]:
    return header.boot.count, header.seq


def _ahead_s(header: Header, now: datetime) -> int:
    """Return by how much the clock of a box that sends at once is ahead, in seconds.

    A message that had to wait makes a clock look behind, until the next one comes.
    """
    ahead_s = round((header.at_ms - to_ms(now)) / 1000)
    return max(-CLOCK_OFF_S_MAX, min(CLOCK_OFF_S_MAX, ahead_s))


def _at_least(column: InstrumentedAttribute[int], value: int) -> ColumnElement[int]:
    return case((column < value, value), else_=column)


def _health_row(
    device_id: str, health: Health, now: datetime, seen_at: str
) -> dict[str, str | int]:
    return {
        "id": device_id,
        "boot_count": health.header.boot.count,
        "boot_nonce": health.header.boot.nonce,
        "boot": str(health.header.boot),
        "seq": health.header.seq,
        "version": health.version,
        "running_slot": health.running_slot,
        "slots": _slots_text(health.slots),
        "health": json.dumps(parameters_of(health)),
        "health_at": time_text(box_time(health.header.at_ms, now)),
        "clock_ahead_s": _ahead_s(health.header, now),
        "seen_at": seen_at,
    }


def parameters_of(health: Health) -> dict[str, Any]:
    """Return the parameters of *health* with the number of messages that were dropped."""
    if not health.dropped:
        return health.parameters
    return {**health.parameters, DROPPED: health.dropped}


_HEALTH_TYPES: Final = {
    "id": "text",
    "boot_count": "integer",
    "boot_nonce": "text",
    "boot": "text",
    "seq": "integer",
    "version": "text",
    "running_slot": "text",
    "slots": "jsonb",
    "health": "jsonb",
    "health_at": TIME_TEXT,
    "clock_ahead_s": "integer",
    "seen_at": TIME_TEXT,
}
_IS_NEWER: Final = """
        device.boot_count < new.boot_count
        OR device.boot_count = new.boot_count
        AND (device.boot_nonce <> new.boot_nonce OR device.seq < new.seq)
"""
"""As ``_is_newer`` has it."""
_WRITE_HEALTH: Final = f"""
    UPDATE device SET
        boot_count = new.boot_count,
        boot_nonce = new.boot_nonce,
        seq = new.seq,
        version = new.version,
        running_slot = new.running_slot,
        slots = new.slots,
        health = new.health,
        health_at = new.health_at,
        health_boot = new.boot,
        health_seq = new.seq,
        clock_ahead_s = new.clock_ahead_s,
        first_seen_at = coalesce(device.first_seen_at, new.seen_at),
        last_seen_at = CASE
            WHEN device.last_seen_at > new.seen_at THEN device.last_seen_at ELSE new.seen_at
        END,
        connected = true
    FROM new
    WHERE device.id = new.id AND ({_IS_NEWER})
"""  # noqa: S608 - our own names
"""What the box says, and when it was seen, in one new version of the row."""
_WRITE_LATE_HEALTH: Final = f"""
    UPDATE device SET
        health = new.health,
        health_at = new.health_at,
        health_boot = new.boot,
        health_seq = new.seq
    FROM new
    WHERE device.id = new.id AND (
        substr(device.health_boot, 1, {COUNT_DIGITS}) < substr(new.boot, 1, {COUNT_DIGITS})
        OR substr(device.health_boot, 1, {COUNT_DIGITS}) = substr(new.boot, 1, {COUNT_DIGITS})
        AND (device.health_boot <> new.boot OR device.health_seq < new.seq)
    )
"""  # noqa: S608 - our own names
"""What only health says, of one that a newer hello has overtaken."""
