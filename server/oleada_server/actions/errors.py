"""Errors of actions.

ServerError
├── ActionNotFoundError     404  no such order
├── ActionNotKnownError     409  this server or this box does not know the action
├── ActionDeniedError       403  the box does it for nobody, by its own settings
├── BadActionError          400  an argument or the reason is not what was expected
├── ConsentMissingError     409  somebody may be watching and has not agreed
├── TooManyActionsError     429  too many of one box wait already
├── PinTriesError           429  too many PINs were tried on one box within a day
├── ActionKeyReusedError    409  the idempotency key stands for another order
├── ActionEndedError        409  it has ended, so it can not be cancelled
├── UploadRefusedError      403  no such file was asked for, or it is there already
├── UploadTooLargeError     413  larger than a box may upload
└── NoRoomForUploadsError   507  what boxes have uploaded fills its share of the disk
"""

from oleada_server.errors import (
    BadInputError,
    ConflictError,
    NotAllowedError,
    NotFoundError,
    ServerError,
)


class ActionNotFoundError(NotFoundError):
    """There is no such action order, or no such file of it."""

    code = "action-not-found"

    def __init__(self, what: str) -> None:
        super().__init__(f"There is no {what[:80]}.")


class ActionNotKnownError(ConflictError):
    """The server or the agent of this box does not know the action."""

    code = "action-not-known"


class ActionDeniedError(NotAllowedError):
    """The settings of this box deny the action to everybody."""

    code = "action-denied"

    def __init__(self, action: str) -> None:
        super().__init__(f"This box does {action} for nobody; its own settings say so.")


class BadActionError(BadInputError):
    """An argument, the reason or the consent of an action is not what was expected."""

    code = "bad-action"


class ConsentMissingError(ConflictError):
    """Somebody may be watching, and nobody has said that they agree."""

    code = "consent-missing"

    def __init__(self, action: str) -> None:
        super().__init__(
            f"Somebody may be watching, and {action} can be noticed. Ask the subscriber; "
            'then order it with "consent": "viewer".'
        )


class TooManyActionsError(ConflictError):
    """Too many actions of one box wait for their result."""

    status = 429
    code = "too-many-actions"

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} actions of this box wait already; wait or cancel some.")


class PinTriesError(ConflictError):
    """Too many PINs were tried on one box; two persons can still do it."""

    status = 429
    code = "pin-tries"

    def __init__(self, tries: int) -> None:
        super().__init__(
            f"{tries} PINs that were wrong or are not answered yet were tried on this box within "
            "a day. Order it without a PIN: a second person confirms."
        )


class ActionKeyReusedError(ConflictError):
    """The idempotency key of an action stands for another order."""

    code = "action-key-reused"

    def __init__(self, key: str) -> None:
        super().__init__(f"{key[:80]!r} was used for another order; choose a new key.")


class ActionEndedError(ConflictError):
    """An action has ended, so it can not be cancelled."""

    code = "action-ended"

    def __init__(self, status: str) -> None:
        super().__init__(f"It has ended already: {status}.")


class UploadRefusedError(NotAllowedError):
    """A box uploads a file that nobody has asked for, or that is there already."""

    code = "upload-refused"


class UploadTooLargeError(ServerError):
    """A file of a box is larger than it may be, or does not say how large it is."""

    status = 413
    code = "upload-too-large"


class NoRoomForUploadsError(ServerError):
    """What boxes have uploaded fills its share of the disk."""

    status = 507
    code = "no-room-for-uploads"
