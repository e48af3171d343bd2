"""Who asks in this request: the session's cookie, or a bearer token on the REST door.

Deny by default: a view that wants nobody in particular says so by having no decorator,
and a house rule lists those views.
"""

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import current_app, g, request
from sqlalchemy.exc import DBAPIError

from oleada_server import outage
from oleada_server.accounts import service, tokens
from oleada_server.accounts.models import Role
from oleada_server.accounts.rights import SCOPES, Identity, demand_role, demand_scope
from oleada_server.clock import now_utc
from oleada_server.db import db, read_only
from oleada_server.errors import NotSignedInError
from oleada_server.spells import spell

SESSION_COOKIE = "oleada_session"

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
    """
    found = load_identity()
    if found is None:
        raise NotSignedInError("Sign in first, or send a token: Authorization: Bearer oleada_….")
    return found


def session_secret() -> str | None:
    """Return the secret in the session's cookie, None without one."""
    return request.cookies.get(SESSION_COOKIE)


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
    authorization = request.authorization
    if authorization is None or authorization.type != "bearer":
        return None
    found = tokens.find_token(authorization.token or "", now_utc())
    db.session.rollback()  # nothing was written; the view begins its own transaction
    return found


def _from_cookie() -> Identity | None:
    secret = session_secret()
    if not secret:
        return None
    now = now_utc()
    read_only()
    found = service.find_session(secret, now)
    if found is not None and not spell(current_app, "database").is_on:
        _touch(secret, now)
    db.session.rollback()
    return found


def _touch(secret: str, now: datetime) -> None:
    """Note that a session is in use, if that can be stored; a page to read needs no write."""
    try:
        service.touch_session(secret, now)
    except DBAPIError as error:
        if outage.meaning(error) is None:
            raise
