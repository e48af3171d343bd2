"""What a box is and does, read from its directory without disturbing it."""

import json
from pathlib import Path
from typing import Any

from oleada_agent import config, identity
from oleada_agent.booted import FILE as BOOTED
from oleada_agent.disk import RealDisk
from oleada_agent.errors import AgentError
from oleada_agent.journal import Journal
from oleada_agent.machine_states import State
from oleada_agent.outbox import DIRECTORY


def look(box: Path) -> dict[str, Any]:
    """Return what is known of the box in directory *box*, by name; values are JSON's.

    Raises:
        ConfigError: *box* is no box, or its settings can not be used.
    """
    settings = config.load(box)
    disk = RealDisk(box)
    found: dict[str, Any] = {
        "serial": settings.serial,
        "hardware_model": settings.hardware_model,
        "device_id": _device_id(box),
    }
    try:
        booted = json.loads(disk.read(BOOTED)) if disk.exists(BOOTED) else {}
    except (ValueError, RecursionError):
        booted = None
    booted = booted if isinstance(booted, dict) else {}
    found["running_slot"] = booted.get("slot", "unknown")
    found["version"] = booted.get("version", "unknown")
    found["boot_id"] = booted.get("boot_id", "none since power-on")
    state = Journal(disk).peek() or State()
    found["stage"] = type(state.stage).__name__
    found["assignment_seq"] = state.assignment_seq
    found["security_floor"] = state.security_floor
    found["quarantined"] = list(state.quarantined)
    found["waiting_in_outbox"] = len(disk.list(DIRECTORY))
    return found


def _device_id(box: Path) -> str:
    try:
        return identity.load(RealDisk(box)).device_id
    except AgentError:
        return "not enrolled"
