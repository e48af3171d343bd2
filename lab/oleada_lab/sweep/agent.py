"""The agent's process over the simulated disk: the real cores, put together as the service does.

Real are machine, shell, journal, slots, boot control, outbox, metadata and floors, the
reading of every message, commands, and the checkpoints of a download. What stands in is
the network (immediate), the media player, and the clock.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress

from oleada_agent import alive, booted, enrol, identity
from oleada_agent.boot.choice import Behaviour
from oleada_agent.boot.control import FileBootControl
from oleada_agent.boot.system import AGENT
from oleada_agent.commands import Commands
from oleada_agent.download import Downloader, Ended, Part
from oleada_agent.errors import AgentError, StorageError
from oleada_agent.inbound import Inbound
from oleada_agent.journal import has_room
from oleada_agent.machine_events import (
    ConditionsChecked,
    DenyListed,
    Event,
    HealthFailed,
    HealthPassed,
    ServerContacted,
    Woken,
)
from oleada_agent.machine_states import ReportDraft, other_slot
from oleada_agent.outbox import DiskOutbox, Stamp
from oleada_agent.ports import Ports
from oleada_agent.questions import Questions
from oleada_agent.refusals import ToldDisk
from oleada_agent.service import ROOM_AGAIN_MS
from oleada_agent.shell import Shell
from oleada_agent.slots import FileSlots
from oleada_agent.timers import Timers
from oleada_agent.trust.authority import Authority, Box
from oleada_agent.trust.errors import TrustError
from oleada_agent.voice import Voice
from oleada_wire import messages
from oleada_wire.messages import Assignment, Header, Health, Result, Window
from oleada_wire.topics import Up

from oleada_lab.sweep import kept
from oleada_lab.sweep.desk import Mail, Truth
from oleada_lab.sweep.kit import CONFIG, SLOT_BYTES, agent_of
from oleada_lab.sweep.world import Promises, World


class Agent:
    """One process of the agent, from its start to its end.

    Raises:
        StorageError: the disk refuses what no agent can go without.
    """

    def __init__(self, world: World, behaviour: Behaviour) -> None:
        self._world = world
        self._behaviour = behaviour
        self._disk = disk = ToldDisk(world.disk, self.clock_ms)
        self._mail: deque[Mail] = deque()
        self._fetch: tuple[int, Assignment, int] | None = None
        self._parts: deque[Part] = deque()
        self._wake_at_ms: int | None = None
        self._room_at_ms: int | None = None
        self._is_on_trial = self._has_contact = self._is_connected = False
        self._facts = booted.read(disk)
        found = identity.mend(disk)
        self._check_program()
        self._stamp = Stamp(disk, self._facts.boot, self.clock_ms, lambda: world.hex_id(32))
        self._outbox = DiskOutbox(disk, self._stamp, self.clock_ms)
        self._slots = FileSlots(
            disk,
            running_slot=self._facts.slot,
            hardware_model=found.hardware_model,
            capacity_bytes=max(SLOT_BYTES, world.kit.image_bytes_max),
        )
        self._authority = Authority(
            Box(found.device_id, found.hardware_model),
            disk,
            enrol.TRUST,
            now_ms=self.clock_ms,
            steady_ms=self.clock_ms,
            capacity_bytes=lambda: self._slots.room_bytes(other_slot(self._facts.slot)),
        )
        self._questions = Questions(
            self._stamp.header,
            lambda asked: self._send(Up.LEASE, messages.encode(asked)),
            self._authority.time,
            steady_ms=self.clock_ms,
            below=self.below,
        )
        self._authority.ask_time = self._questions.ask_time
        self._voice = Voice(
            config=CONFIG,
            identity=found,
            facts=self._facts,
            disk=disk,
            slots=self._slots,
            outbox=self._outbox,
            witness=self._authority.witness,
        )
        self._inbound = Inbound(
            self._authority,
            self._outbox,
            self,
            Commands(disk, {"ping": self._ping}, self._put_result),
            self._feed,
            now_ms=self.now_ms,
            steady_ms=self.clock_ms,
            below=self.below,
        )
        self._downloader = self._make_downloader(found.artifacts_url)
        self.shell = Shell(self._ports())

    def _make_downloader(self, artifacts_url: str) -> Downloader:
        return Downloader(
            artifacts_url,
            None,
            self._slots,
            post=self._write,
            feed=self._feed,
            steady_ms=self.clock_ms,
            below=self.below,
            begin=self._begin_fetch,
        )

    def _ports(self) -> Ports:
        return Ports(
            disk=self._disk,
            slots=self._slots,
            control=FileBootControl(self._disk),
            fetcher=self._downloader,
            link=self._questions,
            outbox=self,
            verifier=self._authority,
            clock=self,
            entropy=self,
            probes=self,
            system=self,
        )

    # -- life --------------------------------------------------------------------------

    def run(self, is_over: Callable[[], bool]) -> bool:
        """Live until the box restarts, and return True; False when there is nothing left to do.

        Args:
            is_over: Asked before each step; true when it took too long.

        Raises:
            AgentError: it begins anew: the disk takes something again.
            StorageError: on trial the disk refuses the state.
        """
        try:
            self._begin()
            while not self.shell.rebooting:
                if is_over() or not self._turn():
                    return False
        except AgentError:
            self._last_words()
            raise
        self._last_words()
        return True

    def _last_words(self) -> None:
        """Send what is due, as the service does at its end; answers come too late."""
        self._voice.tell(self._disk.news())
        if self._is_connected:
            for kind, data in self._outbox.due():
                self._send(kind, data)

    def _begin(self) -> None:
        with suppress(TrustError):
            self._authority.load()
        with suppress(StorageError):
            self._voice.tell_of_last_boot()
        try:
            self.shell.start(booted.event(self._facts))
        except StorageError as error:
            self._stand_still(error)
        for path in self.shell.broken:
            self._outbox.put_log([f"journal {path} could not be read and was set aside"])
        if self._authority.denied:
            self._feed(DenyListed(self._authority.denied))
        self._keep_promises()
        alive.show(self._disk, Timers())
        self._outbox.put_health(self._health)
        if self._behaviour is not Behaviour.NO_NETWORK:
            self._connect()

    def _connect(self) -> None:
        self._is_connected = True
        self._outbox.forget_sent()
        self._questions.connected()
        header = self._stamp.header()
        self._inbound.hello_id = header.id
        self._mail.extend(self._world.desk.retained())
        self._send(Up.HELLO, messages.encode(self._voice.hello(header, self.shell.state)))

    def _turn(self) -> bool:
        """Do the next thing; return whether there was one."""
        self._voice.tell(self._disk.news())
        self._world.pass_to(self._world.now_ms)
        if self._mail:
            self._inbound.take(*self._mail.popleft())
            self._note_promises()
        elif self._is_on_trial and self._has_contact:
            self._is_on_trial = False
            self._probe()
        elif self._fetch is not None:
            self._fetch_part(*self._fetch)
        elif due := self._outbox.due():
            for kind, data in due:
                self._send(kind, data)
        else:
            return self._wait()
        return True

    def _wait(self) -> bool:
        """Let the time come for which the box waits; return whether it waits for anything."""
        now_ms = self._world.now_ms
        waits = {
            self._wake: self._wake_at_ms,
            self._look_for_room: self._room_at_ms,
            self._inbound.store_again: _later(now_ms, self._inbound.next_due_ms()),
            self._questions.ask_again: _later(now_ms, self._questions.next_due_ms()),
            self._nothing: self._world.heals_ms,
        }
        due = {act: at_ms for act, at_ms in waits.items() if at_ms is not None}
        if not due:
            return False
        act = min(due, key=lambda one: due[one])
        self._world.pass_to(due[act])
        act()
        return True

    def _wake(self) -> None:
        self._wake_at_ms = None
        self._feed(Woken())

    def _nothing(self) -> None:
        """The disk has healed; nobody tells the box."""

    def _feed(self, event: Event) -> None:
        if self.shell.rebooting or self._room_at_ms is not None:
            return
        try:
            self.shell.feed(event)
        except StorageError as error:
            self._stand_still(error)

    def _stand_still(self, error: StorageError) -> None:
        """Decide nothing while nothing can be stored, as the service does."""
        if not (self._facts.successful or self.shell.state.running.successful):
            raise error
        self._fetch = None
        self._downloader.stop()
        self._outbox.put_log([f"the state can not be stored, so no update goes on: {error}"])
        self._room_at_ms = self._world.now_ms + ROOM_AGAIN_MS

    def _look_for_room(self) -> None:
        if has_room(self._disk):
            raise AgentError("The disk takes something again; the agent begins anew.")
        self._room_at_ms = self._world.now_ms + ROOM_AGAIN_MS

    # -- the network -------------------------------------------------------------------

    def _send(self, kind: Up, data: bytes) -> None:
        if self._behaviour is not Behaviour.NO_NETWORK:
            self._mail.extend(self._world.desk.hear(kind, data, self._truth()))

    def _truth(self) -> Truth:
        said = FileBootControl(self._world.disk).load()
        slot = self._facts.slot
        return Truth(slot, self._facts.version, said is not None and said.of(slot).successful)

    def _begin_fetch(self, number: int, assignment: Assignment, from_bytes: int) -> None:
        world = self._world
        self._fetch = (number, assignment, from_bytes)
        self._parts.clear()
        world.again_bytes = (*world.again_bytes, max(0, world.fetched_to - from_bytes))

    def _fetch_part(self, number: int, assignment: Assignment, at: int) -> None:
        """Let parts come until enough are ahead, and write the first; or end."""
        world = self._world
        data = world.kit.image_of(assignment.sha256)
        while at < len(data) and len(self._parts) < world.line.parts_ahead:
            part = data[at : at + world.line.part_bytes]
            self._parts.append(Part(number, at, part))
            at += len(part)
            world.now_ms += world.line.part_ms
            world.fetched_bytes += len(part)
            world.fetched_to = max(world.fetched_to, at)
        self._fetch = (number, assignment, at) if self._parts else None
        self._write(self._parts.popleft() if self._parts else Ended(number, None))

    def _write(self, message: Part | Ended) -> None:
        self._downloader.handle(message)

    # -- promises ----------------------------------------------------------------------

    def _note_promises(self) -> None:
        """Write down what the box goes by; it must know that after the next start, too."""
        now = self._promises()
        if not self._world.disk.misdeeds:
            now = now._replace(denied=max(now.denied, len(self._authority.denied)))
        self._world.promises = self._world.promises.raised(now)

    def _keep_promises(self) -> None:
        """Write down what was promised before the start and is not so now."""
        broken = self._world.promises.broken_by(self._promises())
        self._world.lies = (*self._world.lies, *broken)

    def _promises(self) -> Promises:
        return kept.promises(self._world.disk, self.shell.state, self._authority.floor)

    def _check_program(self) -> None:
        """Fail when the agent that runs is not the one that the image carries."""
        image = self._world.kit.images[self._facts.version]
        if self._world.disk.read(AGENT) != agent_of(image):
            raise StorageError(f"the agent of {image.version} was to run, and is another")

    # -- the ports that stand in -------------------------------------------------------

    def server_answered(self) -> None:
        """The server has heard this boot."""
        self._has_contact = True
        self._questions.heard(self.shell.state)

    def heed_force(self, assignment_seq: int, *, is_forced: bool) -> None:
        """Nobody watches here."""
        del assignment_seq, is_forced

    def check_conditions(self, window: Window | None) -> Event | None:
        """It is always a good time."""
        del window
        return ConditionsChecked()

    def start_trial(self, assignment_id: str, attempt: int) -> None:
        """Begin to probe; what is found depends on the image."""
        del assignment_id, attempt
        self._is_on_trial = True

    def put_report(self, report: ReportDraft) -> None:
        """Keep *report*, after a look at whether it is true; it may be sent from another slot."""
        truth = self._truth()
        if (report.running_slot, report.version) != (truth.slot, truth.version):
            lie = f"report {report.phase} says {report.running_slot} {report.version}; not so"
            self._world.lies = (*self._world.lies, lie)
        self._outbox.put_report(report)
        self._world.put |= {(report.attempt, report.step)}

    def _put_result(self, make: Callable[[Header], Result]) -> None:
        self._outbox.put_result(make)
        self._world.has_answered = True

    def now_ms(self) -> int:
        """Return UTC milliseconds, as far as the box can know them."""
        return self._authority.time.now_ms()

    def clock_ms(self) -> int:
        """Return what the box's clock says, in UTC milliseconds; it never jumps while it runs."""
        return self._world.now_ms

    def wake_in(self, delay_ms: int) -> None:
        """Wake later, and no earlier."""
        self._wake_at_ms = self._world.now_ms + delay_ms

    def below(self, limit: int) -> int:
        """Return a number below *limit*."""
        return self._world.dice.randrange(limit)

    def reboot(self) -> None:
        """The shell remembers that it was asked."""

    def _probe(self) -> None:
        self._feed(ServerContacted())
        is_bad = self._behaviour is Behaviour.UNHEALTHY
        failed = HealthFailed(detail="the media player never got ready")
        self._feed(failed if is_bad else HealthPassed())

    def _ping(self) -> str:
        self._world.pings += 1
        return "pong"

    def _health(self, header: Header) -> Health:
        return Health(header, self._facts.version, self._facts.slot, (), {"Uptime": 1})


def _later(now_ms: int, delay_ms: int | None) -> int | None:
    return None if delay_ms is None else now_ms + delay_ms
