"""Servers to back up and empty places to restore into, on either database."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from oleada_server import config as settings
from oleada_server.config import Config

from tests.backup.places import NewConfig
from tests.support.postgres import Cluster, running_cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A private PostgreSQL cluster; kept for the whole run."""
    with running_cluster(tmp_path_factory.mktemp("postgresql")) as found:
        yield found


@pytest.fixture
def new_config(request: pytest.FixtureRequest, tmp_path: Path) -> NewConfig:
    """Make settings of a server called *name* with an empty database of its own."""

    def make(name: str, database: str) -> Config:
        found = settings.load(tmp_path / name, {})
        if database == "postgresql":
            cluster: Cluster = request.getfixturevalue("cluster")
            found = replace(found, database_url=cluster.url(cluster.create()))
        return found

    return make
