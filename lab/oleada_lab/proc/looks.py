"""What can be seen of real boxes and of a real server at one moment: small frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass

from oleada_agent.machine_states import ReportDraft


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
    """

    stage: str
    assignment: str
    attempt: int
    target: str
    has_begun: bool
    is_armed: bool


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
class ServerLook:
    """The rollout, as the database has it.

    Attributes:
        waves: Boxes that each wave was planned for, by position, once it has been opened.
        health: Sequence numbers of the stored health messages: device, boot, number.
    """

    state: str
    reason: str
    waves: Mapping[int, int]
    rows: tuple[RowLook, ...]
    health: frozenset[tuple[str, str, int]]
