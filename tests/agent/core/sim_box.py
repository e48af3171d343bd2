"""A box in memory: real machine, shell, journal, slots and boot control; a simulated rest.

The server of this box grants every lease and counts each report once. Time is a number.
"""

from collections import deque
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random

from oleada_agent.boot import choice, control, image
from oleada_agent.boot.choice import Behaviour, Ended, Found, ReleaseFile
from oleada_agent.errors import ImageError, StorageError
from oleada_agent.journal import write_whole
from oleada_agent.machine_events import (
    Authorised,
    Booted,
    Checkpointed,
    ConditionsChecked,
    Event,
    Fetched,
    HealthFailed,
    HealthPassed,
    LeaseAnswered,
    ReportAcked,
    ServerContacted,
    Woken,
)
from oleada_agent.machine_states import Limits, ReportDraft
from oleada_agent.ports import Ports
from oleada_agent.shell import Shell
from oleada_agent.slots import FileSlots, slot_path
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import SimDisk
from oleada_wire import canonical, codec
from oleada_wire.messages import Assignment, Window
from oleada_wire.words import BootReason, LeasePhase

MODEL = "VX-410"
CHUNK_BYTES = 3_000
CHECKPOINT_CHUNKS = 2
STEPS_MAX = 2_000
LIMITS = Limits(tries=4, trial_limit_ms=60_000)


def an_image(version: str, size_bytes: int = 16_384, hardware_model: str = MODEL) -> bytes:
    """Return an image whose body is different for each version."""
    body = Random(version).randbytes(size_bytes - image.HEADER_BYTES)
    header = image.ImageHeader(size_bytes, sha256(body).hexdigest(), hardware_model, version)
    return header.to_bytes() + body


def an_assignment(data: bytes, version: str, attempt: int = 1) -> Assignment:
    """Return the assignment of the image *data*."""
    return Assignment(
        assignment_id="AS-1",
        attempt=attempt,
        rollout_id="R-1",
        wave_id=1,
        target_path=f"{MODEL}/{version}.img",
        sha256=sha256(data).hexdigest(),
        size_bytes=len(data),
        version=version,
        security_version=2,
        issued_ms=0,
        expires_ms=1 << 50,
        spread_s=30,
    )


@dataclass
class SimServer:
    """What the server knows; it outlives every power cut.

    Attributes:
        counted: Each report once.
        fetched_bytes: Of images, over the network.
    """

    images: dict[str, bytes] = field(default_factory=dict)
    counted: dict[tuple[str, int, int], ReportDraft] = field(default_factory=dict)
    fetched_bytes: int = 0

    def verdicts(self) -> list[ReportDraft]:
        """Return the reports that ended an attempt."""
        return [report for report in self.counted.values() if report.phase.is_final]


def a_box(
    server: SimServer, behaviour: Behaviour = Behaviour.GOOD, version: str = "1.1.0"
) -> "SimBox":
    """Return a box with 1.0.0 in slot A, for which *version* behaves like *behaviour*."""
    disk = SimDisk()
    for slot, data in (("A", an_image("1.0.0")), ("B", b"")):
        disk.create(slot_path(slot))
        disk.pwrite(slot_path(slot), 0, data)
        disk.fsync(slot_path(slot))
    for folder in ("slots", "data", "boot"):
        disk.fsync_dir(folder)
    control.FileBootControl(disk).store(control.factory("A"))
    disk.changes = 0
    return SimBox(disk, server, {version: behaviour})


