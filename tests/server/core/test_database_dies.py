"""A database that dies at the very end of a request takes no answer back that is ready."""

import pytest
from flask import Flask
from oleada_server.app import create_app
from oleada_server.config import Config
from oleada_server.db import db
from sqlalchemy import text

from tests.support.postgres import Cluster


@pytest.mark.real
def test_an_answer_that_is_ready_outlives_the_database(
    postgresql_config: Config, cluster: Cluster
) -> None:
    app = create_app(postgresql_config, ())

    @app.get("/api/v1/asked")
    def asked() -> str:
        db.session.execute(text("SELECT 1"))
        if deaths.pop():
            cluster.cut_off(_name(app))
        return "answered"

    deaths = [False, True]
    client = app.test_client()

    assert [client.get("/api/v1/asked").text for _ in range(2)] == ["answered", "answered"]
    with app.app_context():
        db.engine.dispose()


def _name(app: Flask) -> str:
    with app.app_context():
        return str(db.engine.url.database)
