"""Sign in, set a password, sign out, language and look: pages and forms.

A one-time link shows a button and is used up by pressing it, because programs that
look into mail open every link.
"""

from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from oleada_server import config
from oleada_server.accounts import access, kept, service, sessions
from oleada_server.accounts.errors import TooManyAttemptsError, WrongPasswordError
from oleada_server.accounts.rights import GUARDED, Identity
from oleada_server.clock import now_utc
from oleada_server.db import db
from oleada_server.errors import BadInputError

THEMES: Final = ("auto", "light", "dark")
YEAR: Final = timedelta(days=365)
THEME_COOKIE: Final = "oleada_theme"
LANGUAGE_COOKIE: Final = "oleada_language"

blueprint = Blueprint("account_pages", __name__)


@blueprint.get("/sign-in")
def sign_in_page() -> ResponseReturnValue:
    """Show the form; who is signed in goes on."""
    if access.load_identity() is not None:
        return redirect(_next())
    return render_template("accounts/sign_in.html", next=_next(), error=None, name="")


@blueprint.post("/sign-in")
def sign_in() -> ResponseReturnValue:
    """Sign in with name and password; a refusal keeps the name."""
    name = request.form.get("name", "")[:80]
    form = kept.unseal(request.form.get("kept", ""))
    if form is not None and request.form.get("do") == "back":
        return _signed_in_elsewhere(name, form)
    try:
        secret, person = service.sign_in_by_password(
            name, request.form.get("password", ""), now=now_utc()
        )
    except WrongPasswordError as error:
        return _refused(name, error.status, gettext("This name and password do not go together."))
    except TooManyAttemptsError as error:
        text = gettext("Too many attempts. Wait %(wait_s)s s, then try again.", wait_s=error.wait_s)
        return _refused(name, error.status, text)
    if form is not None:
        return with_session(_proved(_back_to(form, secret), person), secret)
    return with_session(_proved(_next(), person), secret)


@blueprint.get("/sign-in/link/<token>")
def link_page(token: str) -> ResponseReturnValue:
    """Show whom the link signs in, and the button that does it."""
    return render_template("accounts/link.html", person=service.read_link(token, now_utc()))


@blueprint.post("/sign-in/link/<token>")
def use_link(token: str) -> ResponseReturnValue:
    """Use up the link; who has no password yet is asked for one."""
    secret, person = service.sign_in_by_link(token, now=now_utc())
    target = url_for("web.home") if person.has_password else url_for("account_pages.password_page")
    return with_session(_proved(target, person), secret)


@blueprint.get("/password")
def password_page() -> ResponseReturnValue:
    """Show the form for a new password."""
    return render_template("accounts/password.html", person=access.signed_in(), error=None)


@blueprint.post("/password")
def set_password() -> ResponseReturnValue:
    """Set the password; every other browser of this person is signed out.

    Whose role needs a second factor is then shown where to enrol one.
    """
    person = access.signed_in()
    if person.has_password:
        access.demand_fresh()
    password = request.form.get("password", "")
    try:
        if password != request.form.get("again", ""):
            raise BadInputError(gettext("The two passwords differ."), "again")
        service.set_password(person.user_id, password, keep=access.session_secret(), now=now_utc())
    except BadInputError as error:
        page = render_template("accounts/password.html", person=person, error=error)
        return page, error.status
    db.session.rollback()
    secret = sessions.renew(access.session_secret() or "", now_utc(), proved=False)
    db.session.commit()
    offers = person.role in GUARDED and not person.has_factor
    target = url_for("security_pages.index" if offers else "web.home")
    return with_session(redirect(target, 303), secret)


@blueprint.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    """End the session on the server, then forget its cookie."""
    person, secret = access.load_identity(), access.session_secret()
    if person is not None and secret is not None:
        service.sign_out(secret, actor=person.actor, now=now_utc())
    answer = make_response(redirect(url_for("account_pages.sign_in_page"), 303))
    answer.delete_cookie(access.SESSION_COOKIE)
    return answer


@blueprint.post("/preferences")
def preferences() -> ResponseReturnValue:
    """Set look, language and zone, of the browser and of whoever is signed in."""
    answer = make_response(redirect(_next(), 303))
    theme, language = request.form.get("theme"), request.form.get("language")
    if theme in THEMES:
        _remember(answer, THEME_COOKIE, theme)
    if language in service.LANGUAGES:
        _remember(answer, LANGUAGE_COOKIE, language)
    person = access.load_identity()
    if person is not None and (language or request.form.get("zone")):
        service.set_preferences(
            person.user_id,
            language=language or person.language,
            zone=request.form.get("zone") or person.zone,
        )
    return answer


def local_path(text: str | None) -> str | None:
    """Return *text* if it is a path of this site, None if it could lead elsewhere."""
    if not text or not text.startswith("/") or text.startswith(("//", "/\\")):
        return None
    parts = urlsplit(text)
    clean = not parts.scheme and not parts.netloc and text.isprintable() and "\\" not in text
    return text if clean else None


def cookie_is_secure() -> bool:
    """Return whether cookies travel over HTTPS only: the console is reached that way."""
    return request.is_secure or config.current().console_url.startswith("https://")


def _next() -> str:
    return local_path(request.values.get("next")) or url_for("web.home")


def _refused(name: str, status: int, text: str) -> ResponseReturnValue:
    page = render_template(
        "accounts/sign_in.html",
        next=_next(),
        error=text,
        name=name,
        kept=request.form.get("kept", ""),
    )
    return page, status


def _signed_in_elsewhere(name: str, form: kept.Typed) -> ResponseReturnValue:
    """Go back to *form* with the session that this browser got in another tab meanwhile."""
    secret = access.session_secret()
    if access.load_identity() is None or secret is None:
        return _refused(name, 401, gettext("Nobody is signed in in this browser yet."))
    return redirect(_back_to(form, secret), 303)


def _back_to(form: kept.Typed, secret: str) -> str:
    """Return the address of the page of *form*, which fills it from what waits with a session."""
    kept.keep(secret, form, now_utc())
    page = local_path(form.page) or url_for("web.home")
    return f"{page}{'&' if '?' in page else '?'}kept=1"


def _proved(target: str, person: Identity) -> ResponseReturnValue:
    """Lead to *target*, by way of the second factor where one is enrolled."""
    if person.has_factor:
        target = url_for("factor_pages.ask", next=target)
    return redirect(target, 303)


def with_session(answer: Response | ResponseReturnValue, secret: str) -> Response:
    """Give *answer* the cookie of the session of *secret*."""
    made = make_response(answer)
    made.set_cookie(
        access.SESSION_COOKIE,
        secret,
        max_age=timedelta(hours=config.current().session_hours),  # the server ends it before
        secure=cookie_is_secure(),
        httponly=True,
        samesite="Lax",
    )
    return made


def _remember(answer: Response, cookie: str, value: str) -> None:
    answer.set_cookie(
        cookie, value, max_age=YEAR, secure=cookie_is_secure(), httponly=False, samesite="Lax"
    )
