"""What messages are made of: header, slots, windows, cohorts, assignment, file, audit head."""

from dataclasses import dataclass

from oleada_wire.ids import BootId


@dataclass(frozen=True, slots=True)
class Header:
    """What every message begins with.

    Attributes:
        id: 32 lowercase hex digits, unique; acknowledgements name it.
        at_ms: When it was written, by the writer's clock; UTC milliseconds.
        boot: The writer's boot; with *seq* it orders and tells duplicates.
        seq: Rises by one with each message of a boot; from 1.
    """

    id: str
    at_ms: int
    boot: BootId
    seq: int


@dataclass(frozen=True, slots=True)
class SlotInfo:
    """One slot as the box sees it.

    Attributes:
        slot: ``A`` or ``B``.
        version: Read from inside the image; None when nothing bootable is there.
        status: TR-181 FirmwareImage.Status word.
    """

    slot: str
    status: str
    version: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """A daily window in the box's own zone.

    Attributes:
        start_min: Minutes after midnight, 0 to 1439; the window crosses midnight
            when it is greater than *end_min*.
        end_min: Minutes after midnight, 0 to 1439, not in the window.
    """

    start_min: int
    end_min: int

    def __post_init__(self) -> None:
        if not (0 <= self.start_min < 1440 and 0 <= self.end_min < 1440):
            raise ValueError("a window's minutes are 0 to 1439")
        if self.start_min == self.end_min:
            raise ValueError("a window that starts when it ends is never or always open")


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a box should run.

    Attributes:
        attempt: From 1; a retry is the same assignment with the next attempt.
        target_path: Of the TUF target, ``VX-410/5.8.2.img``.
        sha256: Of the whole image; 64 lowercase hex digits.
        size_bytes: Of the whole image; more than 0.
        expires_ms: At most 7 days after it was issued.
        spread_s: The box draws a delay of 0 to this before its first request.
        proof: Merkle proof when the wave is a list; empty for a share.
    """

    assignment_id: str
    attempt: int
    rollout_id: str
    wave_id: int
    target_path: str
    sha256: str
    size_bytes: int
    version: str
    security_version: int
    issued_ms: int
    expires_ms: int
    spread_s: int = 0
    window: Window | None = None
    proof: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file that an action has uploaded.

    Attributes:
        name: As in its address at the device door.
        sha256: Of the whole file; 64 lowercase hex digits.
        size_bytes: Of the whole file.
    """

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Cohort:
    """Which boxes a wave covers (cohort.py): a share, or a list.

    Attributes:
        salt: Of a share cohort.
        share_parts: Ten-thousandths below which a box's place is covered.
        merkle_root: Of a list cohort.
    """

    salt: str | None = None
    share_parts: int | None = None
    merkle_root: str | None = None

    def __post_init__(self) -> None:
        by_share = self.salt is not None and self.share_parts is not None
        if by_share == (self.merkle_root is not None):
            raise ValueError("a cohort is a salt and share_parts, or a merkle_root")


@dataclass(frozen=True, slots=True)
class AuditHead:
    """Signed: what the server's audit trail was at one moment, told to everybody alike.

    It rides along with the metadata. Boxes keep the highest and say it back, so that a
    server that shows one trail to its auditors and another one elsewhere is found.

    Attributes:
        size: Entries under it.
        root_sha256: Root of the tree over them (RFC 9162).
        entry_sha256: Hash of the last entry.
        epoch: When the server was last restored from a backup, milliseconds since 1970; 0
            for never. Sizes are compared within one epoch.
        signed_ms: When it was signed.
    """

    header: Header
    size: int
    root_sha256: str
    entry_sha256: str
    epoch: int
    signed_ms: int
