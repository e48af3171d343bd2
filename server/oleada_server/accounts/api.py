"""``GET /api/v1/me``: who asks, and what they may do; a program's first call."""

from flask.typing import ResponseReturnValue
from flask_smorest import Blueprint
from marshmallow import Schema, fields

from oleada_server.accounts import access
from oleada_server.accounts.rights import SCOPES

blueprint = Blueprint("me", __name__, url_prefix="/api/v1", description="Who asks")


class Me(Schema):
    """Who asks; *scopes* are those that hold now."""

    name = fields.String(required=True)
    full_name = fields.String(required=True)
    role = fields.String(required=True)
    scopes = fields.List(fields.String(), required=True)


@blueprint.get("/me")
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