class SimBox:
    """One box. ``power_on`` runs it until it has nothing to do, or the plug is pulled."""

    def __init__(self, disk: SimDisk, server: SimServer, behaviours: dict[str, Behaviour]) -> None:
        self.disk = disk
        self.server = server
        self.behaviours = behaviours
        self.clock_ms = 1_000
        self.boots = 0
        self.shell: Shell | None = None
        self.events: deque[Event] = deque()
        self._wake_at_ms: int | None = None
        self._fetch: tuple[Assignment, str, int] | None = None
        self._slots: FileSlots | None = None
        self._running = "A"
        self._random = Random(7)

    def replug(self, kept: Kept) -> None:
        """Pull the plug, keeping *kept* of what was not durable."""
        self.disk = self.disk.after_cut(kept)

    # -- power -------------------------------------------------------------------------

    def power_on(self, *first: Event) -> None:
        """Boot and run, over restarts, feeding *first* at once to a box that is up."""
        before = Ended.POWER
        for _ in range(20):
            if self._boot(before) and self._live(first):
                return
            before = Ended.WATCHDOG if self.shell is None else Ended.REBOOT
        raise AssertionError("the box restarts again and again")

    def look(self, slot: str) -> Found:
        """Return what *slot* holds, as the boot program's ``look_into`` does."""
        path = slot_path(slot)
        try:
            header = image.check(lambda offset, size: self.disk.read(path, offset, size))
        except StorageError as error:
            raise ImageError(str(error)) from error
        behaviour = self.behaviours.get(header.version, Behaviour.GOOD)
        return Found(ReleaseFile(header.version, MODEL, 1, behaviour), b"")

    def _boot(self, before: Ended) -> bool:
        """Return whether the agent has started."""
        for name in self.disk.list("run"):
            self.disk.unlink(f"run/{name}")
        store = control.FileBootControl(self.disk)
        found = choice.choose(self.look, store, before)
        self.boots += 1
        self.events.clear()
        self._wake_at_ms = self._fetch = self.shell = None
        self._running = found.slot
        self.disk.forbidden = slot_path(found.slot)
        if found.release.behaviour is Behaviour.HANG:
            return False
        self._slots = FileSlots(
            self.disk, running_slot=found.slot, hardware_model=MODEL, capacity_bytes=1 << 20
        )
        self.shell = Shell(self._ports(store, self._slots), LIMITS)
        self.shell.start(
            Booted(
                found.slot,
                found.release.version,
                f"{self.boots:08d}-{id(self.disk) & 0xFFFFFFFF:08x}",
                BootReason.FALLBACK if found.fell_back else BootReason.POWER_ON,
                found.was_successful,
                before is Ended.WATCHDOG,
                found.release.security_version,
            )
        )
        return True

    def _live(self, first: tuple[Event, ...]) -> bool:
        """Return True when there is nothing left to do, False for a restart."""
        assert self.shell is not None
        self.events.extend(first)
        for _ in range(STEPS_MAX):
            if self.shell.rebooting:
                return False
            if not self._next(self.shell):
                return True
        raise AssertionError(f"the box does not come to rest: {self.shell.state.stage}")

    def _next(self, shell: Shell) -> bool:
        if self.events:
            shell.feed(self.events.popleft())
        elif self._fetch is not None:
            self._fetch_some(*self._fetch)
        elif self.disk.list("data/outbox"):
            self._deliver(self.disk.list("data/outbox")[0])
        elif self._wake_at_ms is not None:
            self.clock_ms = max(self.clock_ms, self._wake_at_ms)
            self._wake_at_ms = None
            shell.feed(Woken())
        else:
            return False
        return True

    def _ports(self, store: control.FileBootControl, slots: FileSlots) -> Ports:
        return Ports(self.disk, slots, store, self, self, self, self, self, self, self, self)

    def _fetch_some(self, assignment: Assignment, slot: str, from_bytes: int) -> None:
        assert self._slots is not None
        data = self.server.images[assignment.sha256]
        end = min(len(data), from_bytes + CHUNK_BYTES * CHECKPOINT_CHUNKS)
        for at in range(from_bytes, end, CHUNK_BYTES):
            self._slots.write(slot, at, data[at : min(end, at + CHUNK_BYTES)])
        self.server.fetched_bytes += end - from_bytes
        name, attempt = assignment.assignment_id, assignment.attempt
        if end < len(data):
            self._slots.checkpoint(slot)
            self._fetch = (assignment, slot, end)
            self.events.append(Checkpointed(name, attempt, end))
        else:
            self._slots.finish(slot, len(data))
            self._fetch = None
            self.events.append(Fetched(name, attempt))

    def _deliver(self, name: str) -> None:
        """Bring one report to the server, and its acknowledgement back."""
        path = f"data/outbox/{name}"
        if not name.endswith(".tmp"):
            value = canonical.loads(self.disk.read(path), "report", 10_000)
            report = codec.from_json(ReportDraft, value, "report")
            key = (report.assignment_id, report.attempt, report.step)
            self.server.counted.setdefault(key, report)
            self.events.append(ReportAcked(*key))
        self.disk.unlink(path)

    # -- the ports that are simulated --------------------------------------------------

    def authorise(self, assignment: Assignment, security_floor: int, version: str) -> Event:
        """Everything is signed here."""
        assert security_floor <= assignment.security_version, version
        return Authorised(assignment.assignment_id, assignment.attempt)

    def check_conditions(self, window: Window | None) -> Event:
        """It is always a good time."""
        assert window is None
        return ConditionsChecked()

    def ask_lease(self, assignment_id: str, attempt: int, phase: LeasePhase) -> None:
        """The server grants everything."""
        expires_ms = self.clock_ms + 600_000
        self.events.append(LeaseAnswered(assignment_id, attempt, phase, True, expires_ms))

    def start_trial(self, assignment_id: str, attempt: int) -> None:
        """The server answers; the player gets ready, or does not."""
        self.events.append(ServerContacted())
        version = self.look(self._running).release.version
        healthy = self.behaviours.get(version, Behaviour.GOOD) is Behaviour.GOOD
        failed = HealthFailed(detail=f"{assignment_id} {attempt}: no picture")
        self.events.append(HealthPassed() if healthy else failed)

    def fetch(self, assignment: Assignment, slot: str, from_bytes: int) -> None:
        """Begin at *from_bytes*."""
        self._fetch = (assignment, slot, from_bytes)

    def stop(self) -> None:
        """Fetch nothing."""
        self._fetch = None

    def put_report(self, report: ReportDraft) -> None:
        """Keep *report* on the disk until the server has counted it."""
        name = f"data/outbox/{report.assignment_id}.{report.attempt}.{report.step:03d}"
        if not self.disk.exists(name):
            write_whole(self.disk, name, canonical.dumps(codec.to_json(report)))

    def now_ms(self) -> int:
        """Return the time."""
        return self.clock_ms

    def wake_in(self, delay_ms: int) -> None:
        """Wake later."""
        self._wake_at_ms = self.clock_ms + delay_ms

    def below(self, limit: int) -> int:
        """Return a number below *limit*."""
        return self._random.randrange(limit)

    def reboot(self) -> None:
        """The shell remembers that it was asked."""
