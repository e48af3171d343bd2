"""Passwords: Argon2id, a minimum length and nothing clever; a delay that doubles.

Source of the parameters: argon2-cffi's defaults, which are RFC 9106's second choice
(64 MiB, 3 passes, 4 lanes).
"""

from datetime import datetime, timedelta
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from oleada_server.errors import BadInputError

PASSWORD_CHARS_MIN = 12
PASSWORD_CHARS_MAX = 256  # a longer one would only cost time to hash
FREE_ATTEMPTS = 4
DELAY_S_MAX = 900
FORGET_AFTER = timedelta(days=1)

_HASHER = PasswordHasher()


def check_strength(password: str, name: str) -> None:
    """Accept *password* of user *name*, or say why not.

    Raises:
        BadInputError: Too short, too long, the name itself, or one character repeated.
    """
    if len(password) < PASSWORD_CHARS_MIN:
        raise BadInputError(
            f"A password has at least {PASSWORD_CHARS_MIN} characters; this has {len(password)}.",
            "password",
        )
    if len(password) > PASSWORD_CHARS_MAX:
        raise BadInputError(f"A password has at most {PASSWORD_CHARS_MAX} characters.", "password")
    if name.casefold() in password.casefold() or len(set(password)) < 5:
        raise BadInputError(
            "This password is easy to guess: it holds your name or few different characters.",
            "password",
        )


def hash_password(password: str) -> str:
    """Return the Argon2id hash of *password*, with its parameters in it."""
    return _HASHER.hash(password)


def matches(password_hash: str | None, password: str) -> bool:
    """Return whether *password* is the one hashed; takes as long without any hash."""
    try:
        verified = _HASHER.verify(password_hash or _nobody(), password[:PASSWORD_CHARS_MAX])
    except (VerifyMismatchError, InvalidHashError):
        return False
    return verified and password_hash is not None


def wait_s(attempts: int, last_at: datetime, now: datetime) -> int:
    """Return the whole seconds until the next attempt is looked at, 0 if it may come now.

    The first four attempts are free, then each doubles the wait, up to a quarter of an
    hour; a day without any forgets them.
    """
    if attempts < FREE_ATTEMPTS or now - last_at > FORGET_AFTER:
        return 0
    delay_s = min(2 ** (attempts - FREE_ATTEMPTS + 1), DELAY_S_MAX)
    left_s = (last_at + timedelta(seconds=delay_s) - now).total_seconds()
    return int(min(max(0, -int(-left_s // 1)), delay_s))  # also when the clock was set back


@cache
def _nobody() -> str:
    return _HASHER.hash("the password of a user who does not exist")
