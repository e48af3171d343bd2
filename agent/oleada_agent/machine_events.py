"""What the machine hears (events) and what it asks for (commands).

Events name the attempt they belong to, so that one which crossed a restart or a
cancellation means nothing. Chance arrives inside events: ``draw`` is 0 to
``DRAW_PARTS`` - 1, and ``Shell.feed`` fills it in.

| Command | Answered by |
|---|---|
| Authorise | Authorised, AuthorityRefused or AuthorityUnknown |
| CheckConditions | ConditionsChecked |
| AskLease | LeaseAnswered, or silence |
| MarkBad, Empty | SlotEmptied, or StorageFailed |
| Arm, MarkGood | SlotArmed, SlotMarkedGood, or StorageFailed |
| Fetch | Checkpointed …, then Fetched or FetchFailed |
| ReadBack | ReadBackPassed or ReadBackFailed |
| Reboot | Booted, with another boot id |
| StartTrial | ServerContacted, HealthPassed, HealthFailed |
| SendReport | ReportAcked, when it is a verdict |
| Tidy | Tidied |
| WakeIn | Woken |
"""

from dataclasses import dataclass
from typing import Final

from oleada_wire.messages import Assignment, Window
from oleada_wire.words import BootReason, LeasePhase, Reason

from oleada_agent.machine_states import ReportDraft

DRAW_PARTS: Final = 10_000


# -- events ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Booted:
    """The agent has started: first event of every start.

    Attributes:
        slot: That runs, ``A`` or ``B``.
        boot_id: As the boot program wrote it; the same one means the agent alone restarted.
        successful: Whether the boot control calls this slot good.
        after_watchdog: The boot before this one hung or crashed.
        security_version: Of the image that runs; the floor never lies below a proven one.
        put_back: The slot on trial was not started: the disk did not let its try be counted.
    """

    slot: str
    version: str
    boot_id: str
    boot_reason: BootReason = BootReason.UNKNOWN
    successful: bool = True
    after_watchdog: bool = False
    security_version: int = 0
    draw: int = 0
    put_back: bool = False


@dataclass(frozen=True, slots=True)
class AssignReceived:
    """An assignment has come (None: there is none any more).

    Its envelope is signed by the director and names this box; nothing more is known of it.
    """

    assignment_seq: int
    assignment: Assignment | None
    draw: int = 0


@dataclass(frozen=True, slots=True)
class Authorised:
    """Metadata, wave and assignment agree: this image may run here."""

    assignment_id: str
    attempt: int
    draw: int = 0


@dataclass(frozen=True, slots=True)
class AuthorityRefused:
    """It may not, and more metadata will not change that."""

    assignment_id: str
    attempt: int
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AuthorityUnknown:
    """Metadata or wave have not come yet, or are about to be renewed."""

    assignment_id: str
    attempt: int
    draw: int = 0


@dataclass(frozen=True, slots=True)
class TrustChanged:
    """New metadata or waves have come: what was unknown may be known."""


@dataclass(frozen=True, slots=True)
class DenyListed:
    """These digests must not be installed; signed by the director."""

    digests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConditionsChecked:
    """Whether now is a good time: window, temperature, nobody watching.

    Attributes:
        blocked: Why not, as a code such as ``window``; empty when it is.
        retry_in_ms: When to look again if not.
    """

    blocked: str = ""
    retry_in_ms: int = 60_000
    draw: int = 0


@dataclass(frozen=True, slots=True)
class ConditionsLost:
    """It has just become a bad time, for example because the window has closed."""

    blocked: str
    retry_in_ms: int = 60_000
    draw: int = 0


@dataclass(frozen=True, slots=True)
class LeaseAnswered:
    """The server's answer to AskLease; signed by the director and for this box."""

    assignment_id: str
    attempt: int
    phase: LeasePhase
    granted: bool
    expires_ms: int = 0
    retry_after_s: int = 60
    reason: str = ""
    draw: int = 0


@dataclass(frozen=True, slots=True)
class SlotEmptied:
    """Nothing in this slot can boot, and it may be written."""

    slot: str


