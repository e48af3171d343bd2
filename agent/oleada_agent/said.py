"""What a process of an action says, on its way to the agent's thread."""

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
