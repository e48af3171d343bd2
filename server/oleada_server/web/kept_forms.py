"""A form that meets an ended session: sign in on top, then it comes back filled.

Works for every form of the console, with and without JavaScript. What is typed survives
in :mod:`oleada_server.accounts.kept`; the page that has the form is an ordinary page
whose answer is filled on its way out. A view that builds its form from what is typed, as
the plan does, may ask for it with :func:`typed_again`.
"""

from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from flask import Flask, Response, current_app, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from oleada_server.accounts import access, forgery, kept
from oleada_server.accounts.models import KeptForm
from oleada_server.accounts.views import local_path
from oleada_server.clock import now_utc
from oleada_server.db import read_only
from oleada_server.inputs import FORM
from oleada_server.web import refill

MARK: Final = "kept"
"""In the query of a page whose form is to be filled with what waits with the session."""
OPEN_PATHS: Final = ("/sign-in", "/sign-out", "/preferences", "/second-factor")
"""Forms that need nobody signed in."""
PROVE_FIRST: Final = {
    "step-up-required": "factor_pages.ask",
    "second-factor-missing": "security_pages.index",
}
"""Refusals that a second factor lifts, and the page where it is proved or enrolled."""
NOT_SHOWN: Final = frozenset({"do", "once", "seen", "next"})
"""Fields of our forms that nobody types."""


def watch(app: Flask) -> None:
    """Fill the pages of *app* that are asked to, and forget what has been sent."""
    app.after_request(_fill)
    app.after_request(_forget)


def sign_in_on_top() -> ResponseReturnValue:
    """Return the sign-in page that carries the form of this request with it."""
    form = _typed_now()
    page = render_template(
        "accounts/sign_in.html", next=form.page, error=None, name="", kept=kept.seal(form)
    )
    return page, 401


def prove_on_top(code: str) -> ResponseReturnValue:
    """Lead to where a second factor lifts the refusal *code*, and from there back.

    A form that was sent waits with the session meanwhile and comes back filled; nothing was
    done yet.
    """
    secret = access.session_secret()
    page = request.full_path.rstrip("?")
    if request.method == "POST" and secret is not None:
        form = _typed_now()
        kept.keep(secret, form, now_utc())
        g.oleada_proves_first = True
        page = f"{form.page}{'&' if '?' in form.page else '?'}{MARK}=1"
    return redirect(url_for(PROVE_FIRST[code], next=page), 303)


def back_to_form() -> ResponseReturnValue | None:
    """Return the way back to a form whose token no longer holds; None if that is not safe.

    Such a form stands in a tab that outlived its browser. Only a form of this very site is
    brought back: the browser says so, and a foreign page can not.
    """
    if not _is_from_here() or request.path.startswith(OPEN_PATHS):
        return None
    secret = access.session_secret()
    if secret is None or access.load_identity() is None:
        return sign_in_on_top()
    form = _typed_now()
    kept.keep(secret, form, now_utc())
    return redirect(f"{form.page}{'&' if '?' in form.page else '?'}{MARK}=1", 303)


def typed_again() -> MultiDict[str, str] | None:
    """Return what had been typed into the form of this page, None if it is not asked for."""
    found = _waiting()
    if found is None or found.action != request.path:
        return None
    return MultiDict([(name, value) for name, value in found.fields])


def _typed_now() -> kept.Typed:
    # An upload is not read: its file can not be kept, and it may be large.
    fields = list(request.form.items(multi=True)) if request.mimetype == FORM else []
    return kept.typed(request.path, _page_of_form(), fields)


def _page_of_form() -> str:
    """Return the address of the page that has the form of this request."""
    parts = urlsplit(request.referrer or "")
    came_from = local_path(parts.path) if parts.netloc in {"", request.host} else None
    path = request.path if _has_page(request.path) else came_from or "/"
    query = [(k, v) for k, v in parse_qsl(parts.query) if k != MARK] if path == came_from else []
    return f"{path}?{urlencode(query)}" if query else path


def _has_page(path: str) -> bool:
    try:
        current_app.url_map.bind(request.host).match(path, "GET")
    except RequestRedirect:
        return True
    except HTTPException:
        return False
    return True


def _is_from_here() -> bool:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    return urlsplit(request.headers.get("Origin", "")).netloc == request.host


def _waiting() -> KeptForm | None:
    secret = access.session_secret()
    if request.method != "GET" or MARK not in request.args or secret is None:
        return None
    if "kept_form" not in g:
        read_only()
        g.kept_form = kept.of_session(secret, now_utc())
    found: KeptForm | None = g.kept_form
    return found


def _fill(answer: Response) -> Response:
    if answer.status_code != 200 or answer.mimetype != "text/html" or answer.is_streamed:
        return answer
    found = _waiting()
    if found is None:
        return answer
    fields = [(name, value) for name, value in found.fields]
    html = answer.get_data(as_text=True)
    filled = refill.refill(html, request.path, found.action, fields)
    shown = [(name, value) for name, value in fields if value and name not in NOT_SHOWN]
    note = render_template("_kept.html", filled=filled, fields=shown)
    answer.set_data(refill.after_main(filled.html if filled else html, note))
    return answer


def _forget(answer: Response) -> Response:
    """Forget a form that was sent and acted on."""
    secret = access.session_secret()
    if request.method != "POST" or answer.status_code not in {302, 303} or secret is None:
        return answer
    leads_back = forgery.is_refused() or g.get("oleada_proves_first", False)
    if leads_back or request.path.startswith(OPEN_PATHS):
        return answer  # nothing was done yet, or it was signing in that was sent
    read_only()
    found = kept.of_session(secret, now_utc())
    if found is not None and found.action == request.path:
        kept.forget(secret, found.action)
    return answer
