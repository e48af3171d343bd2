"""Names of boxes and models, and the identifiers that travel with messages.

Device ids are read out on the phone: their alphabet has no look-alikes (no I, L,
O, U, 0 stays, 1 stays), and people may type them with dashes, blanks or small
letters. A boot id orders the messages of a box over restarts.
"""

import re
from dataclasses import dataclass
from typing import Self

from oleada_wire.errors import MalformedMessageError

DEVICE_ID_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford base 32
DEVICE_ID_PATTERN = re.compile(r"[0-9A-HJKMNP-TV-Z]{8,20}")
HARDWARE_MODEL_PATTERN = re.compile(r"[A-Z0-9][A-Z0-9-]{0,30}[A-Z0-9]")
BOOT_ID_PATTERN = re.compile(r"[0-9]{8}-[0-9a-f]{8}")
_LOOK_ALIKES = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})


def normalise_device_id(text: str) -> str:
    """Return *text* as typed by a person in the one spelling of device ids."""
    return text.upper().translate(_LOOK_ALIKES)


def group_device_id(device_id: str) -> str:
    """Return *device_id* in groups of four, as pages show it: ``VX41-7Q3K-0928``."""
    return "-".join(device_id[i : i + 4] for i in range(0, len(device_id), 4))


def is_device_id(text: str) -> bool:
    """Return whether *text* is a device id in its one spelling."""
    return DEVICE_ID_PATTERN.fullmatch(text) is not None


def is_hardware_model(text: str) -> bool:
    """Return whether *text* is the name of a hardware model, such as ``VX-410``."""
    return HARDWARE_MODEL_PATTERN.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, order=True)
class BootId:
    """One boot of a box: a counter that survives power cuts, and a nonce.

    Attributes:
        count: Boots so far; 0 to 99 999 999. Orders messages of one box.
        nonce: 8 lowercase hex digits; tells apart two boots that lost the counter.
    """

    count: int
    nonce: str

    def __str__(self) -> str:
        return f"{self.count:08d}-{self.nonce}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the boot id spelt *text*.

        Raises:
            MalformedMessageError: *text* is not ``NNNNNNNN-hhhhhhhh``.
        """
        if not BOOT_ID_PATTERN.fullmatch(text):
            raise MalformedMessageError(
                f"Boot id {text[:40]!r} is not eight digits, a dash and eight hex digits."
            )
        return cls(int(text[:8]), text[9:])
