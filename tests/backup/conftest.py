"""Servers to back up and empty places to restore into, on either database."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from oleada_server import config as settings
from oleada_server import schema
from oleada_server.config import Config

from tests.backup.places import NewConfig, opened
from tests.support.postgres import Cluster


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with every table, made once."""
    home = tmp_path_factory.mktemp("template")
    with opened(settings.load(home, {})):
        schema.upgrade()
    return home / "oleada.db"


@pytest.fixture(scope="session")
def postgresql_template(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a PostgreSQL database with every table, made once."""
    name = cluster.create()
    home = tmp_path_factory.mktemp("template")
    with opened(replace(settings.load(home, {}), database_url=cluster.url(name))):
        schema.upgrade()
    return name


@pytest.fixture
def new_config(request: pytest.FixtureRequest, tmp_path: Path) -> NewConfig:
    """Make settings of a server called *name*, its database empty or with every table."""

    def make(name: str, database: str, *, has_tables: bool = True) -> Config:
        found = settings.load(tmp_path / name, {})
        found.data_dir.mkdir(mode=0o700)
        if database == "postgresql":
            cluster: Cluster = request.getfixturevalue("cluster")
            template = request.getfixturevalue("postgresql_template") if has_tables else "template1"
            return replace(found, database_url=cluster.url(cluster.create(template)))
        if has_tables:
            shutil.copy(request.getfixturevalue("sqlite_template"), found.data_dir / "oleada.db")
        return found

    return make
