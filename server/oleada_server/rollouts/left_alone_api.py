"""REST of boxes that are left alone: ``/api/v1/left-alone/<device_id>``."""

from datetime import datetime
from typing import Any

from flask.typing import ResponseReturnValue
from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate
from oleada_wire.ids import normalise_device_id

from oleada_server.accounts.access import identity, require_scope
from oleada_server.clock import now_utc
from oleada_server.db import db, read_only
from oleada_server.devices import service as devices
from oleada_server.rollouts import left_alone
from oleada_server.rollouts.errors import BadPlanError
from oleada_server.rollouts.left_alone import Because
from oleada_server.rollouts.models import LeftAlone

blueprint = Blueprint(
    "left_alone", __name__, url_prefix="/api/v1/left-alone", description="Boxes left alone"
)


class Note(Schema):
    """Why a box is left alone, and until when, with a zone."""

    because = fields.String(required=True, validate=validate.OneOf([str(one) for one in Because]))
    until = fields.String(required=True)
    ref = fields.String(load_default="")


class Lift(Schema):
    """Which note to take back."""

    because = fields.String(required=True, validate=validate.OneOf([str(one) for one in Because]))


@blueprint.get("/<device_id>")
@blueprint.response(200)
@require_scope("devices:read")
def show(device_id: str) -> ResponseReturnValue:
    """Return why rollouts leave a box alone now; empty if they do not."""
    read_only()
    return _shown(normalise_device_id(device_id), now_utc())


@blueprint.post("/<device_id>")
@blueprint.arguments(Note)
@blueprint.response(200)
@require_scope("rollouts:write")
def note(body: dict[str, Any], device_id: str) -> ResponseReturnValue:
    """Let rollouts leave a box alone; a second note of the same kind replaces the first."""
    try:
        until = datetime.fromisoformat(body["until"])
    except ValueError as error:
        raise BadPlanError(f"{body['until'][:40]!r} is no ISO time.", "until") from error
    db.session.rollback()
    found, because, now = normalise_device_id(device_id), Because(body["because"]), now_utc()
    left_alone.note(found, because, until=until, ref=body["ref"], actor=identity().actor, now=now)
    return _shown(found, now)


@blueprint.post("/<device_id>/lift")
@blueprint.arguments(Lift)
@blueprint.response(200)
@require_scope("rollouts:write")
def lift(body: dict[str, Any], device_id: str) -> ResponseReturnValue:
    """Take a note back before its time."""
    db.session.rollback()
    found, now = normalise_device_id(device_id), now_utc()
    left_alone.lift(found, Because(body["because"]), actor=identity().actor, now=now)
    return _shown(found, now)


def _shown(device_id: str, now: datetime) -> dict[str, Any]:
    devices.get(device_id)
    return {
        "device_id": device_id,
        "left_alone": [_json(one) for one in left_alone.of(device_id, now)],
    }


def _json(one: LeftAlone) -> dict[str, Any]:
    return {
        "because": one.kind,
        "until": one.until.isoformat(),
        "ref": one.ref,
        "noted_at": one.noted_at.isoformat(),
        "noted_by": one.noted_by,
    }
