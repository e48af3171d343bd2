"""People: users, one-time sign-in links, sessions, API tokens."""

from flask import Flask
from flask_smorest import Api


def register(app: Flask, api: Api) -> None:
    """Add sign-in, sign-out and preferences to *app*, ``/api/v1/me…`` to *api*."""
    from oleada_server.accounts import api as rest  # noqa: PLC0415 - models alone stay light
    from oleada_server.accounts import factor_views, forgery, users_api, views  # noqa: PLC0415

    forgery.register(app)
    app.register_blueprint(views.blueprint)
    app.register_blueprint(factor_views.blueprint)
    api.register_blueprint(rest.blueprint)
    api.register_blueprint(users_api.users)
    api.register_blueprint(users_api.asked)
