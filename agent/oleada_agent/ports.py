"""The ports of the agent: everything it needs of the world, as protocols.

The real ones are in ``disk``, ``slots``, ``boot.control``, ``download``, ``transport``,
``outbox``, ``trust`` and ``service``; the lab has its own. All are called from one
thread. A method that returns ``Event | None`` may answer at once or, with None, later
through ``Shell.feed``. A port that can not do what it is asked for lack of a working
disk raises ``StorageError``; each may be asked the same thing twice.
"""

from dataclasses import dataclass
from typing import Protocol

from oleada_wire.messages import Assignment, Window
from oleada_wire.words import LeasePhase

from oleada_agent.machine_events import Event
from oleada_agent.machine_states import ReportDraft


class Disk(Protocol):
    """Files by their path inside the box, for example ``data/journal.0``.

    Nothing is durable before ``fsync`` (its bytes) and ``fsync_dir`` (its name).
    Every method raises ``StorageError`` when the disk refuses.
    """

    def create(self, path: str) -> None:
        """Make *path* an empty file, whatever was there; parents are made too, durably."""
        ...

    def exists(self, path: str) -> bool:
        """Return whether there is a file at *path*."""
        ...

    def size_bytes(self, path: str) -> int:
        """Return how long the file is."""
        ...

    def read(self, path: str, offset: int = 0, size_bytes: int | None = None) -> bytes:
        """Return up to *size_bytes* from *offset*; to the end when it is None."""
        ...

    def pwrite(self, path: str, offset: int, data: bytes) -> None:
        """Write *data* at *offset*; beyond the end the file grows, zeros between."""
        ...

    def truncate(self, path: str, size_bytes: int) -> None:
        """Make the file *size_bytes* long."""
        ...

    def fsync(self, path: str) -> None:
        """Return when the file's bytes are durable."""
        ...

    def fsync_dir(self, path: str) -> None:
        """Return when the names in directory *path* are durable."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Give the file a new name, over any file there, at once or not at all."""
        ...

    def unlink(self, path: str) -> None:
        """Remove the file; one that is not there is removed already."""
        ...

    def list(self, path: str) -> list[str]:
        """Return the sorted names of the files in directory *path*; empty without it."""
        ...

    def free_bytes(self) -> int:
        """Return how much may still be written."""
        ...


class Slots(Protocol):
    """The two places for an image; never writes the one that runs."""

    def capacity_bytes(self, slot: str) -> int:
        """Return the largest image *slot* takes."""
        ...

    def begin(self, slot: str) -> None:
        """Empty the first block of *slot*, durably: nothing in it can boot."""
        ...

    def write(self, slot: str, offset: int, data: bytes) -> None:
        """Write a part of an image; parts come in order. The first block waits."""
        ...

    def checkpoint(self, slot: str) -> None:
        """Return when every part written so far is durable, the first block beside the slot."""
        ...

    def finish(self, slot: str, size_bytes: int) -> None:
        """Return when every part is durable, then the first block."""
        ...

    def read_back(self, slot: str, assignment: Assignment) -> Event | None:
        """Compare what the disk holds with what was signed."""
        ...

    def tidy(self) -> None:
        """Remove what a download leaves beside the slots."""
        ...


class BootControl(Protocol):
    """The durable record that decides which slot boots; each method is one atomic write."""

    def mark_bad(self, slot: str) -> None:
        """Never start *slot*."""
        ...

    def arm(self, slot: str, tries: int) -> None:
        """Start *slot* next, at most *tries* times until it is marked good."""
        ...

    def mark_good(self, slot: str) -> None:
        """Call *slot* successful."""
        ...

    def is_successful(self, slot: str) -> bool:
        """Return whether *slot* is called successful."""
        ...


class Fetcher(Protocol):
    """Streams an image into a slot; feeds Checkpointed, Fetched and FetchFailed.

    After at most 1 MiB or 1 s of data it calls ``Slots.checkpoint`` and *then* feeds
    ``Checkpointed``; after the last part ``Slots.finish`` and then ``Fetched``.
    """

    def fetch(self, assignment: Assignment, slot: str, from_bytes: int) -> None:
        """Fetch from *from_bytes* on, instead of whatever is being fetched."""
        ...

    def stop(self) -> None:
        """Fetch nothing."""
        ...


class Link(Protocol):
    """The way to the server."""

    def ask_lease(self, assignment_id: str, attempt: int, phase: LeasePhase) -> None:
        """Ask once; without a connection, on the next one or not at all."""
        ...


class Outbox(Protocol):
    """Messages on disk until the server acknowledges them."""

    def put_report(self, report: ReportDraft) -> None:
        """Return when *report* is durable; one of the same attempt and step is there already."""
        ...


class Verifier(Protocol):
    """Everything that is signed, and the facts of this box."""

    def authorise(self, assignment: Assignment, security_floor: int, version: str) -> Event | None:
        """Say whether *assignment* may run on a box that runs *version*."""
        ...


class Clock(Protocol):
    """Time, and being woken."""

    def now_ms(self) -> int:
        """Return UTC milliseconds; may jump."""
        ...

    def wake_in(self, delay_ms: int) -> None:
        """Feed Woken after *delay_ms* of a clock that does not jump; no earlier one is fed then."""
        ...


class Entropy(Protocol):
    """Chance."""

    def below(self, limit: int) -> int:
        """Return a number from 0 to *limit* - 1."""
        ...


class Probes(Protocol):
    """What the box feels: whether now is a good time, and whether a new slot is well."""

    def check_conditions(self, window: Window | None) -> Event | None:
        """Say whether now is a good time."""
        ...

    def start_trial(self, assignment_id: str, attempt: int) -> None:
        """Begin to probe; feeds ServerContacted, HealthPassed or HealthFailed."""
        ...


class System(Protocol):
    """The machine under the agent."""

    def reboot(self) -> None:
        """Start the box anew; may return, and the agent then hears no more."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """All ports of one box."""

    disk: Disk
    slots: Slots
    control: BootControl
    fetcher: Fetcher
    link: Link
    outbox: Outbox
    verifier: Verifier
    clock: Clock
    entropy: Entropy
    probes: Probes
    system: System
