"""What the boxes of a storm say: valid messages, the same for the same seed."""

import random
from collections.abc import Sequence
from typing import Final, TypeVar

from oleada_agent.voice import READS
from oleada_server.clock import to_ms
from oleada_wire import messages
from oleada_wire.ids import BootId
from oleada_wire.messages import Header, Health, Hello, Log, Report, SlotInfo
from oleada_wire.words import BootReason, Phase, Reason

from oleada_lab.bench.identities import Identity
from oleada_lab.clock import now_utc

OLD, NEW = "1.0.0", "1.1.0"
SLOTS: Final = (SlotInfo("A", "Active", OLD),)
WAY: Final = (
    *(Phase.DOWNLOADING,) * 6,
    Phase.INSTALLING,
    Phase.RESTARTING,
    Phase.CHECKING,
)
"""What a box tells on its way; the verdict is the step after."""
VERDICTS: Final[Sequence[tuple[Phase, Reason | None]]] = (
    (Phase.UPDATED, None),
    (Phase.UPDATED, None),
    (Phase.ROLLED_BACK, Reason.HEALTH_CHECK),
    (Phase.FAILED, Reason.UNBOOTABLE),
    (Phase.DECLINED, Reason.TOO_LARGE),
)
STEPS: Final = len(WAY) + 1
T = TypeVar("T")


class Tongue:
    """Gives each message of one box its header.

    Args:
        dice: For the ids.
        boot: Boots so far.
    """

    def __init__(self, dice: random.Random, boot: int) -> None:
        self._dice = dice
        self._boot = BootId(boot, f"{dice.getrandbits(32):08x}")
        self._seq = 0

    def header(self) -> Header:
        """Return the header of the next message."""
        self._seq += 1
        at_ms = to_ms(now_utc())
        return Header(f"{self._dice.getrandbits(128):032x}", at_ms, self._boot, self._seq)

    def hello(self, identity: Identity, assignment_seq: int = 0) -> Hello:
        """Return who *identity* is: a box on the old version."""
        return Hello(
            self.header(), identity.hardware_model, identity.serial, "A", OLD, 1, SLOTS,
            "0", "UTC", BootReason.POWER_ON, assignment_seq, 0, reads=READS,
        )  # fmt: skip

    def health(self, uptime_s: int) -> Health:
        """Return a health message with an uptime."""
        return Health(self.header(), OLD, "A", SLOTS, {"Device.DeviceInfo.UpTime": uptime_s})

    def log(self, size_bytes: int) -> Log:
        """Return a log of about *size_bytes*."""
        line = "x" * 8000
        return Log(self.header(), (line,) * (size_bytes // len(line)))

    def story(self, assignment_id: str, number: int) -> list[Report]:
        """Return every report of one attempt, in order; *number* chooses how it ends."""
        verdict, reason = VERDICTS[number % len(VERDICTS)]
        found = []
        for step, phase in enumerate((*WAY, verdict), start=1):
            version = NEW if phase is Phase.UPDATED else OLD
            done_bytes = 1000 * step if phase is Phase.DOWNLOADING else 0
            found.append(
                Report(
                    self.header(), assignment_id, 1, step, phase, version, "A", done_bytes,
                    reason if phase is verdict else None,
                )
            )  # fmt: skip
        return found


def doubled_and_shuffled(said: Sequence[T], dice: random.Random) -> list[T]:
    """Return every one of *said* twice, in any order."""
    found = [*said, *said]
    dice.shuffle(found)
    return found


def spelt(message: Report | Hello | Health | Log) -> bytes:
    """Return the bytes of *message*."""
    return messages.encode(message)
