"""What can be seen of real boxes and of a real server at one moment: small frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass

from oleada_agent.machine_states import ReportDraft

from oleada_lab.check.liveness import ENDED_BADLY, OUTCOMES
from oleada_lab.check.safety import ENDS


@dataclass(frozen=True, slots=True)
class Boot:
    """One boot, as the boot program told it.

    Attributes:
        digest: SHA-256 of the slot when it was first seen; empty when nothing is in it.
    """

    slot: str
    version: str
    boot_id: str
    reason: str
    digest: str
    is_proven: bool
    after_watchdog: bool


@dataclass(frozen=True, slots=True)
class Working:
    """An update that a box is at, as its journal says.

    Attributes:
        stage: Name of the class of the machine's stage.
        has_begun: The spare slot is being written, or has been.
        is_armed: Boot control is told, or has been.
        version: That it is an update to.
    """

    stage: str
    assignment: str
    attempt: int
    target: str
    has_begun: bool
    is_armed: bool
    version: str = ""


@dataclass(frozen=True, slots=True)
class BoxLook:
    """One box.

    Attributes:
        boots: Since the last look, oldest first.
        dead: Why it boots nothing, in the boot program's words; empty while it does.
        working: None when it is at nothing.
        phase: Of the wire, that its stage stands for; empty for none.
        verdict: The last one in its journal.
        is_at_rest: Its machine is idle, and the outbox holds no report.
        proven: Slots that boot control calls good.
        running: Slot and version, as the boot program told the agent.
        digests: Of the slots, as far as they were looked at.
        was_overwritten: The slot that runs has been written since it booted.
        spool: Names of the messages that wait.
    """

    boots: tuple[Boot, ...] = ()
    dead: str = ""
    working: Working | None = None
    phase: str = ""
    verdict: ReportDraft | None = None
    is_at_rest: bool = False
    proven: frozenset[str] = frozenset()
    running: tuple[str, str] | None = None
    digests: Mapping[str, str] | None = None
    was_overwritten: bool = False
    spool: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RowLook:
    """What the server says of one box in the rollout.

    Attributes:
        wave: Position, from 0.
        leased: When the last lease was given, as text that only differs; empty for never.
        is_leased: The lease has not run out.
        version: Which it believes the box runs.
    """

    device_id: str
    wave: int
    state: str
    reason: str
    attempt: int
    leased: str
    is_leased: bool
    version: str


@dataclass(frozen=True, slots=True)
class WayLook:
    """What was said of the boxes that are to go back to *version*, and the rollout that does it.

    Attributes:
        refused: Why none does; empty when one does.
        rollout: Its number; 0 for none.
        look: None when it is refused.
    """

    version: str
    boxes: int
    refused: str
    rollout: int
    look: "ServerLook | None"


@dataclass(frozen=True, slots=True)
class ServerLook:
    """A rollout, as the database has it.

    Attributes:
        waves: Boxes that each wave was planned for, by position, once it has been opened.
        health: Sequence numbers of the stored health messages: device, boot, number.
        ways: That boxes go back on, which have kept its release.
    """

    state: str
    reason: str
    waves: Mapping[int, int]
    rows: tuple[RowLook, ...]
    health: frozenset[tuple[str, str, int]]
    ways: tuple[WayLook, ...] = ()

    @property
    def back(self) -> tuple[RowLook, ...]:
        """The boxes that were sent back."""
        return tuple(row for way in self.ways if way.look is not None for row in way.look.rows)

    @property
    def shown(self) -> dict[str, tuple[str, str]]:
        """State and reason of each box in its newest rollout."""
        return {row.device_id: (row.state, row.reason) for row in (*self.rows, *self.back)}

    def is_over(self, *, goes_back: bool) -> bool:
        """Return whether it has ended, and with *goes_back* who goes back has an outcome."""
        is_owed = goes_back and self.state in ENDED_BADLY and not self.ways
        is_back = all(row.state in OUTCOMES for row in self.back)
        return self.state in ENDS and not is_owed and is_back
