"""``GET /healthz``: the process runs and reaches its database; for supervisors."""

from flask import Blueprint, Flask
from flask.typing import ResponseReturnValue
from flask_smorest import Api
from sqlalchemy import text

from oleada_server.db import db, read_only

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Say ``ok`` once the database has answered."""
    read_only()
    db.session.execute(text("SELECT 1"))
    return "ok\n", 200, {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"}


def register(app: Flask, api: Api) -> None:  # noqa: ARG001 - every feature is called alike
    """Add the blueprint."""
    app.register_blueprint(blueprint)
