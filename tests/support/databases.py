"""Databases with every table, made once in a process for every test that asks for one."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from oleada_server import config as settings
from oleada_server.app import create_app
from oleada_server.db import db

from tests.support.postgres import Cluster, running_cluster


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with every table, made once."""
    home = tmp_path_factory.mktemp("template")
    app = create_app(settings.load(home, {}), ())
    with app.app_context():
        _create_tables()
    return home / "oleada.db"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A private PostgreSQL cluster, started once."""
    with running_cluster(tmp_path_factory.mktemp("postgresql")) as found:
        yield found


@pytest.fixture(scope="session")
def postgresql_template(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a PostgreSQL database with every table, made once."""
    name = cluster.create()
    home = tmp_path_factory.mktemp("template")
    app = create_app(replace(settings.load(home, {}), database_url=cluster.url(name)), ())
    with app.app_context():
        _create_tables()
    return name


def _create_tables() -> None:
    db.create_all()
    db.session.remove()
    db.engine.dispose()
