"""The boot program over the simulated disk: choose, count the try, start the agent, again.

``live`` ends when there is nothing left to do; a box that can not come to that is a
brick, or stuck.
"""

from contextlib import suppress
from typing import Final

from oleada_agent import enrol, identity
from oleada_agent.boot import choice, control, image, system, trial
from oleada_agent.boot.choice import Behaviour, Choice, Ended, Found, ReleaseFile
from oleada_agent.errors import AgentError, ImageError, StorageError
from oleada_agent.machine_states import State
from oleada_agent.slots import slot_path

from oleada_lab.real.repository import MODEL
from oleada_lab.sim.disk import PowerCutError
from oleada_lab.sweep import renewing
from oleada_lab.sweep.agent import Agent
from oleada_lab.sweep.finding import Finding, Kind
from oleada_lab.sweep.kit import CONFIG, SECURITY_VERSIONS, agent_of
from oleada_lab.sweep.world import World

BOOTS_MAX: Final = 24
"""More than four tries, a fallback and the restarts of two recoveries."""
STEPS_MAX: Final = 2_000
STEPS_OF_A_PART_MAX: Final = 8
LIFE_MS_MAX: Final = 48 * 3_600_000
"""Of virtual time; a box that waits longer waits for ever."""
RESTART_MS: Final = 60_000
RESTARTS_MAX: Final = 400
"""Of the agent alone, in one boot; more than the minutes for which a disk is out of order."""
LOG: Final = b"the system of this image said so\n"
_sound: dict[tuple[int, bytes], image.ImageHeader | None] = {}
"""What was found of contents that were checked once; the same for every box."""


class Box:
    """One box with power, from the cut before to the time when it rests.

    Attributes:
        state: Of the machine when the box came to rest.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._control = control.FileBootControl(world.disk)
        self._steps = 0
        self._until_ms = world.now_ms + LIFE_MS_MAX
        parts = world.kit.image_bytes_max // world.line.part_bytes
        self._steps_max = STEPS_MAX + STEPS_OF_A_PART_MAX * parts
        self.state: State | None = None

    def live(self) -> Finding | None:
        """Boot again and again until the box rests; return what kept it from that.

        Raises:
            PowerCutError: the plug was pulled, as the disk was told.
        """
        try:
            return self._unsound() or self._boot_until_rest()
        except PowerCutError:
            raise
        except ImageError as error:
            return Finding(Kind.BRICK, f"no slot boots: {error}")
        except AssertionError as error:
            return Finding(Kind.BRICK, f"an assertion failed: {error}")
        except Exception as error:  # whatever ends the agent for good is what the sweep looks for
            return Finding(Kind.STUCK, f"the agent died: {type(error).__name__}: {error}")

    def _boot_until_rest(self) -> Finding | None:
        before = Ended.POWER
        for _ in range(BOOTS_MAX):
            ended = self._boot(before)
            if ended is None:
                return self._overdue()
            before = ended
        return Finding(Kind.STUCK, f"the box started {BOOTS_MAX} times and does not rest")

    def _boot(self, before: Ended) -> Ended | None:
        """Return how one boot ended; None when the box rests."""
        world = self._world
        world.boots += 1
        world.disk.forbidden = ""
        for name in world.disk.list("run"):
            world.disk.unlink(f"run/{name}")
        found = choice.choose(self._look, self._control, before)
        world.disk.forbidden = slot_path(found.slot)
        system.prepare_run(world.disk, found, world.hex_id(8))
        ended = self._run(found)
        if ended is not None:
            with suppress(StorageError):  # the next boot matters more than this one's end
                trial.end(world.disk, self._control, found, ended)
        return ended

    def _run(self, found: Choice) -> Ended | None:
        world, behaviour = self._world, found.release.behaviour
        world.disk.pwrite(system.LOG, world.disk.size_bytes(system.LOG), LOG)
        if behaviour in (Behaviour.HANG, Behaviour.CRASH):
            return Ended.WATCHDOG
        for _ in range(RESTARTS_MAX):
            try:
                return self._run_agent(behaviour)
            except AgentError:
                if not self._is_proven(found):
                    return Ended.WATCHDOG
                if not world.disk.misdeeds:
                    raise
                # It died of its disk, as the boot program sees it: it is started again alone.
                world.pass_to(world.now_ms + RESTART_MS)
        raise StorageError(f"the agent was started {RESTARTS_MAX} times and does not live")

    def _run_agent(self, behaviour: Behaviour) -> Ended | None:
        world = self._world
        if not identity.is_enrolled(world.disk):
            enrol.enrol(world.disk, CONFIG, world.desk.enrol)
        renewing.look(world)
        agent = Agent(world, behaviour)
        is_restart = agent.run(self._is_over)
        self.state = agent.shell.state
        return Ended.REBOOT if is_restart else None

    def _is_proven(self, found: Choice) -> bool:
        said = self._control.load()
        return found.was_successful or (said is not None and said.of(found.slot).successful)

    def _is_over(self) -> bool:
        self._steps += 1
        return self._steps > self._steps_max or self._world.now_ms > self._until_ms

    def _overdue(self) -> Finding | None:
        if self._steps > self._steps_max:
            return Finding(Kind.STUCK, f"the agent did {self._steps_max} things and does not rest")
        if self._world.now_ms > self._until_ms:
            return Finding(Kind.STUCK, f"the box waits for more than {LIFE_MS_MAX // 3_600_000} h")
        return None

    def _unsound(self) -> Finding | None:
        """Return the slot that may boot and holds no whole image: luck alone decides then."""
        if self._world.disk.misdeeds:  # what was whole may have rotted; that is found at the boot
            return None
        said = self._control.load()
        for slot in said.in_order() if said is not None else []:
            try:
                self._look(slot)
            except ImageError as error:
                return Finding(Kind.BRICK, f"slot {slot} may boot, but: {error}")
        return None

    def _look(self, slot: str) -> Found:
        header = self._header(slot)
        behaviour = self._world.behaviours.get(header.version, Behaviour.GOOD)
        security = SECURITY_VERSIONS[header.version]
        release = ReleaseFile(header.version, MODEL, security, behaviour)
        return Found(release, agent_of(self._world.kit.images[header.version]))

    def _header(self, slot: str) -> image.ImageHeader:
        """Return the header of the image in *slot*; every byte is checked once for each content."""
        try:
            data = self._world.disk.read(slot_path(slot))
        except StorageError as error:
            raise ImageError(str(error)) from error
        key = (len(data), data)
        if key not in _sound:
            try:
                _sound[key] = image.check(lambda offset, size: data[offset : offset + size])
            except ImageError:
                _sound[key] = None
        header = _sound[key]
        if header is None:
            return image.check(lambda offset, size: data[offset : offset + size])
        return header
