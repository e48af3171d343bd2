"""REST of the evidence: how it came to be, and the incidents that halts have opened."""

from typing import Any

from flask import Flask
from flask.typing import ResponseReturnValue
from flask_smorest import Api, Blueprint
from marshmallow import Schema, fields, validate

from oleada_server.accounts.access import identity, require_scope
from oleada_server.clock import now_utc
from oleada_server.db import read_only
from oleada_server.rollouts import service
from oleada_server.rollouts.api import number_of
from oleada_server.rollouts.evidence import closing, history, shown

blueprint = Blueprint(
    "evidence", __name__, url_prefix="/api/v1", description="What speaks for and against releases"
)


class Finding(Schema):
    """What was found to be the cause, or why there was none; must be said."""

    finding = fields.String(required=True, validate=validate.Length(min=1, max=2000))


def register(app: Flask, api: Api) -> None:  # noqa: ARG001 - every feature registers alike
    """Add the REST API of evidence."""
    api.register_blueprint(blueprint)


@blueprint.get("/rollouts/<rollout_ref>/evidence")
@blueprint.response(200)
@require_scope("rollouts:read")
def show(rollout_ref: str) -> ResponseReturnValue:
    """Return the counts and E over time, all strata, and the incidents of a rollout."""
    read_only()
    rollout = service.get(number_of(rollout_ref))
    moments = history.moments(rollout, rollout.ended_at or now_utc())
    return {
        "evidence": shown.summary(rollout),
        "moments": [shown.moment_json(moment) for moment in moments],
        "incidents": [shown.incident_json(one) for one in history.incidents(rollout.id)],
    }


@blueprint.get("/incidents")
@blueprint.response(200)
@require_scope("rollouts:read")
def incidents() -> ResponseReturnValue:
    """Return incidents, newest first."""
    read_only()
    return {"incidents": [shown.incident_json(one) for one in history.incidents()]}


@blueprint.post("/incidents/<incident_ref>/close")
@blueprint.arguments(Finding)
@blueprint.response(200)
@require_scope("rollouts:write")
def close(body: dict[str, Any], incident_ref: str) -> ResponseReturnValue:
    """Close an incident with what was found; the digest stays denied all the same."""
    found = closing.close(incident_ref, body["finding"], actor=identity().actor, now=now_utc())
    return shown.incident_json(found)
