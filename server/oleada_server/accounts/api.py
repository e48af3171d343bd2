"""``/api/v1/me``: who asks, and their own second factors, browsers and API tokens.

The rules are those of the page (``web/my_security.py``). A token may less than its owner in
a browser does, because it lies in files of machines: it enrols no first factor, makes no
token with scopes that it lacks, and none that outlives it unless a second factor was proved
for that. What makes things safe, ending and revoking, waits for nothing.
"""

from datetime import timedelta
from typing import Any, Final

from flask import current_app
from flask.typing import ResponseReturnValue
from flask_smorest import Blueprint
from marshmallow import Schema, fields
from marshmallow.validate import Length, Range

from oleada_server.accounts import access, factors, service, sessions, tokens
from oleada_server.accounts.access import demand_fresh, identity, require_scope, signed_in, steps_up
from oleada_server.accounts.errors import (
    FirstFactorError,
    SessionNotFoundError,
    TokenNotFoundError,
)
from oleada_server.accounts.models import ApiToken, SecondFactor
from oleada_server.accounts.rights import SCOPES, Identity
from oleada_server.accounts.views import with_session
from oleada_server.clock import now_utc
from oleada_server.db import db, read_only
from oleada_server.errors import BadInputError

ID_MAX: Final = 2**31 - 1
NAME_CHARS_MAX: Final = 80
KEY_CHARS_MAX: Final = 80
CODE_CHARS_MAX: Final = 40

blueprint = Blueprint("me", __name__, url_prefix="/api/v1/me", description="Who asks")


class Me(Schema):
    """Who asks; *scopes* are those that hold now."""

    name = fields.String(required=True)
    full_name = fields.String(required=True)
    role = fields.String(required=True)
    scopes = fields.List(fields.String(), required=True)


class NewApp(Schema):
    """The key that the app was told, a code that it shows, and what it is called."""

    key = fields.String(required=True, validate=Length(1, KEY_CHARS_MAX))
    code = fields.String(required=True, validate=Length(1, CODE_CHARS_MAX))
    name = fields.String(load_default="", validate=Length(0, NAME_CHARS_MAX))


class NewToken(Schema):
    """What a token is for, what it may, and for how many days."""

    label = fields.String(required=True, validate=Length(1, NAME_CHARS_MAX))
    scopes = fields.List(fields.String(), required=True, validate=Length(1, 50))
    days = fields.Integer(
        strict=True, load_default=tokens.TOKEN_DAYS, validate=Range(1, tokens.TOKEN_DAYS_MAX)
    )


@blueprint.get("")
@blueprint.response(200, Me)
def me() -> ResponseReturnValue:
    """Return who asks, and which scopes this token or session has."""
    found = access.identity()
    return {
        "name": found.name,
        "full_name": found.full_name,
        "role": found.role.value,
        "scopes": sorted(scope for scope in SCOPES if found.may_scope(scope)),
    }


@blueprint.get("/factors")
@blueprint.response(200)
@require_scope("security:read")
def list_factors() -> ResponseReturnValue:
    """List one's second factors, and how many recovery codes are left."""
    read_only()
    user_id = identity().user_id
    return {
        "factors": [_factor(one) for one in factors.list_factors(user_id)],
        "codes_left": factors.codes_left(user_id),
    }


@blueprint.post("/factors/app")
@blueprint.response(200)
@require_scope("security:write")
def begin_app() -> ResponseReturnValue:
    """Return a new key for an authenticator app, and the address of its QR code."""
    made = factors.new_app(_may_add().name)
    return {"key": made.key, "uri": made.uri}


@blueprint.post("/factors")
@blueprint.arguments(NewApp)
@blueprint.response(201)
@require_scope("security:write")
def finish_app(asked: dict[str, Any]) -> ResponseReturnValue:
    """Enrol the app by a code of its key; with a first factor come recovery codes, this once."""
    person = _may_add()
    if not factors.key_fits(asked["key"]):
        raise BadInputError("Send the key as it was given: 32 letters and digits.", "key")
    code = "".join(asked["code"].split())
    codes = factors.add_app(person.user_id, asked["key"], code, asked["name"], now=now_utc())
    return _renewed(person, {"recovery_codes": codes})


@blueprint.post(f"/factors/<int(max={ID_MAX}):factor_id>/remove")
@blueprint.response(204)
@require_scope("security:write")
@steps_up
def remove_factor(factor_id: int) -> None:
    """Remove a second factor of one's own."""
    person = identity()
    factors.remove(person.user_id, factor_id, actor=person.actor, now=now_utc())


