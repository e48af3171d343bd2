"""A simulated box: a disk, a plug, the real choice of the boot program, and an agent.

What is simulated is the rest: flash in memory, a line that may be bad, a player that
gets ready or not, a person who pulls the plug.
"""

from collections.abc import Callable
from random import Random
from typing import Final

from oleada_agent.boot import choice, control
from oleada_agent.boot.choice import Behaviour, Choice, Ended, Found, ReleaseFile
from oleada_agent.errors import ImageError, StorageError
from oleada_agent.slots import slot_path
from oleada_wire.ids import BootId
from oleada_wire.words import BootReason

from oleada_lab.check import facts
from oleada_lab.sim.agent import SimAgent
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import PowerCutError, SimDisk
from oleada_lab.sim.door import Wrong
from oleada_lab.sim.images import Kit
from oleada_lab.sim.link import SimLink, Way
from oleada_lab.sim.slots import digest_of
from oleada_lab.sim.street import Senses, Street
from oleada_lab.sim.trust import enrol_disk
from oleada_lab.sim.voice import lost_health
from oleada_lab.sim.world import DAY_S, START_MS

SECURITY_VERSION: Final = 1
WATCHDOG_MS: Final = 60_000
BOOT_PROGRAM_SHARE: Final = 4
"""A fourth of the time from power to the agent passes before the slot is chosen."""
DAY_MS: Final = DAY_S * 1000


