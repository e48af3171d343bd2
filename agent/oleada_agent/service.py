"""The agent's main loop: one thread, one queue, and the ports of the real box.

The network threads (MQTT, download) only put messages into the queue. This thread takes
them out, looks at its timers, and drives the shell; so everything that decides happens
in one order that the journal can follow.
"""

import signal
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, Final

from oleada_wire import messages
from oleada_wire.messages import Gone, LeaseRequest
from oleada_wire.topics import Up

from oleada_agent import alive, booted, boots, clock, deeds, health, identity, pulse, renewal
from oleada_agent import config as config_of
from oleada_agent.boot.control import FileBootControl
from oleada_agent.commands import Commands
from oleada_agent.config import Config
from oleada_agent.dates import Dates
from oleada_agent.deeds import Deeds
from oleada_agent.disk import RealDisk
from oleada_agent.download import Downloader, Ended, Part
from oleada_agent.errors import AgentError, StorageError
from oleada_agent.http_range import Patience
from oleada_agent.inbound import Inbound
from oleada_agent.journal import has_room
from oleada_agent.machine_events import DenyListed, Event, Woken
from oleada_agent.machine_states import Idle, Limits, State, other_slot
from oleada_agent.outbox import DiskOutbox
from oleada_agent.ports import Ports
from oleada_agent.pulse import Pulse
from oleada_agent.questions import Questions
from oleada_agent.reconnect import first_spread_ms, hello_pause_ms
from oleada_agent.refusals import ToldDisk
from oleada_agent.renewal import Renewal
from oleada_agent.said import Said, Stop
from oleada_agent.saying import say
from oleada_agent.senses.gathering import Gathered, Senses
from oleada_agent.senses.machine import kernel_faults
from oleada_agent.shell import Shell
from oleada_agent.slots import FileSlots
from oleada_agent.stamp import Stamp
from oleada_agent.timers import Timers
from oleada_agent.transport import Address, Connected, Disconnected, Received, Transport
from oleada_agent.trust.authority import Authority, Box
from oleada_agent.trust.errors import TrustError
from oleada_agent.trust.store import TRUST
from oleada_agent.voice import Voice

REBOOT_CODE: Final = 75
"""Exit code that asks the boot program for a restart."""
ROOM_AGAIN_MS: Final = 60_000

Message = Connected | Disconnected | Received | Part | Ended | Said | Gathered | Stop


