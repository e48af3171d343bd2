"""REST of groups of boxes: ``/api/v1/groups``. Reads the request, calls, shapes the answer."""

from typing import Any

from flask.typing import ResponseReturnValue
from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate
from oleada_wire.ids import normalise_device_id

from oleada_server.accounts.access import identity, require_scope
from oleada_server.clock import now_utc
from oleada_server.db import db, read_only
from oleada_server.rollouts import groups
from oleada_server.rollouts.cover import where_from, where_json
from oleada_server.rollouts.groups import Group
from oleada_server.rollouts.rules_schema import WherePlan

blueprint = Blueprint(
    "groups", __name__, url_prefix="/api/v1/groups", description="Groups of boxes"
)
BOXES_AT_ONCE = 5000


class NewGroup(Schema):
    """A group; with *rule* its boxes are those that the rule is true of, else none at first."""

    name = fields.String(required=True)
    note = fields.String(load_default="")
    rule = fields.Nested(WherePlan)


class GroupBoxes(Schema):
    """Which boxes to put into a group, and which to take out."""

    add = fields.List(
        fields.String(), load_default=list, validate=validate.Length(max=BOXES_AT_ONCE)
    )
    remove = fields.List(
        fields.String(), load_default=list, validate=validate.Length(max=BOXES_AT_ONCE)
    )


class MembersQuery(Schema):
    """Which of the listed boxes, from the one behind *after* on."""

    after = fields.String(load_default="")
    limit = fields.Integer(load_default=100, validate=validate.Range(1, 500))


@blueprint.get("")
@blueprint.response(200)
@require_scope("devices:read")
def list_groups() -> ResponseReturnValue:
    """Return every group by name."""
    read_only()
    return {"groups": [_json(group) for group in groups.list_groups()]}


@blueprint.post("")
@blueprint.arguments(NewGroup)
@blueprint.response(201)
@require_scope("rollouts:write")
def create(body: dict[str, Any]) -> ResponseReturnValue:
    """Make a group, empty or by rule."""
    rule = where_from(body["rule"]) if "rule" in body else None
    db.session.rollback()
    groups.create(body["name"], note=body["note"], rule=rule, actor=identity().actor, now=now_utc())
    return _json(groups.get(body["name"]))


@blueprint.get("/<group_name>")
@blueprint.arguments(MembersQuery, location="query")
@blueprint.response(200)
@require_scope("devices:read")
def show(query: dict[str, Any], group_name: str) -> ResponseReturnValue:
    """Return a group with its listed boxes; *next* is what to send as *after*."""
    read_only()
    found = groups.get(group_name)
    listed = list(groups.members(group_name, after=query["after"], limit=query["limit"]))
    full = len(listed) == query["limit"]
    return {**_json(found), "device_ids": listed, "next": listed[-1] if full else None}


@blueprint.post("/<group_name>/boxes")
@blueprint.arguments(GroupBoxes)
@blueprint.response(200)
@require_scope("rollouts:write")
def change(body: dict[str, Any], group_name: str) -> ResponseReturnValue:
    """Put boxes into a group that lists its boxes, and take others out."""
    found = groups.change(
        group_name,
        add=[normalise_device_id(text) for text in body["add"]],
        remove=[normalise_device_id(text) for text in body["remove"]],
        actor=identity().actor,
        now=now_utc(),
    )
    return _json(found)


@blueprint.post("/<group_name>/remove")
@blueprint.response(200)
@require_scope("rollouts:write")
def remove(group_name: str) -> ResponseReturnValue:
    """Remove a group that no rollout on its way chooses by."""
    groups.remove(group_name, actor=identity().actor, now=now_utc())
    return {"removed": group_name}


def _json(group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "note": group.note,
        "rule": group.rule and where_json(group.rule),
        "boxes": group.boxes,
        "created_at": group.created_at.isoformat(),
        "created_by": group.created_by,
    }
