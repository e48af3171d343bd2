"""Every message of the wire, its limits, and the only code that reads or writes one.

``encode`` and ``decode`` serve plain messages; ``seal`` and ``open_message`` those that
travel in signed envelopes (``SIGNED``). The golden bytes under ``tests/golden/wire``
are append-only: boxes in homes run old code.
"""

from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from oleada_wire import canonical, codec, envelope, packing
from oleada_wire.errors import MalformedMessageError, UnsupportedVersionError
from oleada_wire.ids import is_device_id, is_hardware_model
from oleada_wire.looks import Look, Samples
from oleada_wire.parts import Assignment, AuditHead, Cohort, FileInfo, Header, SlotInfo, Window
from oleada_wire.told import Crash, Gone, Log, Progress, Result
from oleada_wire.words import BootReason, LeasePhase, Phase, Reason

__all__ = [
    "BATCHED",
    "DETAIL_CHARS_MAX",
    "DIRECTOR_ROLE",
    "DOWN_BYTES_MAX",
    "KINDS",
    "SIGNED",
    "UP_BYTES_MAX",
    "WAVE_ROLE",
    "WIRE_VERSION",
    "Ack",
    "Assign",
    "Assignment",
    "AuditHead",
    "Cmd",
    "Cohort",
    "Crash",
    "Deny",
    "FileInfo",
    "Gone",
    "Header",
    "Health",
    "Hello",
    "Lease",
    "LeaseRequest",
    "Log",
    "Look",
    "Message",
    "Meta",
    "Progress",
    "Report",
    "Result",
    "Samples",
    "SlotInfo",
    "Wave",
    "Waves",
    "Window",
    "decode",
    "encode",
    "open_message",
    "seal",
]

WIRE_VERSION: Final = 1
UP_BYTES_MAX: Final = 64 * 1024
DOWN_BYTES_MAX: Final = envelope.ENVELOPE_BYTES_MAX
DETAIL_CHARS_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Hello:
    """Box to server, once a boot and after each reconnection: who I am, what I run.

    Attributes:
        audit_head: The envelope of the highest :class:`AuditHead` that the box was shown.
        reads: What it understands of the wire beyond what every agent does: ``batch``,
            ``actions``; None from an agent that is older than this field.
        denied: Actions that this box does for nobody, by its own settings.
    """

    header: Header
    hardware_model: str
    serial: str
    running_slot: str
    version: str
    security_version: int
    slots: tuple[SlotInfo, ...]
    agent_version: str
    zone: str
    boot_reason: BootReason
    assignment_seq: int
    security_floor: int
    mac: str | None = None
    provides: tuple[str, ...] = ()
    audit_head: str | None = None
    reads: tuple[str, ...] | None = None
    denied: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not is_hardware_model(self.hardware_model):
            raise ValueError("hardware_model is not the name of a model, such as VX-410")


@dataclass(frozen=True, slots=True)
class Health:
    """Box to server, every few minutes.

    Attributes:
        parameters: By TR-181 path, for example ``Device.DeviceInfo.UpTime`` (s).
        dropped: Telemetry messages dropped since boot for lack of space.
        audit_head: As in :class:`Hello`, when a higher one has come since.
    """

    header: Header
    version: str
    running_slot: str
    slots: tuple[SlotInfo, ...]
    parameters: dict[str, bool | int | str] = field(default_factory=dict)
    dropped: int = 0
    audit_head: str | None = None


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """Box to server: I could start (or arm) now; may I?

    Attributes:
        assignment_id: Empty to ask for nothing but the time, which the answer tells.
    """

    header: Header
    assignment_id: str
    attempt: int
    phase: LeasePhase


@dataclass(frozen=True, slots=True)
class Report:
    """Box to server: what has become of an assignment.

    Attributes:
        attempt: Echoed from the assignment; with *step* it tells duplicates.
        step: Rises with each report of an attempt; from 1.
        done_bytes: Of the image, durable in the slot.
        reason: Set when the phase is final and not ``updated``.
        detail: One sentence for people, at most 500 characters.
    """

    header: Header
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
class Assign:
    """Server to box, signed and retained: the assignment, or that there is none.

    Attributes:
        assignment_seq: Rises with each one issued to this box; an older is stale.
        is_forced: A person lets it disturb whoever watches; None, from every server that is
            older than this field too, is no.
    """

    header: Header
    device_id: str
    assignment_seq: int
    assignment: Assignment | None = None
    is_forced: bool | None = None

    def __post_init__(self) -> None:
        if not is_device_id(self.device_id):
            raise ValueError("device_id is not a device id")