class SimBox:
    """One box in the *street*; the rest of its life is events.

    Attributes:
        has_power: Whether it is plugged in.
        agent: While it runs.
        kept: What a power cut leaves of what was not fsynced.
        on_phase: Called with each phase the box reports, and when a trial goes on after a start,
            for faults that wait for one.
        door_wrong: What somebody on its own line does to its downloads.
    """

    def __init__(self, street: Street, device_id: str, factory: SimDisk, senses: Senses) -> None:
        world = street.world
        self.device_id, self.street, self.senses = device_id, street, senses
        self.model = street.kit.hardware_model
        self.has_power = False
        self.on_phase: Callable[[str], None] = lambda phase: None
        self.agent: SimAgent | None = None
        self.kept = Kept.NONE
        self.door_wrong = Wrong.NOTHING
        self.spool_messages = 0
        self.link = SimLink(world.stream("line", device_id), street.profile)
        self.pace = world.stream("pace", device_id)
        self.dice = world.stream("machine", device_id)
        self.flash_bytes: dict[int, int] = {}
        self._back_in_ms: int | None = 0
        self._asleep_until_ms = 0
        self._rest_ms = 0
        self._boot_id = BootId(0, "00000000")
        self._reason = BootReason.UNKNOWN
        self._life = 0
        self._boots = 0
        self._found: Choice | None = None
        self.disk = factory.fork()
        self.disk.wrote = self._count_flash
        street.tell(facts.BoxMade(device_id, street.kit.factory.version))

    # -- power -------------------------------------------------------------------------

    def plug_in(self) -> None:
        """Give the box power; it boots."""
        if not self.has_power:
            self.has_power = True
            self._start(Ended.POWER)

    def pull_the_plug(self) -> None:
        """Take the box its power, whatever it is doing."""
        if self.has_power:
            self.note("loses power")
            self.has_power = False
            making = self.agent.making if self.agent is not None else ""
            self._end_life()
            self.disk = self.disk.after_cut(self.kept, Random(self.pace.bits()))
            self.disk.wrote = self._count_flash
            if making and making not in self.stored_health():
                self.street.tell(facts.HealthLost(self.device_id, 1))

    def cut_after_writes(self, writes: int, back_in_ms: int | None) -> None:
        """Pull the plug after so many flash writes more, and plug it in again later, if ever."""
        self.disk.cut_after = writes
        self._back_in_ms = back_in_ms

    def press_reset(self) -> None:
        """Restart, as a watchdog or a person does who does not wait."""
        if self.has_power:
            self._start(Ended.WATCHDOG)

    def factory_reset(self) -> None:
        """Forget what a household can make it forget: state and spool, not the slots."""
        if not self.has_power:
            return
        self.note("is reset to factory settings")
        self._end_life()
        for folder in ("data", "data/outbox"):
            for name in self.disk.list(folder):
                self.disk.unlink(f"{folder}/{name}")
        self._start(Ended.REBOOT)

    # -- what others do to it ----------------------------------------------------------

    def sense(self, blocked: str) -> None:
        """Let *blocked* be why now is no good time; empty: it is."""
        self.senses.blocked = blocked
        if self.agent is not None:
            self.guard(self.agent.senses_changed)

    def sleep(self, lasts_ms: int) -> None:
        """Let nothing happen in the box for so long; the world goes on."""
        self._asleep_until_ms = self.street.world.now_ms + lasts_ms
        self.link.silent = (Way.UP, Way.DOWN)
        self.line_changed()

    def line_changed(self) -> None:
        """Take note that somebody has changed the line."""
        if self.agent is not None:
            self.agent.transport.line_changed()

    def stored_health(self) -> list[str]:
        """Return the ids of the health messages on its disk, for a box without power."""
        names = (name.split("-") for name in self.disk.list("data/outbox"))
        return [parts[2] for parts in names if len(parts) == 3 and parts[1] == "health"]

    def set_door(self, wrong: Wrong) -> None:
        """Let somebody on its line do *wrong* to its downloads."""
        self.door_wrong = wrong
        if self.agent is not None:
            self.agent.fetcher.wrong = wrong

    @property
    def living(self) -> SimAgent | None:
        """The agent, as its slots look at it."""
        return self.agent

    @property
    def running_slot(self) -> str:
        """The slot that was chosen last."""
        return self._found.slot if self._found is not None else "A"

    @property
    def is_going_back(self) -> bool:
        """Whether it is at an update to what it left the factory with."""
        work = getattr(self.agent.shell.state.stage, "work", None) if self.agent else None
        factory = self.street.kit.factory.version
        return work is not None and bool(work.assignment.version == factory)

    def wall_ms(self) -> int:
        """Return what the box's clock shows, UTC ms."""
        return self.senses.wall_ms(START_MS, self.street.world.now_ms)

    def running_version(self) -> str | None:
        """Return the version that would run if the box had power; None: it is a brick."""
        said = control.FileBootControl(self.disk).load()
        order = said.in_order() if said is not None else list(control.SLOTS)
        for slot in (*order, *control.SLOTS):
            try:
                return self._look(slot).release.version
            except ImageError:
                continue
        return None

    def is_untouched(self) -> bool:
        """Return whether the spare slot is as it left the factory: empty."""
        return self.disk.size_bytes(slot_path("B")) == 0

    def note(self, what: str) -> None:
        """Add to the trace what the box does."""
        self.street.world.note(self.device_id, what)

    # -- booting -----------------------------------------------------------------------

    def _start(self, before: Ended) -> None:
        self._end_life()
        whole_ms = self.pace.between(*self.street.boot_ms)
        self.later(whole_ms // BOOT_PROGRAM_SHARE, lambda: self._choose(before))
        self._rest_ms = whole_ms - whole_ms // BOOT_PROGRAM_SHARE

    def _end_life(self) -> None:
        self._life += 1
        agent, self.agent = self.agent, None
        if agent is None:
            return
        agent.transport.lose_power()
        self.street.tell(facts.Disconnected(self.device_id))
        lost = lost_health(agent.outbox)
        if lost:
            self.street.tell(facts.HealthLost(self.device_id, lost))

    def _choose(self, before: Ended) -> None:
        for name in self.disk.list("run"):
            self.disk.unlink(f"run/{name}")
        self.disk.forbidden = ""
        try:
            found = choice.choose(self._look, control.FileBootControl(self.disk), before)
        except ImageError as error:
            self.note("boots nothing")
            self.street.tell(facts.Bricked(self.device_id, str(error)))
            return
        self._found = found
        self._boots += 1
        self.disk.forbidden = slot_path(found.slot)
        self.later(self._rest_ms, lambda: self._boot(found, before))

    def _boot(self, found: Choice, before: Ended) -> None:
        version = found.release.version
        self.note(f"boots {found.slot} {version}")
        self.street.tell(
            facts.Booted(
                self.device_id, found.slot, version, digest_of(self, found.slot),
                found.was_successful, before is Ended.WATCHDOG,
            )
        )  # fmt: skip
        if found.was_successful:  # maybe told nobody: the plug went as soon as it was
            self.street.tell(facts.SlotProven(self.device_id, found.slot, version))
        if found.release.behaviour in (Behaviour.HANG, Behaviour.CRASH):
            self.later(WATCHDOG_MS, lambda: self._start(Ended.WATCHDOG))
            return
        if version in self.senses.crash_after_ms:
            self.later(self.senses.crash_after_ms[version], self.agent_died)
        nonce = f"{self.dice.bits() >> 32:08x}"
        self._run_agent(found, BootId(self._boots, nonce), _reason(found, before))

    def _run_agent(self, found: Choice, boot: BootId, reason: BootReason) -> None:
        self._boot_id, self._reason = boot, reason
        self.agent = SimAgent(self, found, boot, reason)
        self.agent.start()

    def restart_agent(self) -> None:
        """Let the agent alone begin anew, in the same boot."""
        if self._found is not None:
            self._end_life()
            self._run_agent(self._found, self._boot_id, self._reason)

    def agent_died(self) -> None:
        """Let the watchdog restart the box: its agent is gone."""
        self.note("has lost its agent")
        self._start(Ended.WATCHDOG)

    def _look(self, slot: str) -> Found:
        """Return what *slot* holds; every byte is checked, once for each content of a story."""
        try:
            size_bytes = self.disk.size_bytes(slot_path(slot))
            data = self.disk.read(slot_path(slot), 0, size_bytes)
        except StorageError as error:
            raise ImageError(str(error)) from error
        header = self.street.kit.check(data)
        behaviour = self.senses.behaviours.get(header.version, Behaviour.GOOD)
        return Found(ReleaseFile(header.version, self.model, SECURITY_VERSION, behaviour), b"")

    def _count_flash(self, size_bytes: int) -> None:
        day = self.street.world.now_ms // DAY_MS
        self.flash_bytes[day] = self.flash_bytes.get(day, 0) + size_bytes

    # -- time --------------------------------------------------------------------------

    def later(self, delay_ms: int, act: Callable[[], None]) -> None:
        """Let *act* happen in *delay_ms*, unless the box restarts or loses power before."""
        life = self._life

        def happen() -> None:
            if life == self._life:
                self.guard(act)

        self.street.world.after(delay_ms, happen)

    def guard(self, act: Callable[[], None]) -> None:
        """Let *act* happen if there is power, and live with what it does to the box."""
        if not self.has_power:
            return
        asleep_ms = self._asleep_until_ms - self.street.world.now_ms
        if asleep_ms > 0:
            self.later(asleep_ms, act)
            return
        try:
            act()
        except PowerCutError:
            self.note("loses power in a write")
            self.pull_the_plug()
            if self._back_in_ms is not None:
                self.street.world.after(self._back_in_ms, self.plug_in)
            return
        if self.agent is not None and self.agent.shell.rebooting:
            self._start(Ended.REBOOT)


def a_factory_disk(kit: Kit, meta: bytes) -> SimDisk:
    """Return the disk of a box of the field, which all boxes share until they write.

    Args:
        meta: The metadata that came after its enrolment; empty where nothing is signed.
    """
    disk = SimDisk()
    for slot, data in (("A", kit.factory.data), ("B", b"")):
        disk.create(slot_path(slot))
        disk.pwrite(slot_path(slot), 0, data)
    control.FileBootControl(disk).store(control.factory("A"))
    if meta:
        enrol_disk(disk, kit.hardware_model, meta)
    disk.settle()
    return disk


def _reason(found: Choice, before: Ended) -> BootReason:
    """Return why the box started, in the words of the boot program (boot/system.py)."""
    if found.fell_back:
        return BootReason.FALLBACK
    if before is Ended.POWER:
        return BootReason.POWER_ON
    if before is Ended.WATCHDOG:
        return BootReason.WATCHDOG
    return BootReason.REBOOT if found.was_successful else BootReason.UPDATE