@blueprint.post("/recovery-codes")
@blueprint.response(200)
@require_scope("security:write")
@steps_up
def renew_codes() -> ResponseReturnValue:
    """Make new recovery codes, shown this once; those before work no more."""
    return {"recovery_codes": factors.renew_codes(identity().user_id, now=now_utc())}


@blueprint.get("/sessions")
@blueprint.response(200)
@require_scope("security:read")
def list_sessions() -> ResponseReturnValue:
    """List the browsers in which one is signed in."""
    read_only()
    found = sessions.list_sessions(identity().user_id, _own_session(), now_utc())
    return {
        "sessions": [
            {
                "ref": one.ref,
                "began_at": one.created_at.isoformat(),
                "last_used_at": one.last_used_at.isoformat(),
                "address": one.address,
                "browser": one.browser,
                "is_this": one.is_this,
            }
            for one in found
        ]
    }


@blueprint.post("/sessions/<ref>/end")
@blueprint.response(204)
@require_scope("security:write")
def end_session(ref: str) -> None:
    """Sign one browser of one's own out."""
    person = identity()
    if not sessions.end_session(person.user_id, ref, actor=person.actor, now=now_utc()):
        raise SessionNotFoundError(ref)


@blueprint.post("/sessions/end")
@blueprint.response(200)
@require_scope("security:write")
def end_sessions() -> ResponseReturnValue:
    """Sign every browser of one's own out but the one that asks."""
    person = identity()
    ended = sessions.end_others(person.user_id, _own_session(), actor=person.actor, now=now_utc())
    return {"ended": ended}


@blueprint.get("/tokens")
@blueprint.response(200)
@require_scope("security:read")
def list_tokens() -> ResponseReturnValue:
    """List one's API tokens that were not revoked, newest first; what they are is not known."""
    read_only()
    found = tokens.list_tokens(identity().name)
    return {"tokens": [_token(one) for one in found if one.revoked_at is None]}


@blueprint.post("/tokens")
@blueprint.arguments(NewToken)
@blueprint.response(201)
@require_scope("security:write")
@steps_up
def make_token(asked: dict[str, Any]) -> ResponseReturnValue:
    """Make an API token of one's own; it is shown this once."""
    person, now = identity(), now_utc()
    tokens.demand_no_wider(access.bearer(), person, asked["scopes"], asked["days"], now)
    token = tokens.create_token(
        person.name, asked["label"], asked["scopes"], actor=person.actor, now=now,
        days=asked["days"],
    )  # fmt: skip
    return {
        "token": token,
        "ref": service.digest(token)[: tokens.REF_CHARS],
        "expires_at": (now + timedelta(days=asked["days"])).isoformat(),
    }


@blueprint.post("/tokens/<ref>/revoke")
@blueprint.response(204)
@require_scope("security:write")
def revoke_token(ref: str) -> None:
    """Revoke a token of one's own; also the one that asks."""
    person = identity()
    if not tokens.revoke_token(person.name, ref, actor=person.actor, now=now_utc()):
        raise TokenNotFoundError(ref)


def _may_add() -> Identity:
    """Return who asks, if they may add a factor: a first one in a browser, others when proved.

    Raises:
        FirstFactorError: A token asks for a first one.
        StepUpRequiredError: Another one is to be proved first.
    """
    found = signed_in()
    if found.has_factor:
        demand_fresh()
    elif found.scopes is not None and not found.is_local:
        raise FirstFactorError
    return found


def _renewed(person: Identity, answer: dict[str, Any]) -> ResponseReturnValue:
    """Answer after rights grew: a browser's session gets a new secret."""
    secret = _own_session()
    if person.scopes is not None or secret is None:
        return answer, 201
    db.session.rollback()
    fresh = sessions.renew(secret, now_utc(), proved=True)
    db.session.commit()
    made = current_app.make_response((answer, 201))
    return with_session(made, fresh)


def _own_session() -> str | None:
    """Return the secret of the session that asks; None for a token, whatever cookie it sends."""
    return access.session_secret() if identity().scopes is None else None


def _factor(one: SecondFactor) -> dict[str, Any]:
    return {
        "id": one.id,
        "kind": str(one.kind),
        "name": one.name,
        "enrolled_at": one.created_at.isoformat(),
        "last_used_at": one.last_used_at and one.last_used_at.isoformat(),
    }


def _token(one: ApiToken) -> dict[str, Any]:
    return {
        "ref": tokens.ref_of(one),
        "begins": one.hint,
        "label": one.name,
        "scopes": one.scopes,
        "made_at": one.created_at.isoformat(),
        "made_by": one.created_by,
        "expires_at": one.expires_at.isoformat(),
        "last_used_at": one.last_used_at and one.last_used_at.isoformat(),
    }
