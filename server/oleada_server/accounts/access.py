"""Who asks in this request: the session's cookie, or a bearer token on the REST door.

Deny by default: a view that wants nobody in particular says so by having no decorator,
and a house rule lists those views. A view that does something grave also has
:func:`steps_up`: it wants a second factor that was proved within the last five minutes.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from flask import current_app, g, request
from sqlalchemy.exc import DBAPIError

from oleada_server import config, outage
from oleada_server.accounts import factors, service, tokens
from oleada_server.accounts.errors import FactorMissingError, StepUpRequiredError
from oleada_server.accounts.models import Role
from oleada_server.accounts.objects import Deed, OfUser, demand_on
from oleada_server.accounts.rights import GUARDED, SCOPES, Identity, demand_role, demand_scope
from oleada_server.clock import now_utc
from oleada_server.db import db, read_only
from oleada_server.errors import NotSignedInError
from oleada_server.spells import spell

SESSION_COOKIE = "oleada_session"
LIVE_PATHS: Final = "/live/"
FRESH: Final = timedelta(minutes=5)
FACTOR_HEADER: Final = "Oleada-Second-Factor"

_P = ParamSpec("_P")
_R = TypeVar("_R")


def load_identity() -> Identity | None:
    """Return who asks, None if nobody is signed in; looked up once a request.

    Raises:
        TokenNotValidError: A bearer token was sent and is not valid; a cookie beside it
            does not help.
    """
    if "identity" not in g:
        g.identity = _from_bearer() or _from_cookie()
    found: Identity | None = g.identity
    return found


def identity() -> Identity:
    """Return who asks.

    Raises:
        NotSignedInError: Nobody.
        FactorMissingError: Somebody whose role needs a second factor and who has none.
    """
    found = signed_in()
    if found.scopes is None and _must_enrol(found):
        raise FactorMissingError(found.role)
    return found


def signed_in() -> Identity:
    """Return who asks, also if they still have to enrol a second factor.

    Raises:
        NotSignedInError: Nobody.
    """
    found = load_identity()
    if found is None:
        raise NotSignedInError("Sign in first, or send a token: Authorization: Bearer ole_….")
    return found


def demand_fresh() -> None:
    """Let the request pass if its person has just proved a second factor.

    Also passes whoever need not have one and has none, and the token in the server's own
    data directory: who can read that holds the server's keys. A program sends a code.

    Raises:
        StepUpRequiredError: It is to be proved first.
        FactorMissingError: The role needs one, and none is enrolled.
        WrongCodeError: The code that was sent is wrong.
        TooManyAttemptsError: After too many of those.
    """
    found, now = signed_in(), now_utc()
    if found.is_local or (not found.has_factor and not _must_enrol(found)):
        return
    if not found.has_factor:
        raise FactorMissingError(found.role)
    if found.factor_at is not None and abs(now - found.factor_at) <= FRESH:
        return
    code = request.headers.get(FACTOR_HEADER, "")
    if not code or not request.path.startswith("/api/"):
        raise StepUpRequiredError
    db.session.rollback()
    factors.prove_code(found.user_id, code, now=now)
    if token := bearer():
        tokens.note_factor(token, now)


def demand_on_user(deed: Deed, name: str, wanted: Role | None = None) -> None:
    """Let who asks do *deed* to user *name*, or refuse; *wanted* is a new role.

    Raises:
        NotYoursError: Another person has to do it.
        UserNotFoundError: There is no such user.
    """
    read_only()
    user = service.find_user(name)
    thing = OfUser(user.name, Role(user.role), wanted)
    db.session.rollback()
    demand_on(identity(), deed, thing)


def steps_up(view: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorate *view* so that it wants a second factor proved just now.

    Stands below the decorator that says who may use it.
    """

    @wraps(view)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        demand_fresh()
        return view(*args, **kwargs)

    guarded.__dict__["oleada_steps_up"] = True
    return guarded


def session_secret() -> str | None:
    """Return the secret in the session's cookie, None without one."""
    return request.cookies.get(SESSION_COOKIE)


def bearer() -> str | None:
    """Return the API token that asks, None if a browser does."""
    found = request.authorization
    return (found.token or "") if found is not None and found.type == "bearer" else None


def require_role(role: Role) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Return a decorator for pages: only a signed-in person with *role* gets in."""

    def decorate(view: Callable[_P, _R]) -> Callable[_P, _R]:
        @wraps(view)
        def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            demand_role(identity(), role)
            return view(*args, **kwargs)

        guarded.__dict__["oleada_needs"] = role
        return guarded

    return decorate


def require_scope(scope: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Return a decorator for REST: a token with *scope*, or a session whose role has it."""
    assert scope in SCOPES, f"scope {scope!r} is not in SCOPES"  # noqa: S101 - our bug

    def decorate(view: Callable[_P, _R]) -> Callable[_P, _R]:
        @wraps(view)
        def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            demand_scope(identity(), scope)
            return view(*args, **kwargs)

        guarded.__dict__["oleada_needs"] = scope
        return guarded

    return decorate


def _from_bearer() -> Identity | None:
    token, now = bearer(), now_utc()
    if token is None:
        return None
    read_only()
    found = tokens.find_token(token, now)
    tokens.count_request(found, token, now)
    if not spell(current_app, "database").is_on:
        _touch(lambda: tokens.touch_token(token, now))
    db.session.rollback()  # the view begins its own transaction
    return found


def _from_cookie() -> Identity | None:
    secret = session_secret()
    if not secret:
        return None
    now = now_utc()
    read_only()
    found = service.find_session(secret, now)
    if found is not None and _counts_as_use(found) and not spell(current_app, "database").is_on:
        _touch(lambda: service.touch_session(secret, now))
    db.session.rollback()
    return found


def _counts_as_use(found: Identity) -> bool:
    """Return whether this request is of a person: a live page asks again by itself.

    It keeps the console on a wall signed in, and nobody who could do harm there.
    """
    return found.role not in GUARDED or not request.path.startswith(LIVE_PATHS)


def _must_enrol(found: Identity) -> bool:
    wanted = config.current().second_factor == config.SecondFactor.REQUIRED
    return wanted and found.role in GUARDED and not found.has_factor


def _touch(note: Callable[[], None]) -> None:
    """Note that something is in use, if that can be stored; a page to read needs no write."""
    try:
        note()
    except DBAPIError as error:
        if outage.meaning(error) is None:
            raise
