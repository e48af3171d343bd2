"""The health of the fleet and of each model, with the same figures."""

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from oleada_server.accounts.access import require_role
from oleada_server.accounts.models import Role
from oleada_server.clock import now_utc
from oleada_server.db import read_only
from oleada_server.devices import service as devices
from oleada_server.diagnosis import figures, reading

blueprint = Blueprint("health_pages", __name__)


@blueprint.get("/health")
@require_role(Role.VIEWER)
def show() -> ResponseReturnValue:
    """Show how many boxes show each sign: of one model, or of the fleet."""
    read_only()
    models = sorted(devices.model_counts())
    asked = request.args.get("model", "")
    model = asked if asked in models else None
    found = figures.of_model(reading.library(), model, now_utc())
    return render_template(
        "diagnosis/health.html", nav="devices", models=models, model=model, health=found,
        boxes_max=figures.BOXES_MAX,
    )  # fmt: skip
