"""A person's own security: second factors, recovery codes, browsers, API tokens."""

from typing import Any, Final

import segno
from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from oleada_server.accounts import access, factors, passkeys, service, sessions, tokens
from oleada_server.accounts.access import demand_fresh, identity, require_role, signed_in, steps_up
from oleada_server.accounts.errors import WrongCodeError
from oleada_server.accounts.models import Role
from oleada_server.accounts.rights import GUARDED, SCOPES, Identity
from oleada_server.accounts.views import local_path, with_session
from oleada_server.clock import now_utc
from oleada_server.db import db, read_only
from oleada_server.errors import BadInputError, ServerError
from oleada_server.web.browser_names import browser_name
from oleada_server.web.device_list import number_in
from oleada_server.web.words import gettext

NAME_CHARS_MAX: Final = 80
QR_SCALE: Final = 4

blueprint = Blueprint("security_pages", __name__)


@blueprint.get("/security")
def index() -> ResponseReturnValue:
    """Show how this person signs in, where, and which programs ask in their name."""
    return _index(signed_in())


@blueprint.get("/security/app")
def new_app() -> ResponseReturnValue:
    """Show a new key for an authenticator app, as a QR code and as letters."""
    person = _may_add()
    return _app_page(person, factors.new_app(person.name).key)


@blueprint.post("/security/app")
def add_app() -> ResponseReturnValue:
    """Enrol the app once it has shown a code of the key."""
    person, key = _may_add(), request.form.get("key", "")
    if not factors.key_fits(key):
        return redirect(url_for("security_pages.new_app"), 303)
    code = "".join(request.form.get("code", "").split())[:10]
    try:
        codes = factors.add_app(person.user_id, key, code, _name(), now=now_utc())
    except (WrongCodeError, BadInputError) as error:
        text = gettext("The app shows another code now. Is the clock of the phone right?")
        wrong = text if isinstance(error, WrongCodeError) else str(error)
        return _app_page(person, key, wrong), error.status
    return _enrolled(codes)


@blueprint.post("/security/passkeys/ask")
def ask_passkey() -> ResponseReturnValue:
    """Return what the browser needs to make a passkey, as JSON."""
    person = _may_add()
    read_only()
    user = service.find_user(person.name)
    asked = passkeys.ask_new(access.session_secret() or "", user, now_utc())
    return asked, {"Content-Type": "application/json"}


@blueprint.post("/security/passkeys")
def add_passkey() -> ResponseReturnValue:
    """Enrol the passkey that the browser has made."""
    person, answer = _may_add(), request.form.get("passkey", "")
    secret = access.session_secret() or ""
    try:
        codes = passkeys.add(secret, person.user_id, answer, _name(), now=now_utc())
    except WrongCodeError as error:
        wrong = BadInputError(gettext("The passkey was not made. Try again."), "passkey")
        return _index(person, wrong), error.status
    except BadInputError as error:
        return _index(person, error), error.status
    return _enrolled(codes)


@blueprint.post("/security/factors/<int(max=2147483647):factor_id>/remove")
@require_role(Role.VIEWER)
@steps_up
def remove_factor(factor_id: int) -> ResponseReturnValue:
    """Remove a second factor of one's own."""
    person = identity()
    factors.remove(person.user_id, factor_id, actor=person.actor, now=now_utc())
    flash(gettext("It is removed."))
    return _back()


@blueprint.post("/security/codes")
@require_role(Role.VIEWER)
@steps_up
def renew_codes() -> ResponseReturnValue:
    """Make new recovery codes and show them, this once."""
    return _codes_page(factors.renew_codes(identity().user_id, now=now_utc()))


@blueprint.post("/security/sessions/<ref>/end")
@require_role(Role.VIEWER)
def end_session(ref: str) -> ResponseReturnValue:
    """Sign another browser of one's own out."""
    person = identity()
    if sessions.end_session(person.user_id, ref, actor=person.actor, now=now_utc()):
        flash(gettext("That browser is signed out."))
    return _back()


