"""The second factor, asked for: after the password or the link, and before a grave deed.

The same page serves both. Proving gives the session a new secret; what was typed into a
form waits with it and is filled in again where the person came from.
"""

from typing import Final

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from oleada_server.accounts import access, factors, passkeys, sessions
from oleada_server.accounts.errors import TooManyAttemptsError, WrongCodeError
from oleada_server.accounts.models import FactorKind
from oleada_server.accounts.rights import Identity
from oleada_server.accounts.views import local_path, with_session
from oleada_server.audit import service as audit
from oleada_server.clock import now_utc
from oleada_server.db import db, read_only
from oleada_server.errors import NotSignedInError

CODE_CHARS_MAX: Final = 40

blueprint = Blueprint("factor_pages", __name__)


@blueprint.get("/second-factor")
def ask() -> ResponseReturnValue:
    """Show the form for a code, and the button for a passkey."""
    person = _person()
    if person is None:
        return redirect(url_for("account_pages.sign_in_page", next=_next()))
    return _page(person)


@blueprint.post("/second-factor")
def prove() -> ResponseReturnValue:
    """Take the code or the passkey; then go on to where the person was led here from."""
    person, secret, now = _demand_person(), access.session_secret() or "", now_utc()
    try:
        if answer := request.form.get("passkey", ""):
            passkeys.prove(secret, person.user_id, answer, now=now)
        else:
            code = request.form.get("code", "")[:CODE_CHARS_MAX]
            factors.prove_code(person.user_id, code, now=now)
    except WrongCodeError as error:
        text = gettext("This is not the code that counts now. Wait for the next one.")
        return _page(person, text), error.status
    except TooManyAttemptsError as error:
        text = gettext("Too many attempts. Wait %(wait_s)s s, then try again.", wait_s=error.wait_s)
        return _page(person, text), error.status
    db.session.rollback()
    is_sign_in = sessions.find_awaiting(secret, now) is not None
    fresh = sessions.renew(secret, now, proved=True)
    audit.record(person.actor, "sign-in.factor" if is_sign_in else "factor.prove", "console",
                 now=now)  # fmt: skip
    db.session.commit()
    return with_session(redirect(_next(), 303), fresh)


@blueprint.post("/second-factor/ask")
def ask_passkey() -> ResponseReturnValue:
    """Return what the browser needs to prove a passkey, as JSON."""
    person = _demand_person()
    asked = passkeys.ask_proof(access.session_secret() or "", person.user_id, now_utc())
    return asked, {"Content-Type": "application/json"}


def _person() -> Identity | None:
    """Return who is signed in, or whose second factor this browser's session waits for."""
    secret = access.session_secret()
    found = access.load_identity()
    if found is None and secret:
        found = sessions.find_awaiting(secret, now_utc())
        db.session.rollback()
    return found if found is not None and found.scopes is None else None


def _demand_person() -> Identity:
    found = _person()
    if found is None:
        raise NotSignedInError("Sign in first.")
    return found


def _page(person: Identity, error: str = "") -> str:
    read_only()
    kinds = {factor.kind for factor in factors.list_factors(person.user_id)}
    page = render_template(
        "accounts/second_factor.html",
        asked=person,
        is_sign_in=access.load_identity() is None,
        has_app=FactorKind.TOTP in kinds,
        has_passkey=FactorKind.PASSKEY in kinds,
        next=_next(),
        error=error,
    )
    db.session.rollback()
    return page


def _next() -> str:
    return local_path(request.values.get("next")) or url_for("web.home")