@dataclass(frozen=True, slots=True)
class Checkpointed:
    """So many bytes from the image's beginning are durable in the slot."""

    assignment_id: str
    attempt: int
    done_bytes: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """Every byte is durable in the slot, the first block last."""

    assignment_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """The fetcher has given up; *reason* is ``download``, ``wrong-size``, ``storage`` …."""

    assignment_id: str
    attempt: int
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ReadBackPassed:
    """Hash, size, hardware and version in the slot are those that were signed."""

    assignment_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class ReadBackFailed:
    """They are not; *reason* is ``wrong-digest``, ``wrong-content``, ``wrong-hardware`` …."""

    assignment_id: str
    attempt: int
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SlotArmed:
    """The boot control will try this slot next."""

    slot: str


@dataclass(frozen=True, slots=True)
class ServerContacted:
    """The server has acknowledged something said in this boot."""


@dataclass(frozen=True, slots=True)
class HealthPassed:
    """Every probe of the trial is content, the server's answer among them."""


@dataclass(frozen=True, slots=True)
class HealthFailed:
    """A probe of the trial has failed for good."""

    reason: Reason = Reason.HEALTH_CHECK
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SlotMarkedGood:
    """The boot control calls this slot successful."""

    slot: str


@dataclass(frozen=True, slots=True)
class ReportAcked:
    """The server has committed this report, or will never read it: stop sending it."""

    assignment_id: str
    attempt: int
    step: int
    draw: int = 0


@dataclass(frozen=True, slots=True)
class StorageFailed:
    """A command could not be carried out because the disk refused."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Tidied:
    """What the update left behind is cleared away."""

    draw: int = 0


@dataclass(frozen=True, slots=True)
class Woken:
    """The time asked for with WakeIn has passed."""

    draw: int = 0


Drawn = (
    Booted | AssignReceived | Authorised | AuthorityUnknown | ConditionsChecked
    | ConditionsLost | LeaseAnswered | ReportAcked | Tidied | Woken
)  # fmt: skip
"""Events that carry a draw."""
Event = (
    Drawn | AuthorityRefused | TrustChanged | DenyListed | SlotEmptied | Checkpointed
    | Fetched | FetchFailed | ReadBackPassed | ReadBackFailed | SlotArmed | ServerContacted
    | HealthPassed | HealthFailed | SlotMarkedGood | StorageFailed
)  # fmt: skip


# -- commands --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Authorise:
    """Say whether *assignment* may run here, by everything that is signed."""

    assignment: Assignment
    security_floor: int
    version: str


@dataclass(frozen=True, slots=True)
class CheckConditions:
    """Say whether now is a good time."""

    window: Window | None


@dataclass(frozen=True, slots=True)
class AskLease:
    """Ask the server whether to start, or to arm, now."""

    assignment_id: str
    attempt: int
    phase: LeasePhase


@dataclass(frozen=True, slots=True)
class MarkBad:
    """Make the boot control never start *slot*; touches no byte of the slot itself."""

    slot: str


@dataclass(frozen=True, slots=True)
class Empty:
    """Empty the first block of *slot*, which does not run."""

    slot: str


@dataclass(frozen=True, slots=True)
class Fetch:
    """Stream the image into *slot*, from *from_bytes* on; replaces a fetch under way."""

    assignment: Assignment
    slot: str
    from_bytes: int


@dataclass(frozen=True, slots=True)
class StopFetch:
    """Stop the fetch under way, if there is one; what is durable stays."""


@dataclass(frozen=True, slots=True)
class ReadBack:
    """Read *slot* from the disk and compare it with what was signed."""

    assignment: Assignment
    slot: str


@dataclass(frozen=True, slots=True)
class Arm:
    """Make the boot control try *slot* next, at most *tries* times."""

    slot: str
    tries: int


@dataclass(frozen=True, slots=True)
class Reboot:
    """Start the box anew."""


@dataclass(frozen=True, slots=True)
class StartTrial:
    """Begin to probe the health of the slot that runs."""

    assignment_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class MarkGood:
    """Make the boot control call *slot*, which runs, successful."""

    slot: str


@dataclass(frozen=True, slots=True)
class SendReport:
    """Put *report* into the outbox; one that is there already stays as it is."""

    report: ReportDraft


@dataclass(frozen=True, slots=True)
class Tidy:
    """Clear away what an update leaves behind."""


@dataclass(frozen=True, slots=True)
class WakeIn:
    """Feed Woken after this long by the steady clock; replaces an earlier one."""

    delay_ms: int


Command = (
    Authorise | CheckConditions | AskLease | MarkBad | Empty | Fetch | StopFetch | ReadBack | Arm
    | Reboot | StartTrial | MarkGood | SendReport | Tidy | WakeIn
)  # fmt: skip