@dataclass(frozen=True, slots=True)
class Lease:
    """Server to box, signed: you may, or may not, start or arm now.

    Attributes:
        expires_ms: Of a granted lease; UTC milliseconds.
        retry_after_s: When to ask again if not granted.
        reason: Why not, as a code: ``paused``, ``stopped``, ``full``, ``window``, ``denied``.
        request_id: Of the request that this answers, so that its time is known to be fresh;
            None from a server that is older than this field.
    """

    header: Header
    device_id: str
    assignment_id: str
    attempt: int
    phase: LeasePhase
    granted: bool
    expires_ms: int = 0
    retry_after_s: int = 60
    reason: str = ""
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Cmd:
    """Server to box, signed: do one thing of the allow-list, once, before it expires.

    Attributes:
        timeout_ms: After which an action is ended; None for its own.
    """

    header: Header
    device_id: str
    cmd_id: str
    cmd_seq: int
    verb: str
    expires_ms: int
    arguments: dict[str, bool | int | str] = field(default_factory=dict)
    timeout_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Ack:
    """Server to box, after the commit: these message ids may leave the outbox.

    Attributes:
        ids: Counted, or recognised as duplicates of what was counted.
        refused: Can not be read, now or later; sending them again is of no use.
        reads: What this server understands of the wire beyond what every one does, such as
            ``samples``; said when it has counted a ``hello``.
        pause_s: This box is beyond its quota of telemetry: what it sent and is not named
            was not kept, and may be sent again after so many seconds. Verdicts may be sent.
    """

    header: Header
    ids: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    pause_s: int | None = None
    reads: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Meta:
    """Server to model: the TUF metadata, each file as the text that was signed.

    Attributes:
        files: By plain name (``timestamp.json``, ``VX-410.json``) and, for the root
            chain, versioned name (``1.root.json``).
        audit_head: The envelope of an :class:`AuditHead`, the same for every box.
    """

    header: Header
    files: dict[str, str] = field(metadata={"chars_max": DOWN_BYTES_MAX})
    audit_head: str | None = None


@dataclass(frozen=True, slots=True)
class Waves:
    """Server to model: every wave that is open now, each an envelope of its own."""

    header: Header
    waves: tuple[str, ...] = field(metadata={"chars_max": DOWN_BYTES_MAX})


@dataclass(frozen=True, slots=True)
class Wave:
    """Signed: this release may go to this part of the model, in this time."""

    header: Header
    wave_id: int
    rollout_id: str
    hardware_model: str
    target_path: str
    sha256: str
    size_bytes: int
    security_version: int
    cohort: Cohort
    not_before_ms: int
    not_after_ms: int


@dataclass(frozen=True, slots=True)
class Deny:
    """Server to model, signed and retained: digests that must not be installed.

    Attributes:
        deny_version: Rises with each list; a lower one is stale.
    """

    header: Header
    hardware_model: str
    deny_version: int
    digests: tuple[str, ...] = ()


Message = (
    Hello | Health | Samples | LeaseRequest | Report | Result | Progress | Log | Crash | Gone
    | Assign | Lease | Cmd | Ack | Meta | Waves | Wave | Deny | AuditHead
)  # fmt: skip

KINDS: Final[dict[type, str]] = {
    Hello: "hello",
    Health: "health",
    Samples: "samples",
    LeaseRequest: "lease-request",
    Report: "report",
    Result: "result",
    Progress: "progress",
    Log: "log",
    Crash: "crash",
    Gone: "gone",
    Assign: "assign",
    Lease: "lease",
    Cmd: "cmd",
    Ack: "ack",
    Meta: "meta",
    Waves: "waves",
    Wave: "wave",
    Deny: "deny",
    AuditHead: "audit-head",
}
SIGNED: Final = frozenset({Assign, Lease, Cmd, Wave, Deny, AuditHead})
"""Messages that are only ever believed inside an envelope."""
BATCHED: Final = frozenset({Assign})
"""Of these, the kinds for which a signature over a batch counts; people sign none of them."""
PACKED: Final = frozenset({Samples})
"""Messages that may have been made small on their way."""

DIRECTOR_ROLE: Final = "director"
"""TUF delegation whose keys sign assign, lease, cmd, deny and audit-head (online)."""
WAVE_ROLE: Final = "wave-approvers"
"""TUF delegation whose keys sign waves."""

M = TypeVar("M", bound=Message)


def encode(message: Message) -> bytes:
    """Return the bytes of a plain *message*."""
    assert type(message) not in SIGNED, "seal it: this kind is never plain"  # noqa: S101
    return canonical.dumps(_payload(message))


def decode(shape: type[M], data: bytes, size_bytes_max: int = UP_BYTES_MAX) -> M:
    """Return the plain message of *shape* in *data*.

    Raises:
        WireError: *data* is too large, malformed or of another version.
    """
    assert shape not in SIGNED, "open it: this kind is never plain"  # noqa: S101
    if shape in PACKED:
        data = packing.unpack(KINDS[shape], data, size_bytes_max)
    return _message(shape, canonical.loads(data, KINDS[shape], size_bytes_max))


def seal(message: Message, signers: list[envelope.Signer]) -> bytes:
    """Return *message* in an envelope signed by each of *signers*."""
    return envelope.seal(KINDS[type(message)], _payload(message), signers)


def open_message(shape: type[M], data: bytes, role: envelope.RoleKeys) -> M:
    """Return the message of *shape* that *role* signs in envelope *data*.

    Raises:
        WireError: *data* is too large, malformed, of another version or not signed.
    """
    may_batch = shape in BATCHED
    return _message(shape, envelope.open_sealed(KINDS[shape], data, role, may_batch=may_batch))


def _payload(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = codec.to_json(message)
    return {"v": WIRE_VERSION, **found.pop("header"), **found}


def _message(shape: type[M], payload: dict[str, Any]) -> M:
    kind = KINDS[shape]
    version = payload.get("v")
    if version != WIRE_VERSION or isinstance(version, bool):
        if version is None:
            raise MalformedMessageError(f"{kind}.v: missing.")
        raise UnsupportedVersionError(kind, version)
    return codec.from_json(shape, {**payload, "header": payload}, kind)
