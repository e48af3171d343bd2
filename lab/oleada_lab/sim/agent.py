"""One life of the agent on a simulated box: real machine, shell, journal, slots and outbox.

What the service does with threads and sockets is done here with events: the first pause,
hello until it is answered, the outbox when it is due, health now and then, and standing
still while the disk takes nothing. The decisions in it are the agent's own, and so is
what reads messages and judges signatures (ears.py).
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from oleada_agent.boot.choice import Behaviour, Choice
from oleada_agent.errors import StorageError
from oleada_agent.journal import has_room
from oleada_agent.machine_events import (
    Booted,
    ConditionsChecked,
    ConditionsLost,
    Event,
    HealthFailed,
    HealthPassed,
    ServerContacted,
    Woken,
)
from oleada_agent.machine_states import ReportDraft, Trial, other_slot
from oleada_agent.outbox import DiskOutbox, Stamp
from oleada_agent.ports import Ports
from oleada_agent.reconnect import Reconnect, first_spread_ms, hello_pause_ms
from oleada_agent.service import ROOM_AGAIN_MS
from oleada_agent.shell import Shell
from oleada_wire import topics
from oleada_wire.ids import BootId
from oleada_wire.messages import Header, Health, Window
from oleada_wire.topics import Up
from oleada_wire.window import is_open, next_opening
from oleada_wire.words import BootReason, Phase

from oleada_lab.check import facts
from oleada_lab.sim.broker import Message
from oleada_lab.sim.door import SimFetcher
from oleada_lab.sim.ears import MQTT_BYTES, Around, Ears, PlainEars, SignedEars
from oleada_lab.sim.home import Home
from oleada_lab.sim.plain import UTC
from oleada_lab.sim.slots import WatchedControl, WatchedSlots
from oleada_lab.sim.transport import Caller, SimTransport
from oleada_lab.sim.voice import Voice

FIRST_HEALTH_MS: Final = 5_000
RETRY_MS: Final = 60_000
PLAYER_LIMIT_MS: Final = (90_000, 180_000)


class SimAgent:
    """The agent of *box* from one start to its end.

    Attributes:
        shell: The machine with its journal.
        outbox: What the server has not counted.
        making: Id of a health message that is being put on the disk.
    """

    def __init__(self, box: Home, found: Choice, boot: BootId, reason: BootReason) -> None:
        self._box, self._street = box, box.street
        self._found, self._reason = found, reason
        self._dice = box.dice
        self._hellos = 0
        self._stands_still = False
        self._is_watching = False
        self._trial: Callable[[], None] | None = None
        self._timer = 0
        self._flush_ms: int | None = None
        self._due_ms: int | None = None
        self._dropped = 0
        self.making = ""
        disk = box.disk
        self._stamp = Stamp(disk, boot, box.wall_ms, self._new_id)
        self.outbox = DiskOutbox(disk, self._stamp, self._steady_ms)
        self._slots = WatchedSlots(box, found)
        self._ears = self._make_ears()
        self._voice = Voice(box, found, reason, self._slots.header)
        control = WatchedControl(box, found)
        self.fetcher = SimFetcher(
            self._street.world, self._street.door, box.link, self._slots, self._feed, box.later,
            box.pace, wrong=box.door_wrong,
        )  # fmt: skip
        self.transport = SimTransport(
            self._street.world,
            self._street.broker,
            box.link,
            caller=Caller(
                box.device_id,
                (topics.down_filter(box.device_id), topics.model_filter(box.model)),
                self._street.keepalive_ms,
            ),
            owner=self,
            reconnect=lambda: Reconnect(self._dice.below),
        )
        self.shell = Shell(
            Ports(
                disk, self._slots, control, self.fetcher, self._ears.questions, self,
                self._ears.verifier, self, self, self, self,
            )
        )  # fmt: skip
        self._boot = boot

    def _make_ears(self) -> Ears:
        box = self._box
        make: Callable[[Around], Ears] = SignedEars if self._street.is_signed else PlainEars
        return make(
            Around(
                device_id=box.device_id,
                model=box.model,
                disk=box.disk,
                outbox=self.outbox,
                contact=self,
                feed=self._feed,
                header=self._stamp.header,
                publish=self._publish,
                state=lambda: self.shell.state,
                wall_ms=box.wall_ms,
                steady_ms=self._steady_ms,
                below=self.below,
                room_bytes=lambda: self._slots.room_bytes(other_slot(self._found.slot)),
                put_health=self.put_health,
                note=box.note,
            )
        )

    # -- life --------------------------------------------------------------------------

    def start(self) -> None:
        """Begin: the state first, then the connection, if the image has a network."""
        found = self._found
        self._ears.load()
        try:
            self.shell.start(
                Booted(
                    found.slot, found.release.version, str(self._boot), self._reason,
                    found.was_successful, self._reason is BootReason.WATCHDOG,
                    found.release.security_version, put_back=found.put_back,
                )
            )  # fmt: skip
        except StorageError:
            self._stand_still()
        self._ears.after_start()
        if isinstance(self.shell.state.stage, Trial):
            self._box.later(0, lambda: self._box.on_phase(Phase.CHECKING))
        if found.release.behaviour is not Behaviour.NO_NETWORK:
            self.transport.start(first_spread_ms(self._street.spread_s, self._reason))
        if self._street.health_ms is not None:
            self._box.later(self._dice.below(FIRST_HEALTH_MS), self.put_health_again)

    def senses_changed(self) -> None:
        """Tell the machine when a good time has just become a bad one."""
        blocked = self._box.senses.blocked
        if blocked and self._is_watching:
            self._is_watching = False
            self._feed(ConditionsLost(blocked, RETRY_MS))

    # -- the transport's owner ---------------------------------------------------------

    def connected(self) -> None:
        """Say hello, and send what waits."""
        self._street.tell(facts.Connected(self._box.device_id))
        self._hellos = 0
        self._ears.connected()
        self.outbox.forget_sent()
        self._box.guard(self._greet)

    def disconnected(self, why: str) -> None:
        """Wait for the next connection."""
        del why
        self._ears.disconnected()
        self._street.tell(facts.Disconnected(self._box.device_id))

    def heard(self, topic: str, payload: object) -> None:
        """Take what the server says."""
        self._box.guard(lambda: self._take(topic, payload))

    def _take(self, topic: str, payload: object) -> None:
        self._ears.take(topic, payload)
        self._flush()

    def server_answered(self) -> None:
        """Let a trial go on that has waited for the server."""
        if self._trial is not None:
            trial, self._trial = self._trial, None
            trial()

    def heed_force(self, assignment_seq: int, *, is_forced: bool) -> None:
        """No rollout of a story is forced."""
        del assignment_seq, is_forced

    # -- what the box says -------------------------------------------------------------

    def _greet(self) -> None:
        self._send_hello()
        self._flush()

    def _send_hello(self) -> None:
        if self._ears.is_heard or not self.transport.is_connected:
            return
        self._ears.greet(self._voice.hello(self._stamp.header(), self.shell.state))
        self._box.later(hello_pause_ms(self._hellos, self._dice.below), self._send_hello)
        self._hellos += 1

    def _publish(self, kind: Up, payload: object, size_bytes: int) -> None:
        topic = topics.up(self._box.device_id, kind)
        self.transport.send(Message(topic, payload, size_bytes))

    def _flush(self) -> None:
        self._look_again()
        if not len(self.outbox) or not self.transport.is_connected:
            return
        for kind, data in self.outbox.due():
            self._street.tell(facts.Spoke(self._box.device_id, str(kind), data))
            self._publish(kind, data, len(data) + MQTT_BYTES)
        due_ms = self.outbox.next_due_ms()
        if due_ms is None:
            return
        at_ms = self._street.world.now_ms + due_ms
        if self._flush_ms is None or at_ms < self._flush_ms:
            self._flush_ms = at_ms

            def again() -> None:
                if self._flush_ms == at_ms:
                    self._flush_ms = None
                    self._flush()

            self._box.later(due_ms, again)

    def _look_again(self) -> None:
        """Let the ears do in time what they want to do again."""
        due_ms = self._ears.next_due_ms()
        at_ms = None if due_ms is None else self._street.world.now_ms + due_ms
        if at_ms is None or at_ms == self._due_ms:
            self._due_ms = at_ms
            return
        self._due_ms = at_ms

        def again() -> None:
            if self._due_ms == at_ms:
                self._due_ms = None
                self._ears.do_what_is_due()
                self._flush()

        self._box.later(due_ms or 0, again)

    def put_health_again(self) -> None:
        """Put a health message into the outbox, and one more after a while."""
        period_ms = self._street.health_ms or 0
        self.put_health()
        pause_ms = period_ms * 9 // 10 + self._dice.below(period_ms // 5 + 1)
        self._box.later(pause_ms, self.put_health_again)

    def put_health(self) -> None:
        """Put a health message into the outbox."""

        def make(header: Header) -> Health:
            self.making = header.id
            return self._voice.health(header, self.shell.state, self.outbox.dropped)

        self._street.tell(facts.HealthMade(self._box.device_id))
        self.making = "without an id yet"
        self.outbox.put_health(make)
        self.making = ""
        self._count_dropped()
        self._flush()

    def _count_dropped(self) -> None:
        if self.outbox.dropped > self._dropped:
            lost = self.outbox.dropped - self._dropped
            self._dropped = self.outbox.dropped
            self._street.tell(facts.HealthLost(self._box.device_id, lost))
        self._box.spool_messages = max(self._box.spool_messages, len(self.outbox))

    # -- the machine -------------------------------------------------------------------

    def _feed(self, event: Event) -> None:
        if self._stands_still or self.shell.rebooting:
            return
        try:
            self.shell.feed(event)
        except StorageError:
            self._stand_still()
        self._flush()

    def _stand_still(self) -> None:
        """Decide nothing until the disk takes something; a slot on trial is given up."""
        self.fetcher.stop()
        if not (self._found.was_successful or self.shell.state.running.successful):
            self._box.agent_died()
            return
        self._stands_still = True
        self._box.later(ROOM_AGAIN_MS + self._dice.below(ROOM_AGAIN_MS // 2), self._look_for_room)

    def _look_for_room(self) -> None:
        if has_room(self._box.disk):
            self._box.restart_agent()
        else:
            pause_ms = ROOM_AGAIN_MS + self._dice.below(ROOM_AGAIN_MS // 2)
            self._box.later(pause_ms, self._look_for_room)

    def _new_id(self) -> str:
        return f"{self._dice.bits():016x}{self._dice.bits():016x}"

    # -- the ports that are simulated --------------------------------------------------

    def check_conditions(self, window: Window | None) -> Event | None:
        """Say whether now is a good time: window, heat, viewer."""
        now = self._street.world.now
        blocked, retry_ms = self._box.senses.blocked, RETRY_MS
        if window is not None and not is_open(window, UTC, now):
            opens_in = next_opening(window, UTC, now) - now
            blocked, retry_ms = "window", max(1_000, int(opens_in.total_seconds() * 1000))
        self._is_watching = not blocked
        return ConditionsChecked(blocked, retry_ms) if blocked else ConditionsChecked()

    def start_trial(self, assignment_id: str, attempt: int) -> None:
        """The server answers, the player gets ready: or not, as the image behaves."""
        del assignment_id, attempt
        self._is_watching = False
        if self._found.release.behaviour is Behaviour.UNHEALTHY:
            failed = HealthFailed(detail="the media player never got ready")
            self._box.later(self._box.pace.between(*PLAYER_LIMIT_MS), lambda: self._feed(failed))
            self._trial = lambda: self._feed(ServerContacted())
        elif self._ears.is_heard:
            self._answered_in_trial()
        else:
            self._trial = self._answered_in_trial

    def _answered_in_trial(self) -> None:
        self._feed(ServerContacted())
        settle_ms = self._box.pace.between(*self._street.settle_ms)
        self._box.later(settle_ms, lambda: self._feed(HealthPassed()))

    def put_report(self, report: ReportDraft) -> None:
        """Keep *report* on the disk until the server has counted it."""
        self._box.note(f"says {report.phase} {report.reason or ''}")
        if report.phase.is_final:
            self._street.tell(
                facts.Verdict(
                    self._box.device_id, report.assignment_id, report.attempt, str(report.phase),
                    str(report.reason or ""), report.version,
                )
            )  # fmt: skip
        self.outbox.put_report(report)
        self._box.spool_messages = max(self._box.spool_messages, len(self.outbox))
        phase = str(report.phase)
        self._box.later(0, lambda: self._box.on_phase(phase))

    def now_ms(self) -> int:
        """Return UTC ms, as far as the box can know them."""
        return self._ears.now_ms()

    def _steady_ms(self) -> int:
        return self._street.world.now_ms

    def wake_in(self, delay_ms: int) -> None:
        """Wake once, in *delay_ms*; an earlier wish is forgotten."""
        self._timer += 1
        timer = self._timer

        def wake() -> None:
            if timer == self._timer:
                self._feed(Woken())

        self._box.later(delay_ms, wake)

    def below(self, limit: int) -> int:
        """Return a number below *limit*."""
        return self._dice.below(limit)

    def reboot(self) -> None:
        """The shell remembers that it was asked; the start follows its last command."""
        with suppress(StorageError):
            self.transport.leave()
