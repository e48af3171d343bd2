"""Errors of the agent: something on this box is not as it must be.

    AgentError
    ├── StorageError       the disk did not do what was asked
    ├── JournalError       no journal that this agent can read
    ├── ImageError         a slot or file does not hold an image that may boot
    └── ControlError       the boot control was asked for something it must not do

A port wraps foreign exceptions in these. Bytes from the peer raise
``oleada_wire.errors.WireError`` instead; an ``AssertionError`` is our bug and ends the agent.
"""


class AgentError(Exception):
    """Something on this box is not as it must be.

    Attributes:
        code: Stable, for logs.
    """

    code = "agent"


class StorageError(AgentError):
    """The disk did not do what was asked: full, worn, read-only or gone."""

    code = "storage"


class JournalError(AgentError):
    """There is a journal, but it was written by an agent this one can not follow."""

    code = "journal"


class ImageError(AgentError):
    """A slot or a file does not hold an image that may boot."""

    code = "image"


class ControlError(AgentError):
    """The boot control was asked for something it must not do."""

    code = "control"