class Service:
    """One agent on one box; ``run`` is its life.

    Args:
        box: The directory that stands for the box.
    """

    def __init__(self, box: Path, config: Config) -> None:
        self._box = box
        self._config = config
        self._disk = ToldDisk(RealDisk(box), clock.steady_ms)
        self._identity = identity.mend(self._disk)
        self._facts = booted.read(self._disk)
        self._queue: SimpleQueue[Message] = SimpleQueue()
        self._timers = Timers()
        self._hellos, self._said, self._stands_still = 0, "", False
        self._stamp = Stamp(self._disk, self._facts.boot, clock.now_ms, lambda: clock.hex_id(32))
        self._outbox = DiskOutbox(self._disk, self._stamp, clock.steady_ms)
        self._slots = FileSlots(
            self._disk,
            running_slot=self._facts.slot,
            hardware_model=self._identity.hardware_model,
            capacity_bytes=config.slot_bytes,
        )
        self._authority = Authority(
            Box(self._identity.device_id, self._identity.hardware_model, self._facts.able(config)),
            self._disk,
            TRUST,
            now_ms=clock.now_ms,
            steady_ms=clock.steady_ms,
            capacity_bytes=lambda: self._slots.room_bytes(other_slot(self._facts.slot)),
        )
        self._questions = Questions(
            self._stamp.header,
            self._send_question,
            self._authority.time,
            steady_ms=clock.steady_ms,
            below=clock.below,
        )
        self._authority.ask_time = self._questions.ask_time
        self._authority.is_listening = False
        self._voice = Voice(
            config=config, identity=self._identity, facts=self._facts, disk=self._disk,
            slots=self._slots, outbox=self._outbox, witness=self._authority.witness,
        )  # fmt: skip
        self._probes = health.BoxProbes(
            box, config, self._identity.zone, now=self._authority.now, steady_ms=clock.steady_ms,
            feed=self._feed,
        )  # fmt: skip
        self._inbound = self._make_inbound()
        context = identity.tls_context(box)
        self._dates = Dates(context, self._authority, clock.now_ms)
        self._dates.judge()
        self._downloader = self._make_downloader(context)
        self._ears: dict[type, Callable[[Any], None]] = {
            Said: self._deeds.take,
            Gathered: self._pulse.take,
            Part: self._downloader.handle,
            Ended: self._downloader.handle,
        }
        self._transport = self._make_transport(context)
        self._renewal = self._make_renewal()
        self._shell = Shell(self._ports(), Limits(trial_limit_ms=config.trial_s * 1000))

    def _make_inbound(self) -> Inbound:
        known = boots.remember(self._disk, self._facts, kernel_faults(), clock.now_ms())
        senses = Senses(self._box, self._facts, self._queue.put, known=known)
        self._pulse = Pulse(
            self._voice, self._authority, self._timers, self._config, senses, state=self._state,
            refused=lambda: self._inbound.refused_commands,
        )  # fmt: skip
        verbs = {"ping": lambda: "pong", "report_health": self._pulse.report}
        self._deeds = Deeds(
            self._box, self._disk, self._outbox, self._config, self._timers, now_ms=self.now_ms,
            post=self._queue.put, may_restart=self._may_restart, renew=self._take_settings,
            reboot=self.reboot, private=senses.watched.recent,
        )  # fmt: skip
        return Inbound(
            self._authority, self._outbox, self._probes,
            Commands(self._disk, verbs, self._outbox.put_result, self._deeds.act),
            self._feed, now_ms=self.now_ms, steady_ms=clock.steady_ms, below=clock.below,
        )  # fmt: skip

    def _make_downloader(self, context: ssl.SSLContext) -> Downloader:
        return Downloader(
            self._identity.artifacts_url,
            context,
            self._slots,
            post=self._queue.put,
            feed=self._feed,
            steady_ms=clock.steady_ms,
            below=clock.below,
            patience=Patience(rate_bytes_per_s_max=self._config.download_bytes_per_s_max),
        )

    def _make_transport(self, context: ssl.SSLContext) -> Transport:
        return Transport(
            Address(
                self._identity.broker_host, self._identity.broker_port,
                self._identity.device_id, self._identity.hardware_model, context,
                self._config.keepalive_s, messages.encode(Gone(self._stamp.header())),
            ),
            post=self._queue.put,
            below=clock.below,
            spread_ms=first_spread_ms(self._config.connect_spread_s, self._facts.reason),
        )  # fmt: skip

    def _make_renewal(self) -> Renewal:
        return Renewal(
            self._box,
            self._identity.device_id,
            users=(self._dates, self._downloader, self._transport),
            now_ms=self.now_ms,
            timers=self._timers,
            spread_ms=first_spread_ms(self._config.connect_spread_s, self._facts.reason),
        )

    # -- ports that are a line or two -------------------------------------------------

    def now_ms(self) -> int:
        """Return UTC milliseconds, as far as the box can know them."""
        return self._authority.time.now_ms()

    def wake_in(self, delay_ms: int) -> None:
        """Feed Woken after *delay_ms*."""
        self._timers.set("wake", delay_ms)

    def below(self, limit: int) -> int:
        """Return a number from 0 to *limit* - 1."""
        return clock.below(limit)

    def reboot(self) -> None:
        """End the agent with the code that the boot program takes for a restart."""
        self._queue.put(Stop())

    def _take_settings(self) -> bool:
        """Go by the settings as they are now; return whether that needs a start of the agent."""
        before = self._config
        with suppress(config_of.ConfigError):  # what it went by so far is good enough
            self._config = config_of.load(self._box)
        self._pulse.use(self._config)
        self._probes.use(self._config)
        self._transport.keep_alive(self._config.keepalive_s)
        return config_of.needs_start(before, self._config)

    def _ports(self) -> Ports:
        return Ports(
            disk=self._disk,
            slots=self._slots,
            control=FileBootControl(self._disk),
            fetcher=self._downloader,
            link=self._questions,
            outbox=self._outbox,
            verifier=self._authority,
            clock=self,
            entropy=self,
            probes=self._probes,
            system=self,
        )

    # -- life --------------------------------------------------------------------------

    def run(self) -> int:
        """Live until the box is switched off or restarts; return the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._transport.start()
        try:
            self._begin()
            while self._turn():
                pass
        except StorageError as error:
            say(f"the state can not be stored, so nothing is done: {error}")
            return 1
        finally:
            self._renewal.stop()
            self._deeds.stop()
            self._downloader.stop()
            self._flush()
            self._transport.stop()
        return REBOOT_CODE if self._shell.rebooting or self._deeds.is_rebooting else 0

    def _begin(self) -> None:
        try:
            self._authority.load()
        except TrustError as error:
            say(f"no trust metadata yet, or none that is fresh: {error}")
        try:
            self._voice.tell_of_last_boot()
        except StorageError as error:
            say(f"the log of the last boot can not be read: {error}")
        try:
            self._shell.start(booted.event(self._facts))
        except StorageError as error:
            self._stand_still(error)
        # What it knew before it started is old: a forced one that comes again forces nothing.
        self._probes.heed_force(self._state().assignment_seq, is_forced=False)
        for path in self._shell.broken:
            self._outbox.put_log([f"journal {path} could not be read and was set aside"])
        if self._authority.denied:
            self._feed(DenyListed(self._authority.denied))
        self._deeds.begin()
        self._pulse.begin()
        alive.show(self._disk, self._timers)
        say(f"{self._identity.device_id} runs {self._facts.version} from slot {self._facts.slot}")

    def _turn(self) -> bool:
        """Take one message or wait for a timer; return whether life goes on."""
        self._flush()
        try:
            message = self._queue.get(timeout=self._timers.wait_s())
        except Empty:
            message = None
        if message is not None and not self._take(message):
            return False
        for name in self._timers.take_due():
            self._act(name)
        return not self._shell.rebooting

    def _take(self, message: Message) -> bool:
        match message:
            case Stop():
                return False
            case Received(topic, payload):
                self._hear(topic, payload)
            case Said() | Gathered() | Part() | Ended():
                self._ears[type(message)](message)
            case Connected():
                self._authority.is_listening = True
                self._questions.connected()
                self._hellos = 0
                self._outbox.await_greeting()
                self._send_hello()
            case Disconnected(detail, was_refused):
                self._dates.hear(detail)
                self._renewal.note(is_refused=was_refused)
                detail += identity.note_on_end(self._box, clock.now_ms())
                if detail != self._said:
                    self._said = detail
                    say(f"not connected: {detail}")
                self._authority.is_listening = self._inbound.is_hello_acked = False
                self._questions.disconnected()
                self._timers.set("hello", None)
        return True

    def _hear(self, topic: str, payload: bytes) -> None:
        was_heard = self._inbound.is_hello_acked
        was_proven = self._authority.time.is_proven
        self._inbound.take(topic, payload)
        if self._inbound.is_hello_acked and not was_heard:
            self._questions.heard(self._shell.state)
        if self._authority.time.is_proven and not was_proven:
            self._dates.judge()

    def _act(self, name: str) -> None:
        acts: dict[str, Callable[[], None]] = {
            renewal.TIMER: self._renewal.look,
            "wake": lambda: self._feed(Woken()),
            pulse.HEALTH_TIMER: self._pulse.again,
            "alive": lambda: alive.show(self._disk, self._timers),
            "look": self._probes.look,
            "hello": self._send_hello,
            "room": self._look_for_room,
            "question": self._questions.ask_again,
            "store": self._inbound.store_again,
            pulse.HUNG_TIMER: self._pulse.tell_hung,
            pulse.MEMORY_TIMER: self._pulse.give_back,
            deeds.TIMER: self._deeds.look,
            deeds.DEED_TIMER: self._deeds.do_deed,
        }
        if name in acts:  # "outbox": the next turn sends what is due
            acts[name]()

    def _state(self) -> State:
        return self._shell.state

    def _may_restart(self) -> bool:
        is_proven = self._facts.successful or self._state().running.successful
        return is_proven and isinstance(self._state().stage, Idle)

    def _feed(self, event: Event) -> None:
        if self._stands_still:
            return
        try:
            self._shell.feed(event)
        except StorageError as error:
            self._stand_still(error)
        self._timers.set("look", self._probes.next_look_ms())

    def _stand_still(self, error: StorageError) -> None:
        """Decide nothing any more, for nothing can be stored, but go on telling how the box is.

        On trial the agent ends instead: a slot that can not store is not well.
        """
        if not (self._facts.successful or self._shell.state.running.successful):
            raise error
        self._stands_still = True
        self._downloader.stop()
        line = f"the state can not be stored, so no update goes on: {error}"
        say(line)
        self._outbox.put_log([line])
        alive.show(self._disk, self._timers)
        self._timers.set("room", ROOM_AGAIN_MS + clock.below(ROOM_AGAIN_MS // 2))

    def _look_for_room(self) -> None:
        """End the agent, to begin with what is stored, when the disk takes something again."""
        if has_room(self._disk):
            raise AgentError("The disk takes something again; the agent begins anew.")
        self._timers.set("room", ROOM_AGAIN_MS + clock.below(ROOM_AGAIN_MS // 2))

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._queue.put(Stop())  # SimpleQueue.put may be called from a signal handler

    # -- what the box says -------------------------------------------------------------

    def _flush(self) -> None:
        self._voice.tell(self._disk.news())
        if self._questions.is_connected:
            for kind, data in self._outbox.due():
                self._transport.send(kind, data)
            self._timers.set("outbox", self._outbox.next_due_ms())
        for name, part in (("question", self._questions), ("store", self._inbound)):
            self._timers.set(name, part.next_due_ms())
        self._timers.set("look", self._probes.next_look_ms())

    def _send_hello(self) -> None:
        if not self._questions.is_connected or self._inbound.is_hello_acked:
            return
        hello = self._voice.hello(self._stamp.header(), self._shell.state)
        self._inbound.hello_id = hello.header.id
        self._transport.send(Up.HELLO, messages.encode(hello))
        self._timers.set("hello", hello_pause_ms(self._hellos, clock.below))
        self._hellos += 1

    def _send_question(self, request: LeaseRequest) -> None:
        self._transport.send(Up.LEASE, messages.encode(request))
