"""Errors of the agent: something on this box is not as it must be.

    AgentError
    ├── StorageError       the disk did not do what was asked
    ├── ImageError         a slot or file does not hold an image that may boot
    ├── ControlError       the box was asked for something that must never be done to it
    └── JournalError       a journal that this agent can not read

A port wraps foreign exceptions in these. Bytes from the peer raise
``oleada_wire.errors.WireError`` instead; an ``AssertionError`` is our bug and ends the agent.
"""

from oleada_agent.boot.errors import AgentError, ControlError, ImageError, StorageError

__all__ = ["AgentError", "ControlError", "ImageError", "JournalError", "StorageError"]


class JournalError(AgentError):
    """There is a journal, but this agent can not read it."""

    code = "journal"
