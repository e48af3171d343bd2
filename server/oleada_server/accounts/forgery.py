"""Cross-site request forgery: every unsafe request that a cookie vouches for is checked.

A request with a bearer token is not: a foreign page can not send one. Boxes and their
artifacts have doors of their own, without cookies.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from flask import Flask, current_app, g, request
from flask_wtf.csrf import CSRFError, CSRFProtect, same_origin, validate_csrf

from oleada_server.accounts.access import load_identity
from oleada_server.config import Config

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
COOKIELESS_PATHS: Final = ("/device/", "/.well-known/est/", "/artifacts/", "/tuf/", "/static/")

csrf: Final = CSRFProtect()

_View = TypeVar("_View", bound=Callable[..., Any])


def checks_by_itself(view: _View) -> _View:
    """Mark *view* as one that calls :func:`demand_token` before it does anything.

    For forms whose file is read as it arrives: a check before the view would have to read
    all of it first.
    """
    view.__dict__["oleada_checks_forgery"] = True
    return view


def demand_token(token: str) -> None:
    """Accept the form token of this request's person and its page of origin.

    Raises:
        CSRFError: It is missing, of another session, or the request comes from elsewhere.
    """
    g.oleada_form_refused = True
    try:
        validate_csrf(token)
    except ValueError as error:  # what WTForms raises is one
        raise CSRFError(str(error)) from error
    if request.is_secure and not same_origin(request.referrer or "", request.host_url):
        raise CSRFError("The form was sent from another site.")
    g.oleada_form_refused = False


def is_refused() -> bool:
    """Return whether the form of this request was refused for its token or its origin."""
    found: bool = g.get("oleada_form_refused", False)
    return found


def register(app: Flask) -> None:
    """Protect *app*; its form tokens live as long as its session cookie."""
    settings: Config = app.extensions["oleada_config"]
    app.config.update(
        WTF_CSRF_CHECK_DEFAULT=False,  # _check decides, because REST has bearer tokens
        WTF_CSRF_TIME_LIMIT=None,
        SESSION_COOKIE_NAME="oleada_form",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.console_url.startswith("https://"),
    )
    csrf.init_app(app)
    app.before_request(_check)


def _check() -> None:
    if request.method in SAFE_METHODS or request.path.startswith(COOKIELESS_PATHS):
        return
    view = current_app.view_functions.get(request.endpoint or "")
    if getattr(view, "oleada_checks_forgery", False):
        return
    if request.path.startswith("/api/"):
        found = load_identity()
        if found is None or found.scopes is not None:
            return  # nobody, or a token: the view refuses or demands the scope
    g.pop("csrf_valid", None)
    g.oleada_form_refused = True
    csrf.protect()
    g.oleada_form_refused = False
