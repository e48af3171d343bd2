"""Boxes and what they say: each function makes a valid value with a few changes."""

import itertools
from datetime import UTC, datetime
from typing import Any

from oleada_server.clock import to_ms
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.devices.service import record_model
from oleada_wire.ids import BootId
from oleada_wire.messages import Header, Health, Hello, SlotInfo
from oleada_wire.words import BootReason

START = datetime(2026, 1, 1, tzinfo=UTC)
SLOTS = (SlotInfo("A", "Active", "1.0.0"), SlotInfo("B", "NoImage"))
_ids = itertools.count(1)


def a_header(*, boot: int = 1, seq: int = 1, at: datetime = START) -> Header:
    """Return a header with an id that no other has."""
    return Header(f"{next(_ids):08x}" + "c0ffee00" * 3, to_ms(at), BootId(boot, "0badc0de"), seq)


def a_hello(*, boot: int = 1, seq: int = 1, **changes: Any) -> Hello:
    """Return the hello of a VX-410 on 1.0.0."""
    said: dict[str, Any] = {
        "hardware_model": "VX-410",
        "serial": "SN-1",
        "running_slot": "A",
        "version": "1.0.0",
        "security_version": 1,
        "slots": SLOTS,
        "agent_version": "0.1.0",
        "zone": "Europe/Madrid",
        "boot_reason": BootReason.POWER_ON,
        "assignment_seq": 0,
        "security_floor": 1,
        **changes,
    }
    return Hello(header=a_header(boot=boot, seq=seq), **said)


def a_health(
    *, boot: int = 1, seq: int = 1, at: datetime = START, uptime_s: int = 60, version: str = "1.0.0"
) -> Health:
    """Return a health message with an uptime."""
    return Health(
        header=a_header(boot=boot, seq=seq, at=at),
        version=version,
        running_slot="A",
        slots=SLOTS,
        parameters={"Device.DeviceInfo.UpTime": uptime_s},
    )


def add_device(
    device_id: str, *, model: str = "VX-410", serial: str | None = None, **columns: Any
) -> Device:
    """Commit an enrolled device and return it."""
    record_model(model)
    device = Device(
        id=device_id,
        serial=serial or f"SN-{device_id}",
        hardware_model=model,
        enrolled_at=START,
        **columns,
    )
    db.session.add(device)
    db.session.commit()
    return device
