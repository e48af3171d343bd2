"""Errors of accounts: who may sign in, and with what.

    ServerError
    ├── NotSignedInError 401
    │   ├── WrongPasswordError         name and password do not go together
    │   ├── LinkNotValidError     410  the one-time link was used, has expired or never was
    │   ├── TokenNotValidError         the API token is unknown, expired or revoked
    │   └── WrongCodeError        400  the code or the passkey proves nothing
    ├── NotAllowedError 403
    │   ├── RoleMissingError           the role does not include this
    │   ├── ScopeMissingError          the token lacks a scope
    │   ├── NotYoursError              the role is enough, but not for this very thing
    │   ├── FirstFactorError           a token enrols no first second factor
    │   ├── FactorMissingError         the role needs a second factor, and none is enrolled
    │   └── StepUpRequiredError        this deed needs a second factor proved just now
    ├── NotFoundError 404
    │   ├── UserNotFoundError
    │   ├── FactorNotFoundError
    │   ├── SessionNotFoundError
    │   ├── TokenNotFoundError
    │   └── AskedDeedNotFoundError
    ├── ConflictError 409
    │   ├── AskedDeedExpiredError      it waited for a second person for too long
    │   ├── UserExistsError
    │   └── LastAdminError             nobody would be left to administer
    ├── TokenTooOftenError 429         the token asks more often than it may
    └── TooManyAttemptsError 429       wait, then try again

An answer never tells whether a user exists to somebody who has not signed in.
"""

from oleada_server.errors import (
    ConflictError,
    NotAllowedError,
    NotFoundError,
    NotSignedInError,
    ServerError,
)


class WrongPasswordError(NotSignedInError):
    """Name and password do not go together, or there is no such user."""

    code = "wrong-password"

    def __init__(self) -> None:
        super().__init__("This name and password do not go together.")


class LinkNotValidError(NotSignedInError):
    """The one-time link was used, has expired or never was."""

    status = 410
    code = "link-not-valid"

    def __init__(self) -> None:
        super().__init__(
            "This sign-in link was used already or has expired. Make a new one: oleada user link."
        )


class TokenNotValidError(NotSignedInError):
    """The API token is unknown, expired or revoked."""

    code = "token-not-valid"

    def __init__(self) -> None:
        super().__init__(
            "The API token is unknown, expired or revoked. Make a new one: oleada user token."
        )


class WrongCodeError(NotSignedInError):
    """The code, or the signature of the passkey, proves nothing; or it was used before."""

    status = 400
    code = "wrong-code"

    def __init__(self) -> None:
        super().__init__("This is not the code that counts now. Wait for the next one.")


class RoleMissingError(NotAllowedError):
    """The role of the signed-in person does not include this."""

    code = "role-missing"

    def __init__(self, needed: str, has: str) -> None:
        super().__init__(f"This needs the role {needed}; you have {has}.")
        self.needed = needed
        self.has = has


class ScopeMissingError(NotAllowedError):
    """The token does not carry the scope that this needs."""

    code = "scope-missing"

    def __init__(self, needed: str) -> None:
        super().__init__(f"The token lacks the scope {needed}. Make one that has it.")
        self.needed = needed


class NotYoursError(NotAllowedError):
    """The role would do, but not for this very thing: another person has to do it."""

    code = "not-yours"


class FactorMissingError(NotAllowedError):
    """The role needs a second factor, and this person has enrolled none."""

    code = "second-factor-missing"

    def __init__(self, role: str) -> None:
        super().__init__(
            f"The role {role} needs a second factor. Sign in to the console and enrol an "
            "authenticator app or a passkey on the page Security."
        )


class StepUpRequiredError(NotAllowedError):
    """This deed needs a second factor that was proved within the last minutes."""

    code = "step-up-required"

    def __init__(self) -> None:
        super().__init__(
            "This needs a second factor proved within the last 5 minutes. In the console you are "
            "asked for it; a program sends the code of the authenticator app in the header "
            "Oleada-Second-Factor, the command line takes it from OLEADA_FACTOR_CODE."
        )


class FirstFactorError(NotAllowedError):
    """A token asks to enrol the first second factor of its owner."""

    code = "first-factor-in-console"

    def __init__(self) -> None:
        super().__init__(
            "A first second factor is enrolled in the console, by whoever signs in there: a "
            "token that was stolen could shut its owner out. Open the page Security."
        )


class SessionNotFoundError(NotFoundError):
    """Nobody who asks has such a browser, or it was signed out already."""

    code = "session-not-found"

    def __init__(self, ref: str) -> None:
        super().__init__(f"You are signed in in no browser {ref[:40]!r}.")


class TokenNotFoundError(NotFoundError):
    """Nobody who asks has such an API token, or it was revoked already."""

    code = "token-not-found"

    def __init__(self, ref: str) -> None:
        super().__init__(f"You have no API token {ref[:40]!r} that still works.")


class FactorNotFoundError(NotFoundError):
    """There is no such second factor, or no such user."""

    code = "factor-not-found"

    def __init__(self, what: object) -> None:
        super().__init__(f"There is no second factor or user {str(what)[:80]!r}.")


class AskedDeedNotFoundError(NotFoundError):
    """Nothing of this number waits for a second person."""

    code = "asked-deed-not-found"

    def __init__(self, deed_id: int) -> None:
        super().__init__(f"Nothing of number {deed_id} waits for a second person.")


class AskedDeedExpiredError(ConflictError):
    """What was asked has waited for a second person for too long."""

    code = "asked-deed-expired"

    def __init__(self, deed_id: int) -> None:
        super().__init__(f"What was asked under {deed_id} waited too long; ask for it anew.")


class UserNotFoundError(NotFoundError):
    """There is no user of this name."""

    code = "user-not-found"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no user {name!r}. See: oleada user list.")


class UserExistsError(ConflictError):
    """A user of this name exists already."""

    code = "user-exists"

    def __init__(self, name: str) -> None:
        super().__init__(f"The user {name!r} exists already. See: oleada user list.")


class LastAdminError(ConflictError):
    """The last administrator who can sign in stays one."""

    code = "last-admin"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is the last administrator who can sign in. Make somebody else one first."
        )


class TooManyAttemptsError(ServerError):
    """Too many attempts in a short time; *wait_s* says when the next one is looked at."""

    status = 429
    code = "too-many-attempts"

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"Too many attempts. Wait {wait_s} s, then try again.")
        self.wait_s = wait_s


class TokenTooOftenError(ServerError):
    """The token asks more often than the setting ``token_requests_per_minute`` lets it."""

    status = 429
    code = "token-too-often"

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"This token asks too often. Wait {wait_s} s, then ask again.")
        self.wait_s = wait_s