@blueprint.post("/security/sessions/end")
@require_role(Role.VIEWER)
def end_others() -> ResponseReturnValue:
    """Sign every other browser of one's own out."""
    person = identity()
    sessions.end_others(person.user_id, access.session_secret(), actor=person.actor, now=now_utc())
    flash(gettext("Every other browser is signed out."))
    return _back()


@blueprint.post("/security/tokens")
@require_role(Role.VIEWER)
@steps_up
def add_token() -> ResponseReturnValue:
    """Make an API token of one's own and show it, this once."""
    person = identity()
    try:
        token = tokens.create_token(
            person.name,
            request.form.get("label", ""),
            request.form.getlist("scopes"),
            actor=person.actor,
            now=now_utc(),
            days=number_in(request.form.get("days", "")) or 0,
        )
    except BadInputError as error:
        return _index(person, error), error.status
    return render_template("security/token.html", nav="settings", token=token)


@blueprint.post("/security/tokens/<ref>/revoke")
@require_role(Role.VIEWER)
def revoke_token(ref: str) -> ResponseReturnValue:
    """Revoke a token of one's own; that makes things safe, so nothing is asked first."""
    person = identity()
    if tokens.revoke_token(person.name, ref, actor=person.actor, now=now_utc()):
        flash(gettext("The token is revoked."))
    return _back()


def _may_add() -> Identity:
    """Return who asks, if they may add a factor: the first one freely, others when proved."""
    found = signed_in()
    if found.has_factor:
        demand_fresh()
    return found


def _enrolled(codes: list[str]) -> ResponseReturnValue:
    """Show the recovery codes of a first factor; else go back. The session is a new one."""
    db.session.rollback()
    secret = sessions.renew(access.session_secret() or "", now_utc(), proved=True)
    db.session.commit()
    flash(gettext("The second factor is enrolled."))
    return with_session(_codes_page(codes) if codes else _back(), secret)


def _codes_page(codes: list[str]) -> str:
    return render_template("security/codes.html", nav="settings", codes=codes, next=_next())


def _app_page(person: Identity, key: str, wrong: str = "") -> str:
    return render_template(
        "security/app.html",
        nav="settings",
        person=person,
        key=key,
        qr=_qr(factors.uri_of(key, person.name)),
        wrong_code=wrong,
        name=_name(),
        next=_next(),
    )


def _qr(text: str) -> Markup:
    """Return the QR code of *text* as an SVG without inline style, black on white."""
    drawn = segno.make(text, error="m").svg_inline(
        scale=QR_SCALE, dark="#000", light="#fff", svgclass="qr", lineclass=None
    )
    return Markup(drawn)  # noqa: S704 - our own drawing, no text in it


def _index(person: Identity, error: ServerError | None = None) -> str:
    read_only()
    now = now_utc()
    shown: dict[str, Any] = {
        "factors": factors.list_factors(person.user_id),
        "codes_left": factors.codes_left(person.user_id),
        "sessions": sessions.list_sessions(person.user_id, access.session_secret(), now),
        "tokens": [one for one in tokens.list_tokens(person.name) if one.revoked_at is None],
        "scopes": [scope for scope, role in sorted(SCOPES.items()) if person.may(role)],
    }
    return render_template(
        "security/index.html",
        nav="settings",
        person=person,
        error=error,
        typed=request.form,
        typed_scopes=request.form.getlist("scopes"),
        passkeys_possible=passkeys.are_possible(),
        wants_factor=person.role in GUARDED and not person.has_factor,
        ref_of=tokens.ref_of,
        browser_name=browser_name,
        next=request.values.get("next", ""),
        days=tokens.TOKEN_DAYS,
        **shown,
    )


def _name() -> str:
    return request.form.get("name", "").strip()[:NAME_CHARS_MAX]


def _next() -> str:
    return local_path(request.values.get("next")) or url_for("security_pages.index")


def _back() -> ResponseReturnValue:
    return redirect(_next(), 303)
