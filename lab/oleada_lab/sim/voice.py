"""What a simulated box says of itself, and what of it waits; the words are the wire's."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from oleada_agent.boot.choice import Choice
from oleada_agent.boot.image import ImageHeader
from oleada_agent.machine_states import State
from oleada_agent.outbox import DiskOutbox
from oleada_agent.status import slot_infos
from oleada_agent.voice import READS
from oleada_wire.messages import Header, Health, Hello
from oleada_wire.topics import Up
from oleada_wire.words import BootReason

from oleada_lab.sim.home import Home

AGENT_VERSION: Final = "0.1.0"
Look = Callable[[str], ImageHeader | None]


@dataclass(frozen=True, slots=True)
class Voice:
    """Puts facts of one boot into messages; decides nothing."""

    box: Home
    found: Choice
    reason: BootReason
    look: Look

    def hello(self, header: Header, state: State) -> Hello:
        """Return who this box is and what it runs."""
        release = self.found.release
        return Hello(
            header,
            hardware_model=self.box.model,
            serial=f"SN-{self.box.device_id}",
            running_slot=self.found.slot,
            version=release.version,
            security_version=release.security_version,
            slots=slot_infos(state, self.found.slot, self.look),
            agent_version=AGENT_VERSION,
            zone="UTC",
            boot_reason=self.reason,
            assignment_seq=state.assignment_seq,
            security_floor=state.security_floor,
            reads=READS,
        )

    def health(self, header: Header, state: State, dropped: int) -> Health:
        """Return how this box is."""
        uptime_s = self.box.street.world.now_ms // 1000
        parameters: dict[str, bool | int | str] = {"Device.DeviceInfo.UpTime": uptime_s}
        slot, version = self.found.slot, self.found.release.version
        slots = slot_infos(state, slot, self.look)
        return Health(header, version, slot, slots, parameters, dropped)


def kept_health(outbox: DiskOutbox) -> list[str]:
    """Return the ids of the health messages that wait in *outbox*."""
    return [entry.id for entry in outbox._entries.values() if entry.kind is Up.HEALTH]


def lost_health(outbox: DiskOutbox) -> int:
    """Return how many health messages end with the agent: those that no disk took."""
    entries = outbox._entries.values()
    return sum(entry.data is not None and entry.kind is Up.HEALTH for entry in entries)
