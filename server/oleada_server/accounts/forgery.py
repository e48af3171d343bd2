"""Cross-site request forgery: every unsafe request that a cookie vouches for is checked.

A request with a bearer token is not: a foreign page can not send one. Boxes and their
artifacts have doors of their own, without cookies.
"""

from typing import Final

from flask import Flask, g, request
from flask_wtf.csrf import CSRFProtect

from oleada_server.accounts.access import load_identity
from oleada_server.config import Config

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
COOKIELESS_PATHS: Final = ("/device/", "/artifacts/", "/tuf/", "/static/")

csrf: Final = CSRFProtect()


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
    if request.path.startswith("/api/"):
        found = load_identity()
        if found is None or found.scopes is not None:
            return  # nobody, or a token: the view refuses or demands the scope
    g.pop("csrf_valid", None)
    csrf.protect()
