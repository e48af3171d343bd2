"""The shell of the machine: three lines that pump, and the hands that act.

One rule: *store the new state, then run the commands; after a start load it and feed*
``Booted``; *every command may run twice.* One thread calls it. An answer that a port
gives at once is fed before ``feed`` returns, later ones come through ``feed``.
"""

from collections import deque
from dataclasses import replace
from typing import Final, assert_never

from oleada_agent import machine
from oleada_agent.errors import StorageError
from oleada_agent.journal import Journal
from oleada_agent.machine_codec import durable
from oleada_agent.machine_events import (
    DRAW_PARTS,
    Arm,
    AskLease,
    Authorise,
    Booted,
    CheckConditions,
    Command,
    Drawn,
    Empty,
    Event,
    Fetch,
    MarkBad,
    MarkGood,
    ReadBack,
    Reboot,
    SendReport,
    SlotArmed,
    SlotEmptied,
    SlotMarkedGood,
    StartTrial,
    StopFetch,
    StorageFailed,
    Tidied,
    Tidy,
    WakeIn,
)
from oleada_agent.machine_states import Idle, Limits, State
from oleada_agent.ports import Ports

OnSlots = MarkBad | Empty | Arm | MarkGood | ReadBack | Tidy
Begun = Fetch | StopFetch | AskLease | SendReport | StartTrial | WakeIn


STEPS_OF_A_BOOT_MAX: Final = 20
"""More reports of one attempt than a boot ever makes: ten tenths, and the stages."""
ALIVE: Final = "run/agent.alive"
"""The first sign of life, for which the watchdog waits (boot/system.py)."""


class Shell:
    """One box's machine with its journal and its ports.

    Attributes:
        state: What the machine remembers now; stored, but for what may be lost.
        broken: Journal files that were set aside at the start, to be told of.
        rebooting: The box has been told to restart; nothing is done any more.
    """

    def __init__(self, ports: Ports, limits: Limits | None = None) -> None:
        self._ports = ports
        self._journal = Journal(ports.disk)
        self._limits = limits or Limits()
        self._events: deque[Event] = deque()
        self._is_pumping = False
        self.state = State(limits=self._limits)
        self._stored: State | None = None
        self.broken: tuple[str, ...] = ()
        self.rebooting = False

    def start(self, booted: Booted) -> None:
        """Load the state and go on where it says; first of all calls.

        Raises:
            StorageError: the state can not be stored; the agent must end.
        """
        loaded = self._journal.load()
        self.broken = loaded.broken
        self._stored = None if loaded.broken else loaded.state
        if loaded.state is not None:
            self.state = replace(loaded.state, limits=self._limits)
        elif loaded.is_lost:
            self.state = replace(self.state, first_step=_steps_before(booted.boot_id))
        proven = booted.successful or self._ports.control.is_successful(booted.slot)
        self.feed(replace(booted, successful=proven))
        self._ports.disk.create(ALIVE)

    def feed(self, event: Event) -> None:
        """Let the machine take *event* and everything that follows from it at once.

        Raises:
            StorageError: the state can not be stored; the agent must end.
        """
        self._events.append(event)
        if self._is_pumping:  # a port has answered from inside a command
            return
        self._is_pumping = True
        try:
            while self._events and not self.rebooting:
                self._take(self._events.popleft())
        finally:
            self._is_pumping = False
            self._events.clear()

    def _take(self, event: Event) -> None:
        if isinstance(event, Drawn):
            event = replace(event, draw=self._ports.entropy.below(DRAW_PARTS))
        step = machine.step(self.state, event, self._ports.clock.now_ms())
        self._store(step.state)
        for command in step.commands:
            self._run(command)

    def _store(self, state: State) -> None:
        kept = durable(state)
        if kept != self._stored:
            self._journal.store(state)
            if isinstance(state.stage, Idle):  # for long: then one file may rot
                self._journal.store(state)
            self._stored = kept
        self.state = state

    def _run(self, command: Command) -> None:
        try:
            answer = self._act(command)
        except StorageError as error:
            answer = StorageFailed(str(error))
        if answer is not None:
            self._events.append(answer)

    def _act(self, command: Command) -> Event | None:
        match command:
            case MarkBad() | Empty() | Arm() | MarkGood() | ReadBack() | Tidy():
                return self._act_on_slots(command)
            case Authorise(assignment, security_floor, version):
                return self._ports.verifier.authorise(assignment, security_floor, version)
            case CheckConditions(window):
                return self._ports.probes.check_conditions(window)
            case Reboot():
                self.rebooting = True
                self._ports.system.reboot()
            case _:
                self._begin(command)
        return None

    def _begin(self, command: Begun) -> None:
        """Begin what is answered later, if at all."""
        match command:
            case Fetch(assignment, slot, from_bytes):
                self._ports.fetcher.fetch(assignment, slot, from_bytes)
            case StopFetch():
                self._ports.fetcher.stop()
            case AskLease(assignment_id, attempt, phase):
                self._ports.link.ask_lease(assignment_id, attempt, phase)
            case SendReport(report):
                self._ports.outbox.put_report(report)
            case StartTrial(assignment_id, attempt):
                self._ports.probes.start_trial(assignment_id, attempt)
            case WakeIn(delay_ms):
                self._ports.clock.wake_in(delay_ms)
            case _:
                assert_never(command)

    def _act_on_slots(self, command: OnSlots) -> Event | None:
        control, slots = self._ports.control, self._ports.slots
        match command:
            case MarkBad(slot):
                control.mark_bad(slot)
                return None
            case Empty(slot):
                slots.begin(slot)
                return SlotEmptied(slot)
            case Arm(slot, tries):
                control.arm(slot, tries)
                return SlotArmed(slot)
            case MarkGood(slot):
                control.mark_good(slot)
                return SlotMarkedGood(slot)
            case ReadBack(assignment, slot):
                return slots.read_back(slot, assignment)
            case Tidy():
                slots.tidy()
                return Tidied()
            case _:
                assert_never(command)


def _steps_before(boot_id: str) -> int:
    """Return a number of reports that no box with so many boots can have passed."""
    boots = boot_id.partition("-")[0]
    return STEPS_OF_A_BOOT_MAX * int(boots) if boots.isdecimal() else 0
