"""Wiring: one Flask app from settings and features; starts no thread, opens no socket.

Each feature module offers ``register(app, api)`` and adds its own blueprints. The same
app serves the console and REST (``create_app``) and the device door (``create_door``),
which answers nothing but what boxes ask.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Final

from flask import Flask, abort, request
from flask_smorest import Api

from oleada_server import config as settings
from oleada_server import models
from oleada_server.config import Config
from oleada_server.db import db, let_go
from oleada_server.enrolment.peer import refuse_bad_certificates
from oleada_server.inputs import check_request
from oleada_server.late_api import LateApi
from oleada_server.problems import register_error_handlers
from oleada_server.restored import check_finished
from oleada_server.secret import secret_key

PAGES: Final = "oleada_server.web"
FEATURES: Final = (
    "oleada_server.health",
    "oleada_server.accounts",
    "oleada_server.audit.api",
    "oleada_server.devices.api",
    "oleada_server.actions.api",
    "oleada_server.diagnosis.api",
    "oleada_server.enrolment.api",
    "oleada_server.enrolment.est",
    "oleada_server.releases.api",
    "oleada_server.rollouts.api",
    "oleada_server.rollouts.evidence.api",
    PAGES,
)
WITHOUT_PAGES: Final = tuple(name for name in FEATURES if name != PAGES)
BODY_BYTES_MAX: Final = 1024 * 1024
BUNDLE_TYPE: Final = "application/vnd.oleada.bundle"
CONNECT_S: Final = 5
"""How long a request waits for a connection to the database, in seconds."""
DOOR_PATHS: Final = ("/device/", "/.well-known/est/", "/artifacts/", "/tuf/", "/healthz")

assert models, "every table is known before a query is made"  # noqa: S101


def create_app(config: Config | None = None, features: Sequence[str] = FEATURES) -> Flask:
    """Return the app for *config*, by default the settings of the data directory.

    Args:
        config: The settings.
        features: Modules that add blueprints; processes without pages leave them out.

    Raises:
        BadSettingError: a setting is unknown, of the wrong kind or out of range.
        RestoreUnfinishedError: a restore into the data directory was interrupted.
    """
    if config is None:
        config = settings.load()
        check_finished(config.data_dir)
    app = Flask("oleada_server")
    app.extensions["oleada_config"] = config
    app.config.update(
        SECRET_KEY=secret_key(config),
        SQLALCHEMY_DATABASE_URI=config.database,
        SQLALCHEMY_ENGINE_OPTIONS=_engine_options(config),
        API_TITLE="Oleada",
        API_VERSION="v1",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/api/v1",
        OPENAPI_JSON_PATH="openapi.json",
    )
    db.init_app(app)
    app.teardown_appcontext(let_go)  # the last that is added is the first that is called
    api = LateApi(app)
    register_error_handlers(app)
    app.before_request(_limit_body)
    app.before_request(check_request)
    app.extensions["oleada_pages"] = PAGES in features
    for name in features:
        register_feature(name, app, api)
    return app


def create_door(config: Config | None = None) -> Flask:
    """Return the app of the device door: enrolment, artifacts and TUF files, no more."""
    app = create_app(config, WITHOUT_PAGES)

    def refuse_what_boxes_do_not_ask() -> None:
        if not request.path.startswith(DOOR_PATHS):
            abort(404)

    first = (refuse_what_boxes_do_not_ask, refuse_bad_certificates)
    app.before_request_funcs.setdefault(None, [])[:0] = first
    return app


def register_feature(name: str, app: Flask, api: Api) -> None:
    """Let the feature in module *name* add its blueprints."""
    import_module(name).register(app, api)


def _limit_body() -> None:
    """Read small bodies only; a bundle is a stream that its reader bounds."""
    if request.mimetype != BUNDLE_TYPE:
        request.max_content_length = BODY_BYTES_MAX


def _engine_options(config: Config) -> dict[str, object]:
    if config.database.startswith("sqlite"):
        return {}
    return {
        "pool_pre_ping": True,
        "pool_size": 10,
        "max_overflow": config.web_threads,
        "pool_timeout": CONNECT_S,
        # A host that is gone without a word must not hold a thread for the minutes that
        # TCP allows; the names are libpq's.
        "connect_args": {
            "connect_timeout": CONNECT_S,
            "keepalives_idle": CONNECT_S,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 3 * CONNECT_S * 1000,
        },
    }
