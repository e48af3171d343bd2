"""Errors of the server: something that was asked for can not be done, and why.

    ServerError (400)
    ├── BadInputError            400  a field or file is not what was expected
    ├── NotSignedInError         401
    ├── NotAllowedError          403
    ├── NotFoundError            404
    └── ConflictError            409  the thing is in a state in which that can not be done

A feature's ``errors.py`` subclasses these, one class per thing that a caller can do
differently. A message says what was, what was expected and what to do. One handler
turns them into problem+json or a page.
"""


class ServerError(Exception):
    """Something that was asked for can not be done.

    Attributes:
        status: Of the HTTP answer.
        code: Stable; listed in docs/reference/errors.md.
    """

    status = 400
    code = "server-error"


class BadInputError(ServerError):
    """A field or a file is not what was expected."""

    code = "bad-input"

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class NotSignedInError(ServerError):
    """Nobody is signed in, or the session has ended."""

    status = 401
    code = "not-signed-in"


class NotAllowedError(ServerError):
    """The signed-in person or token lacks the right."""

    status = 403
    code = "not-allowed"


class NotFoundError(ServerError):
    """There is no such thing, or none that the asker may see."""

    status = 404
    code = "not-found"


class ConflictError(ServerError):
    """The thing is in a state in which that can not be done."""

    status = 409
    code = "conflict"
