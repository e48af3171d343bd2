"""The two slots in TR-181's words (FirmwareImage.Status), from what the machine knows."""

from collections.abc import Callable
from typing import Final

from oleada_wire.messages import SlotInfo
from oleada_wire.words import Reason

from oleada_agent.boot.image import ImageHeader
from oleada_agent.machine_states import (
    SLOTS,
    Armed,
    Assigned,
    Downloading,
    Failed,
    Rebooting,
    RolledBack,
    SlotBad,
    State,
    Written,
)

_WHEN_FAILED: Final[dict[Reason | None, str]] = {
    Reason.DOWNLOAD: "DownloadFailed",
    Reason.CANCELLED: "DownloadFailed",
    Reason.STORAGE: "InstallationFailed",
}


def slot_infos(
    state: State, running: str, header: Callable[[str], ImageHeader | None]
) -> tuple[SlotInfo, ...]:
    """Return slots A and B as the server and its pages show them."""
    found = []
    for slot in SLOTS:
        image = header(slot)
        version = image.version if image is not None else None
        status = "Active" if slot == running else _spare(state, slot, image is not None)
        found.append(SlotInfo(slot, status, version))
    return tuple(found)


def _spare(state: State, slot: str, has_image: bool) -> str:
    match state.stage:
        case SlotBad(work) | Downloading(work) if work.target == slot:
            return "Downloading"
        case Assigned(work) if work.target == slot:
            return "Available" if has_image else "NoImage"
        case Written(work) if work.target == slot:
            return "Validating"
        case Armed(work) | Rebooting(work) if work.target == slot:
            return "Available"
        case Failed(verdict, target) if target == slot:
            return _WHEN_FAILED.get(verdict.reason, "ValidationFailed")
        case RolledBack(_, target) if target == slot:
            return "ActivationFailed"
        case _:
            return "Available" if has_image else "NoImage"
