"""Errors of the wire: something from the other side is not what was agreed.

    WireError
    ├── MalformedMessageError      the bytes are not a message of this kind
    │   └── BadBatchError          what they say of a batch is not the one way to say it
    ├── UnsupportedVersionError    a message of a version this code does not speak
    ├── MessageTooLargeError       larger than the limit of its kind
    ├── UnknownTopicError          a topic outside the table
    ├── BadSignatureError          an envelope that its role's keys do not sign
    └── BadArgumentError           an argument that an action does not take

A ``WireError`` means *reject these bytes, count it, go on*; it is never our bug.
"""


class WireError(Exception):
    """Bytes from the peer are not what was agreed.

    Attributes:
        code: Stable, for counters and logs.
    """

    code = "wire"


class MalformedMessageError(WireError):
    """The bytes are not a message of the expected kind."""

    code = "malformed"


class BadBatchError(MalformedMessageError):
    """The envelope claims a place in a batch that there can not be, or in another spelling."""

    code = "bad-batch"


class UnsupportedVersionError(WireError):
    """The message has a version that this code does not speak."""

    code = "unsupported-version"

    def __init__(self, kind: str, version: object) -> None:
        super().__init__(
            f"Message '{kind}' has version {version!r}; this side speaks version 1. "
            "Update the side that is older."
        )
        self.version = version


class MessageTooLargeError(WireError):
    """The message is larger than the limit of its kind."""

    code = "too-large"

    def __init__(self, kind: str, size_bytes: int, size_bytes_max: int) -> None:
        super().__init__(
            f"Message '{kind}' has {size_bytes} bytes; at most {size_bytes_max} are read."
        )


class UnknownTopicError(WireError):
    """The topic is not one of the table in docs/reference/wire.md."""

    code = "unknown-topic"


class BadSignatureError(WireError):
    """The envelope is not signed by enough keys of the role that must sign it."""

    code = "bad-signature"


class BadArgumentError(WireError):
    """An argument of an action is unknown, missing, of a wrong kind or out of its limits."""

    code = "bad-argument"

    def __init__(self, action: str, argument: str, why: str) -> None:
        super().__init__(f"Action '{action}', argument '{argument}': {why}")
        self.argument = argument
