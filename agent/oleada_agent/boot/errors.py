"""Errors below the agent; ``oleada_agent.errors`` draws the whole tree."""


class AgentError(Exception):
    """Something on this box is not as it must be.

    Attributes:
        code: Stable, for logs.
    """

    code = "agent"


class StorageError(AgentError):
    """The disk did not do what was asked: full, worn, read-only or gone."""

    code = "storage"


class ImageError(AgentError):
    """A slot or a file does not hold an image that may boot."""

    code = "image"


class ControlError(AgentError):
    """The box was asked for something that must never be done to it."""

    code = "control"
