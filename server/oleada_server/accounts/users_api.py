"""REST of people: who there is, what role they have, and what waits for a second person."""

from typing import Any, Final

from flask.typing import ResponseReturnValue
from flask_smorest import Blueprint
from marshmallow import Schema, fields
from marshmallow.validate import Length, OneOf

from oleada_server.accounts import rights_given, second_person, service
from oleada_server.accounts.access import demand_on_user, identity, require_scope, steps_up
from oleada_server.accounts.models import AskedDeed, Role, User
from oleada_server.accounts.objects import Deed
from oleada_server.clock import now_utc
from oleada_server.db import read_only

ID_MAX: Final = 2**31 - 1

users = Blueprint("users", __name__, url_prefix="/api/v1/users", description="People")
asked = Blueprint(
    "asked", __name__, url_prefix="/api/v1/asked", description="What waits for a second person"
)


class NewRole(Schema):
    """The role that somebody gets, and why; a second person reads it."""

    role = fields.String(required=True, validate=OneOf([str(role) for role in Role]))
    reason = fields.String(load_default="", validate=Length(0, second_person.REASON_CHARS_MAX))


class Why(Schema):
    """Why; a second person reads it, if one is needed."""

    reason = fields.String(load_default="", validate=Length(0, second_person.REASON_CHARS_MAX))


@users.get("")
@users.response(200)
@require_scope("accounts:read")
def list_users() -> ResponseReturnValue:
    """List everybody, by name."""
    read_only()
    return {"users": [_user(one) for one in service.list_users()]}


@users.post("/<name>/role")
@users.arguments(NewRole)
@users.response(200)
@require_scope("accounts:write")
@steps_up
def change_role(body: dict[str, Any], name: str) -> ResponseReturnValue:
    """Give somebody another role, or ask for it: *asked* is its number, null when it is done."""
    person, role = identity(), Role(body["role"])
    demand_on_user(Deed.CHANGE_ROLE, name, role)
    number = rights_given.change_role(name, role, body["reason"], person=person, now=now_utc())
    return {"asked": number}


@users.post("/<name>/disable")
@users.response(204)
@require_scope("accounts:write")
@steps_up
def disable(name: str) -> None:
    """Shut somebody out: sessions, links and tokens end at once. Twice is harmless."""
    demand_on_user(Deed.SHUT_OUT, name)
    service.disable_user(name, actor=identity().actor, now=now_utc(), keep_admin=True)


@users.post("/<name>/enable")
@users.response(204)
@require_scope("accounts:write")
@steps_up
def enable(name: str) -> None:
    """Let somebody in again who was shut out: as a viewer, by a new one-time link alone."""
    demand_on_user(Deed.LET_IN, name)
    service.let_in_again(name, actor=identity().actor, now=now_utc())


@users.post("/<name>/reset-factors")
@users.arguments(Why)
@users.response(200)
@require_scope("accounts:write")
@steps_up
def reset_factors(body: dict[str, Any], name: str) -> ResponseReturnValue:
    """Take every second factor of somebody, or ask for it: *asked* is null when it is done."""
    demand_on_user(Deed.RESET_FACTORS, name)
    person = identity()
    return {"asked": rights_given.reset_factors(name, body["reason"], person=person, now=now_utc())}


@asked.get("")
@asked.response(200)
@require_scope("audit:read")
def list_asked() -> ResponseReturnValue:
    """List what waits for a second person, oldest first."""
    read_only()
    return {"asked": [_deed(one) for one in second_person.waiting(now_utc())]}


@asked.post(f"/<int(max={ID_MAX}):deed_id>/confirm")
@asked.response(204)
@require_scope("audit:read")
@steps_up
def confirm(deed_id: int) -> None:
    """Confirm what somebody else asked for, which does it; wants the scope of the deed as well."""
    second_person.decide(deed_id, identity(), confirm=True, now=now_utc())


@asked.post(f"/<int(max={ID_MAX}):deed_id>/decline")
@asked.response(204)
@require_scope("audit:read")
@steps_up
def decline(deed_id: int) -> None:
    """Decline what somebody asked for, or take back what one asked for oneself."""
    second_person.decide(deed_id, identity(), confirm=False, now=now_utc())


def _user(one: User) -> dict[str, Any]:
    return {
        "name": one.name,
        "full_name": one.full_name,
        "role": str(one.role),
        "added_at": one.created_at.isoformat(),
        "shut_out_at": one.disabled_at and one.disabled_at.isoformat(),
    }


def _deed(one: AskedDeed) -> dict[str, Any]:
    return {
        "id": one.id,
        "action": one.action,
        "object_ref": one.object_ref,
        "body": one.body,
        "reason": one.reason,
        "asked_by": one.asked_by,
        "asked_at": one.asked_at.isoformat(),
        "expires_at": (one.asked_at + second_person.LIVES).isoformat(),
        "scope": second_person.doer_of(one.action).SCOPE,
    }
