"""What the boot program has told: which slot runs, which version, which boot.

Without a boot program (an engineer starts the agent by hand) the same facts are read
from boot control and the slot, and written down, so that a restart of the agent alone
is the same boot.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from oleada_wire.errors import WireError
from oleada_wire.ids import BootId
from oleada_wire.words import BootReason

from oleada_agent import clock
from oleada_agent.boot.control import FileBootControl
from oleada_agent.boot.image import FIRST_BLOCK_BYTES, parse_header
from oleada_agent.config import Config
from oleada_agent.errors import AgentError, ImageError, StorageError
from oleada_agent.journal import write_whole
from oleada_agent.machine_events import Booted
from oleada_agent.ports import Disk
from oleada_agent.slots import slot_path

FILE: Final = "run/booted.json"
BOOT_COUNT: Final = "data/boot_count"


class BootedError(AgentError):
    """What the boot program has told can not be read."""

    code = "booted"


@dataclass(frozen=True, slots=True)
class BootFacts:
    """This boot.

    Attributes:
        security_version: Of the image that runs; 0 when unknown.
        successful: Boot control calls this slot good.
        after_watchdog: The boot before this one hung or crashed.
        put_back: A slot on trial was not started, because its try could not be counted.
        trouble: What the boot program has met on its way, in sentences.
    """

    slot: str
    version: str
    boot: BootId
    reason: BootReason
    security_version: int
    successful: bool
    after_watchdog: bool
    provides: tuple[str, ...]
    put_back: bool = False
    trouble: tuple[str, ...] = ()

    def able(self, config: Config) -> frozenset[str]:
        """Return what the box can do: what its image brings, and what its hardware has."""
        return frozenset((*self.provides, *config.provides))


def read(disk: Disk) -> BootFacts:
    """Return the facts of this boot.

    Raises:
        BootedError: the boot program has written nonsense.
        StorageError: the disk refuses.
    """
    if not disk.exists(FILE):
        disk.create(f"{FILE}.tmp")
        disk.pwrite(f"{FILE}.tmp", 0, json.dumps(_by_hand(disk)).encode())
        disk.rename(f"{FILE}.tmp", FILE)
    try:
        return _parse(json.loads(disk.read(FILE)))
    except (ValueError, KeyError, TypeError, RecursionError, WireError) as error:
        raise BootedError(f"{FILE} can not be read: {error!r}. Restart the box.") from error


def event(facts: BootFacts) -> Booted:
    """Return *facts* as the machine hears them."""
    return Booted(
        facts.slot,
        facts.version,
        str(facts.boot),
        facts.reason,
        facts.successful,
        facts.after_watchdog,
        facts.security_version,
        put_back=facts.put_back,
    )


def _parse(found: dict[str, Any]) -> BootFacts:
    if found["slot"] not in ("A", "B"):
        raise ValueError(f"slot {found['slot']!r} is neither A nor B")
    known = set(BootReason)
    reason = found.get("boot_reason", "unknown")
    return BootFacts(
        slot=found["slot"],
        version=str(found["version"]),
        boot=BootId.parse(found["boot_id"]),
        reason=BootReason(reason) if reason in known else BootReason.UNKNOWN,
        security_version=int(found.get("security_version", 0)),
        successful=bool(found.get("successful", True)),
        after_watchdog=bool(found.get("after_watchdog", False)),
        provides=tuple(str(item) for item in found.get("provides", ())),
        put_back=bool(found.get("put_back", False)),
        trouble=tuple(str(item) for item in found.get("trouble", ())),
    )


def _by_hand(disk: Disk) -> dict[str, Any]:
    control = FileBootControl(disk).load()
    slot = control.preferred() if control is not None else "A"
    try:
        version = parse_header(disk.read(slot_path(slot), 0, FIRST_BLOCK_BYTES)).version
    except (ImageError, StorageError):
        version = "0"
    count = 0
    if disk.exists(BOOT_COUNT):
        text = disk.read(BOOT_COUNT, 0, 20).decode("ascii", "replace").strip()
        count = int(text) if text.isdecimal() and len(text) <= 8 else 0
    count = min(count + 1, 99_999_999)
    write_whole(disk, BOOT_COUNT, f"{count}\n".encode())
    return {
        "slot": slot,
        "version": version,
        "boot_id": str(BootId(count, clock.hex_id(8))),
        "successful": control.of(slot).successful if control is not None else True,
    }
