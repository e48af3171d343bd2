"""A simulated box: real machine, shell, journal, slots and boot control, and a plug.

What is simulated is the rest: flash in memory, a network with delays and duplicates, a
player that gets ready or not, a person who pulls the plug.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Final, Protocol

from oleada_agent.boot import choice, control, image
from oleada_agent.boot.choice import Behaviour, Ended, Found, ReleaseFile
from oleada_agent.errors import ImageError, StorageError
from oleada_agent.journal import write_whole
from oleada_agent.machine_events import (
    AssignReceived,
    Authorised,
    AuthorityUnknown,
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
from oleada_agent.machine_states import ReportDraft, Trial
from oleada_agent.ports import Ports
from oleada_agent.shell import Shell
from oleada_agent.slots import FileSlots, slot_path
from oleada_wire import canonical, codec
from oleada_wire.messages import Assignment, Window
from oleada_wire.words import BootReason, LeasePhase, Phase

from oleada_lab.sim.disk import PowerCutError, SimDisk
from oleada_lab.sim.images import Image, Kit
from oleada_lab.sim.world import START, World

SLOT_BYTES: Final = 1 << 20
SECURITY_VERSION: Final = 1
OUTBOX: Final = "data/outbox"
REPORT_BYTES_MAX: Final = 10_000
WATCHDOG_MS: Final = 60_000
DUPLICATE_SHARE: Final = 0.05
"""Messages that arrive twice: MQTT delivers at least once."""
START_MS: Final = int(START.timestamp() * 1000)


class Server(Protocol):
    """What a box knows of the server."""

    def covers(self, device_id: str, wave_id: int) -> bool:
        """Return whether a signed wave covers the box."""
        ...

    def hello(self, device_id: str) -> None:
        """A box is there."""
        ...

    def ask_lease(
        self, device_id: str, assignment_id: str, attempt: int, phase: LeasePhase
    ) -> None:
        """A box asks whether it may go on."""
        ...

    def report(self, device_id: str, report: ReportDraft) -> None:
        """A box says what has become of its assignment."""
        ...


class SimBox:
    """One box in the *world*; the rest of its life is events.

    *behaviours* says by version how an image behaves on this very box.

    Attributes:
        has_power: Whether it is plugged in.
        on_phase: Called with each phase the box reports, and when a trial goes on after a start,
            for faults that wait for one.
    """

    def __init__(
        self,
        world: World,
        server: Server,
        device_id: str,
        kit: Kit,
        behaviours: dict[str, Behaviour],
    ) -> None:
        self.device_id = device_id
        self.has_power = False
        self.on_phase: Callable[[str], None] = lambda phase: None
        self.disk = SimDisk()
        self._world, self._server = world, server
        self._model = kit.hardware_model
        self._images, self._behaviours = kit.images, behaviours
        self._back_in_ms = 0
        self._life = 0
        self._boots = 0
        self._timer = 0
        self._fetching = 0
        self._shell: Shell | None = None
        self._slots: FileSlots | None = None
        self._running: Found | None = None
        self._net = world.stream("network", device_id)
        self._pace = world.stream("pace", device_id)
        self._dice = world.stream("machine", device_id)
        self._verified: dict[bytes, Found] = {}
        self._install(kit.factory)

    # -- power -------------------------------------------------------------------------

    def plug_in(self) -> None:
        """Give the box power; it boots."""
        if not self.has_power:
            self.has_power = True
            self._start(Ended.POWER)

    def pull_the_plug(self) -> None:
        """Take the box its power, whatever it is doing."""
        if self.has_power:
            self._world.note(self.device_id, "loses power")
            self.has_power = False
            self._life += 1
            self._shell = None
            self.disk.lose_power()

    def cut_after_writes(self, writes: int, back_in_ms: int) -> None:
        """Pull the plug after so many flash writes more, and plug it in again later."""
        self.disk.cut_after = writes
        self._back_in_ms = back_in_ms

    # -- what the server sends ---------------------------------------------------------

    def receive(self, event: Event) -> None:
        """Let *event* arrive from the server after a delay, if the box is up by then."""
        if isinstance(event, AssignReceived | LeaseAnswered):
            self._arrive(event)
        self._arrive(event)

    def running_version(self) -> str | None:
        """Return the version that would run if the box had power; None: it is a brick."""
        store = control.FileBootControl(self.disk)
        said = store.load()
        order = said.in_order() if said is not None else list(control.SLOTS)
        for slot in order:
            try:
                return self._look(slot).release.version
            except ImageError:
                continue
        return None

    def is_untouched(self) -> bool:
        """Return whether the spare slot is as it left the factory: empty."""
        return self.disk.size_bytes(slot_path("B")) == 0

    # -- booting -----------------------------------------------------------------------

    def _install(self, factory: Image) -> None:
        for slot, data in (("A", factory.data), ("B", b"")):
            self.disk.create(slot_path(slot))
            self.disk.pwrite(slot_path(slot), 0, data)
            self.disk.fsync(slot_path(slot))
        self.disk.fsync_dir("slots")
        control.FileBootControl(self.disk).store(control.factory("A"))

    def _start(self, before: Ended) -> None:
        self._life += 1
        self._shell = None
        self._later(self._pace.between(20_000, 60_000), lambda: self._boot(before))

    def _boot(self, before: Ended) -> None:
        for name in self.disk.list("run"):
            self.disk.unlink(f"run/{name}")
        store = control.FileBootControl(self.disk)
        self.disk.forbidden = ""
        found = choice.choose(self._look, store, before)
        self._boots += 1
        self._timer = self._fetching = 0
        self._running = Found(found.release, found.agent)
        self._world.note(self.device_id, f"boots {found.slot} {found.release.version}")
        self.disk.forbidden = slot_path(found.slot)
        if found.release.behaviour in (Behaviour.HANG, Behaviour.CRASH):
            self._later(WATCHDOG_MS, lambda: self._start(Ended.WATCHDOG))
            return
        self._slots = FileSlots(
            self.disk,
            running_slot=found.slot,
            hardware_model=self._model,
            capacity_bytes=SLOT_BYTES,
        )
        self._shell = Shell(
            Ports(self.disk, self._slots, store, self, self, self, self, self, self, self, self)
        )
        self._shell.start(
            Booted(
                found.slot,
                found.release.version,
                f"{self._boots:08d}-{self._dice.bits() >> 32:08x}",
                BootReason.FALLBACK if found.fell_back else BootReason.POWER_ON,
                found.was_successful,
                before is Ended.WATCHDOG,
                found.release.security_version,
            )
        )
        if isinstance(self._shell.state.stage, Trial):
            self._later(0, lambda: self.on_phase(Phase.CHECKING))
        if found.release.behaviour is not Behaviour.NO_NETWORK:
            self._later(self._delay_ms(), self._connect)

    def _look(self, slot: str) -> Found:
        """Return what *slot* holds; every byte is checked once for each content."""
        try:
            data = self.disk.read(slot_path(slot))
        except StorageError as error:
            raise ImageError(str(error)) from error
        key = sha256(data).digest()
        if key not in self._verified:
            header = image.check(lambda offset, size: data[offset : offset + size])
            behaviour = self._behaviours.get(header.version, Behaviour.GOOD)
            release = ReleaseFile(header.version, self._model, SECURITY_VERSION, behaviour)
            self._verified[key] = Found(release, b"")
        return self._verified[key]

    # -- the network -------------------------------------------------------------------

    def _connect(self) -> None:
        self._server.hello(self.device_id)
        for name in self.disk.list(OUTBOX):
            self._deliver(name)

    def _deliver(self, name: str) -> None:
        """Bring one report from the outbox to the server, sometimes twice."""
        if name.endswith(".tmp"):
            return
        value = canonical.loads(self.disk.read(f"{OUTBOX}/{name}"), "report", REPORT_BYTES_MAX)
        report = codec.from_json(ReportDraft, value, "report")
        for _ in range(1 + (self._net.share() < DUPLICATE_SHARE)):
            self._later(self._delay_ms(), lambda: self._server.report(self.device_id, report))

    def _arrive(self, event: Event) -> None:
        self._later(self._delay_ms(), lambda: self._take(event))

    def _take(self, event: Event) -> None:
        if isinstance(event, ReportAcked):
            self.disk.unlink(
                f"{OUTBOX}/{_outbox_name(event.assignment_id, event.attempt, event.step)}"
            )
            self.disk.fsync_dir(OUTBOX)
        self._feed(event)

    def _is_online(self) -> bool:
        found = self._running
        return found is not None and found.release.behaviour is not Behaviour.NO_NETWORK

    def _delay_ms(self) -> int:
        return self._net.between(50, 2_000)

    # -- time --------------------------------------------------------------------------

    def _later(self, delay_ms: int, act: Callable[[], None]) -> None:
        """Let *act* happen in *delay_ms*, unless the box restarts or loses power before."""
        life = self._life

        def happen() -> None:
            if self.has_power and life == self._life:
                self._survive(act)

        self._world.after(delay_ms, happen)

    def _survive(self, act: Callable[[], None]) -> None:
        try:
            act()
        except PowerCutError:
            self._world.note(self.device_id, "loses power in a write")
            self.pull_the_plug()
            self._world.after(self._back_in_ms, self.plug_in)
            return
        if self._shell is not None and self._shell.rebooting:
            self._start(Ended.REBOOT)

    def _feed(self, event: Event) -> None:
        if self._shell is not None and not self._shell.rebooting:
            self._shell.feed(event)

    # -- the ports that are simulated --------------------------------------------------

    def authorise(
        self,
        assignment: Assignment,
        security_floor: int,
        version: str,
    ) -> Event | None:
        """Say whether a wave covers this box; all signatures are good here."""
        name, attempt = assignment.assignment_id, assignment.attempt
        if self._server.covers(self.device_id, assignment.wave_id):
            return Authorised(name, attempt)
        return AuthorityUnknown(name, attempt)

    def check_conditions(self, window: Window | None) -> Event | None:
        """It is always a good time; the server minds the window."""
        return ConditionsChecked()

    def ask_lease(self, assignment_id: str, attempt: int, phase: LeasePhase) -> None:
        """Ask, if there is a network."""
        if self._is_online():
            ask = self._server.ask_lease
            self._later(
                self._delay_ms(), lambda: ask(self.device_id, assignment_id, attempt, phase)
            )

    def start_trial(self, assignment_id: str, attempt: int) -> None:
        """The server answers, the player gets ready: or not, as the image behaves."""
        del assignment_id, attempt
        if self._running is None or not self._is_online():
            return
        self._later(self._delay_ms(), lambda: self._feed(ServerContacted()))
        if self._running.release.behaviour is Behaviour.UNHEALTHY:
            failed = HealthFailed(detail="the media player never got ready")
            self._later(self._pace.between(90_000, 180_000), lambda: self._feed(failed))
        else:
            self._later(self._pace.between(30_000, 90_000), lambda: self._feed(HealthPassed()))

    def fetch(self, assignment: Assignment, slot: str, from_bytes: int) -> None:
        """Begin at *from_bytes*, instead of whatever is being fetched."""
        self._fetching += 1
        self._fetch_next(self._fetching, assignment, slot, from_bytes)

    def stop(self) -> None:
        """Fetch nothing."""
        self._fetching += 1

    def put_report(self, report: ReportDraft) -> None:
        """Keep *report* on the disk until the server has counted it."""
        name = _outbox_name(report.assignment_id, report.attempt, report.step)
        self._world.note(self.device_id, f"says {report.phase} {report.reason or ''}")
        if not self.disk.exists(f"{OUTBOX}/{name}"):
            write_whole(self.disk, f"{OUTBOX}/{name}", canonical.dumps(codec.to_json(report)))
        if self._is_online():
            self._deliver(name)
        phase = str(report.phase)
        self._later(0, lambda: self.on_phase(phase))

    def now_ms(self) -> int:
        """Return UTC milliseconds."""
        return START_MS + self._world.now_ms

    def wake_in(self, delay_ms: int) -> None:
        """Wake once, in *delay_ms*; an earlier wish is forgotten."""
        self._timer += 1
        timer = self._timer

        def wake() -> None:
            if timer == self._timer:
                self._feed(Woken())

        self._later(delay_ms, wake)

    def below(self, limit: int) -> int:
        """Return a number below *limit*."""
        return self._dice.below(limit)

    def reboot(self) -> None:
        """The shell remembers that it was asked; the start follows its last command."""

    def _fetch_next(self, number: int, assignment: Assignment, slot: str, at: int) -> None:
        """Write the next eighth of the image after the time it takes to come."""

        def come() -> None:
            if number != self._fetching or self._slots is None:
                return
            data = self._images[assignment.sha256].data
            end = min(len(data), at + max(1, len(data) // 8))
            self._slots.write(slot, at, data[at:end])
            name, attempt = assignment.assignment_id, assignment.attempt
            if end == len(data):
                self._slots.finish(slot, end)
                self._feed(Fetched(name, attempt))
                return
            self._slots.checkpoint(slot)
            self._fetch_next(number, assignment, slot, end)
            self._feed(Checkpointed(name, attempt, end))

        self._later(self._pace.between(2_000, 30_000), come)


def _outbox_name(assignment_id: str, attempt: int, step: int) -> str:
    return f"{assignment_id}.{attempt}.{step:04d}"
