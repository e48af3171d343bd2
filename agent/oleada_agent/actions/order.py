"""What a process of an action is told, what it may say, and how it fails."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from oleada_wire.actions import Action, Value
from oleada_wire.words import Refusal, ResultStatus

from oleada_agent.errors import AgentError

LINE_BYTES_MAX: Final = 40 * 1024
"""Of one line on standard output; the agent reads no longer ones."""
VIEWER: Final = "run/viewer.present"


class ActionError(AgentError):
    """An action did not do what was asked; ends it with a word of TR-181."""

    code = "action"

    def __init__(self, status: ResultStatus, detail: str, refusal: Refusal | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.refusal = refusal


def refused(why: Refusal, detail: str) -> ActionError:
    """Return the error of an action that is not done at all."""
    return ActionError(ResultStatus.REFUSED, detail, why)


@dataclass(frozen=True, slots=True)
class Order:
    """One thing to do.

    Attributes:
        arguments: All of them, checked.
        box: The directory that stands for the box.
        machine: Root of the file system with ``proc`` and ``sys``.
        settings: ``data/config.toml`` as it was read.
        timeout_ms: After which the agent ends the process.
        known: What must not leave the box, whatever says it.
    """

    action: Action
    arguments: Mapping[str, Any]
    cmd_id: str
    box: Path
    settings: Mapping[str, Any]
    timeout_ms: int
    machine: Path = Path("/")
    known: frozenset[str] = frozenset()


class Teller(Protocol):
    """Where an action says what it finds; nothing secret leaves, and nothing without bound."""

    def say(self, values: Mapping[str, Value], *, done_parts: int | None = None) -> None:
        """Tell *values*, which were not told before."""
        ...

    def write(self, text: str) -> None:
        """Tell more of the text."""
        ...

    def upload(self, name: str, data: bytes) -> None:
        """Bring *data* to the server.

        Raises:
            ActionError: it could not be brought.
        """
        ...

    def then(self, deed: str) -> None:
        """Ask the agent for *deed* when the result is kept: ``reboot`` or ``anew``."""
        ...
