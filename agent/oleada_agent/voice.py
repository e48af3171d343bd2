"""What the box says of itself: hello, health, and news of the boot before this one."""

import importlib
from collections.abc import Sequence
from typing import Final

from oleada_wire import batch
from oleada_wire.messages import Header, Health, Hello

from oleada_agent import telemetry
from oleada_agent.booted import BootFacts
from oleada_agent.config import Config
from oleada_agent.identity import Identity
from oleada_agent.machine_states import State
from oleada_agent.outbox import DiskOutbox
from oleada_agent.ports import Disk
from oleada_agent.slots import FileSlots
from oleada_agent.status import slot_infos
from oleada_agent.trust.witness import Witness

AGENT_VERSION: Final = "0.1.0"
READS: Final = (batch.WORD, "actions")
"""What this agent understands of the wire beyond what the first one did."""
TRIAL_LOG: Final = "data/trial.log"
TRIAL_LOG_LINES_MAX: Final = 200
LINE_CHARS_MAX: Final = 300


class Voice:
    """Puts facts into messages; decides nothing.

    Args:
        facts: Of this boot.
        slots: Read for what they hold.
        witness: Asked for the head of the audit trail to say back.
    """

    def __init__(
        self,
        *,
        config: Config,
        identity: Identity,
        facts: BootFacts,
        disk: Disk,
        slots: FileSlots,
        outbox: DiskOutbox,
        witness: Witness,
    ) -> None:
        self._config = config
        self._identity = identity
        self._facts = facts
        self._disk = disk
        self._slots = slots
        self._outbox = outbox
        self._witness = witness

    def hello(self, header: Header, state: State) -> Hello:
        """Return who this box is and what it runs."""
        facts = self._facts
        return Hello(
            header,
            hardware_model=self._identity.hardware_model,
            serial=self._config.serial,
            running_slot=facts.slot,
            version=facts.version,
            security_version=facts.security_version,
            slots=slot_infos(state, facts.slot, self._slots.header),
            agent_version=agent_version(),
            zone=self._identity.zone,
            boot_reason=facts.reason,
            assignment_seq=state.assignment_seq,
            security_floor=state.security_floor,
            mac=self._config.mac,
            provides=tuple(sorted(facts.able(self._config))),
            audit_head=self._witness.seen,
            reads=READS,
            denied=self._config.denied_actions or None,
        )

    def put_health(
        self,
        state: State,
        parameters: telemetry.Parameters,
        *,
        is_clock_behind: bool,
        is_held: bool = False,
    ) -> None:
        """Put a health message with *parameters* into the outbox."""
        parameters = dict(parameters)
        if is_clock_behind:
            parameters[telemetry.CLOCK_FLOOR] = True
        head = self._witness.take_news()

        def make(header: Header) -> Health:
            return Health(
                header,
                self._facts.version,
                self._facts.slot,
                slot_infos(state, self._facts.slot, self._slots.header),
                parameters,
                self._outbox.dropped,
                head,
            )

        self._outbox.put_health(make, is_held=is_held)

    def tell(self, lines: Sequence[str]) -> None:
        """Put *lines*, which may be none, into the outbox."""
        if lines:
            self._outbox.put_log([line[:LINE_CHARS_MAX] for line in lines])

    def tell_of_last_boot(self) -> None:
        """Send on what the boot before this one left behind.

        Raises:
            StorageError: the disk refuses.
        """
        if self._facts.after_watchdog:
            self._outbox.put_crash("box", "watchdog", self._facts.version)
        self.tell([f"at the start: {line}" for line in self._facts.trouble])
        self._disk.unlink(f"{TRIAL_LOG}.tmp")  # of a power cut while it was kept
        if not self._disk.exists(TRIAL_LOG) or not self._facts.successful:
            return
        lines = self._disk.read(TRIAL_LOG).decode(errors="replace").replace("\0", "").splitlines()
        self._outbox.put_log([line[:LINE_CHARS_MAX] for line in lines[-TRIAL_LOG_LINES_MAX:]])
        self._disk.unlink(TRIAL_LOG)


def agent_version() -> str:
    """Return the version of the agent and, inside an image, which image it is from."""
    try:
        image = importlib.import_module("oleada_agent._image")  # written into images only
    except ImportError:
        return AGENT_VERSION
    return f"{AGENT_VERSION} {image.IMAGE}"
