"""Headers on every answer, and an id for every request.

Source of the policy: the measured Content-Security-Policy of the console's design; no
inline code or style, nothing from elsewhere.
"""

from secrets import token_hex
from typing import Final

import structlog
from flask import Flask, Response, g, request

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # same-origin, not no-referrer: a one-time link must not leak, forms may check origin
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
ASSET_AGE_S: Final = 365 * 24 * 3600


def add_headers(answer: Response) -> Response:
    """Add the headers that are not there yet; pages are never kept by a cache."""
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    if request.is_secure:
        answer.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    if request.endpoint == "static":
        if "v" in request.args:  # the address carries the content's hash
            answer.headers["Cache-Control"] = f"public, max-age={ASSET_AGE_S}, immutable"
    else:
        answer.headers.setdefault("Cache-Control", "no-store")
    answer.headers.setdefault("X-Request-Id", g.get("request_id", ""))
    return answer


def name_request() -> None:
    """Give the request the id that the audit trail and every line of its log know it by."""
    if "request_id" not in g:
        g.request_id = token_hex(8)
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _forget_name(error: BaseException | None) -> None:  # noqa: ARG001 - Flask passes it
    structlog.contextvars.unbind_contextvars("request_id")


def secure(app: Flask) -> None:
    """Name every request of *app* and add the headers to every answer."""
    app.before_request_funcs.setdefault(None, []).insert(0, name_request)
    app.after_request(add_headers)
    app.teardown_request(_forget_name)
