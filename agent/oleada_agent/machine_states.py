"""What the machine remembers: one frozen dataclass per stage of an update.

Each holds exactly what is true in it. All of it is stored before anything is done
about it, so all of it is strings, integers, booleans and tuples. Numbers of stages
are those of docs/explanation/agent.md.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from oleada_wire.messages import Assignment
from oleada_wire.words import Phase, Reason

SLOTS: Final = ("A", "B")
QUARANTINED_MAX: Final = 64
"""Digests remembered; the oldest leaves first, as its release is the least likely to return."""


def other_slot(slot: str) -> str:
    """Return the slot that *slot* is not."""
    return "B" if slot == "A" else "A"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a person may set; the rest are constants.

    Attributes:
        tries: Starts of a new slot before the boot program gives up on it; at least 4,
            because viewers pull plugs.
        trial_limit_ms: The new slot must prove itself in this time.
        lease_answer_ms: Ask again after this long without an answer.
        authority_retry_ms: Look again after this long for metadata that has not come.
        laps_max: Restarts and repeats without progress before the update is given up.
    """

    tries: int = 4
    trial_limit_ms: int = 600_000
    lease_answer_ms: int = 60_000
    authority_retry_ms: int = 60_000
    laps_max: int = 32

    def __post_init__(self) -> None:
        if self.tries < 4:
            raise ValueError(f"tries is {self.tries}; at least 4, because viewers pull plugs")
        if min(self.trial_limit_ms, self.lease_answer_ms, self.authority_retry_ms) < 1:
            raise ValueError("a limit in milliseconds is at least 1")


@dataclass(frozen=True, slots=True)
class Running:
    """What runs now, as the boot program told it.

    Attributes:
        slot: ``A`` or ``B``.
        version: Read from inside that slot's image.
        boot_id: Of this boot; another one means a restart.
        successful: Whether that slot has been committed.
    """

    slot: str = "A"
    version: str = "0"
    boot_id: str = ""
    successful: bool = True


@dataclass(frozen=True, slots=True)
class ReportDraft:
    """A report but for the header, which the outbox adds; (assignment, attempt, step) names it."""

    assignment_id: str
    attempt: int
    step: int
    phase: Phase
    version: str
    running_slot: str
    done_bytes: int = 0
    reason: Reason | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """An assignment that has come while another is past the point of return."""

    assignment: Assignment


@dataclass(frozen=True, slots=True)
class Work:
    """The update in progress.

    Attributes:
        target: The slot that is written.
        steps: Reports made in this attempt.
        laps: Restarts and repeats since the last progress; the loop breaker counts them.
        lease_until_ms: UTC; 0 without a lease.
    """

    assignment: Assignment
    target: str
    steps: int = 0
    laps: int = 0
    lease_until_ms: int = 0


class Gate(StrEnum):
    """What a stage waits for; in memory only, a restart begins at the first gate again."""

    READ_BACK = "read_back"
    AUTHORITY = "authority"
    SPREAD = "spread"
    CONDITIONS = "conditions"
    LEASE = "lease"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Idle:
    """0: nothing to do."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """1: an assignment is known; nothing has been touched."""

    work: Work
    gate: Gate = Gate.AUTHORITY


@dataclass(frozen=True, slots=True)
class SlotBad:
    """2: authorised and leased; the spare slot is being marked unbootable."""

    work: Work


@dataclass(frozen=True, slots=True)
class Downloading:
    """3: the image streams into the spare slot, *done_bytes* of it are durable."""

    work: Work
    done_bytes: int = 0
    told_bytes: int = 0
    gate: Gate = Gate.CONDITIONS


@dataclass(frozen=True, slots=True)
class Written:
    """4: every byte is in the slot; it is read back, then authorised and leased again."""

    work: Work
    gate: Gate = Gate.READ_BACK


@dataclass(frozen=True, slots=True)
class Armed:
    """5: the boot control is being told to try the new slot."""

    work: Work


@dataclass(frozen=True, slots=True)
class Rebooting:
    """6: another boot id than *boot_id* is expected."""

    work: Work
    boot_id: str


@dataclass(frozen=True, slots=True)
class Trial:
    """7: the new slot runs and must prove itself.

    Attributes:
        passed: It has; the boot control is being told.
        contacted: The server has answered in this trial.
        faults: Boots of this trial that ended in the watchdog's hands.
    """

    work: Work
    passed: bool = False
    contacted: bool = False
    faults: int = 0


@dataclass(frozen=True, slots=True)
class Committed:
    """8: the new slot is good for ever; the verdict is on its way."""

    verdict: ReportDraft


@dataclass(frozen=True, slots=True)
class Declined:
    """Nothing was written; the verdict is on its way."""

    verdict: ReportDraft


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt ended before the new slot was tried; the verdict is on its way.

    Attributes:
        target: Is made unbootable; None when it was never touched.
        laps: Restarts that were to leave *target*, should it be running.
    """

    verdict: ReportDraft
    target: str | None
    laps: int = 0


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The old slot runs again, or will after a restart; the verdict is on its way.

    Attributes:
        target: Is made unbootable.
        laps: Restarts that were to leave *target*.
    """

    verdict: ReportDraft
    target: str
    laps: int = 0


@dataclass(frozen=True, slots=True)
class Reported:
    """9: the server has the verdict; what the update left behind is cleared away."""


InFlight = Assigned | SlotBad | Downloading | Written | Armed | Rebooting | Trial
Ended = Committed | Declined | Failed | RolledBack
Stage = Idle | InFlight | Ended | Reported
STAGES: Final[tuple[type, ...]] = (
    Idle, Assigned, SlotBad, Downloading, Written, Armed, Rebooting, Trial, Committed,
    Reported, Declined, Failed, RolledBack,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class State:
    """All the machine remembers.

    Attributes:
        assignment_seq: Highest seen; an assignment with no higher one is stale.
        security_floor: No image below it is installed; rises only after a commit.
        quarantined: Digests that were rolled back here and are never tried again.
        waiting: What to take up next.
        last: The last verdict, sent again when the server asks for it again.
        first_step: Reports of the next attempt are numbered from here: above whatever the box
            may have said before it lost its journal, or the server would take a verdict for old.
    """

    stage: Stage = field(default_factory=Idle)
    running: Running = field(default_factory=Running)
    limits: Limits = field(default_factory=Limits)
    assignment_seq: int = 0
    security_floor: int = 0
    quarantined: tuple[str, ...] = ()
    waiting: Offer | None = None
    last: ReportDraft | None = None
    first_step: int = 0
