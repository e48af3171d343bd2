"""News for the agent's thread: from the process of an action, and from the switch."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Said:
    """A process has said one line, or (None) nothing more.

    Attributes:
        is_flood: It was ended because it said too much.
    """

    cmd_id: str
    line: bytes | None
    is_flood: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """The box is being switched off."""
