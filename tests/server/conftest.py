"""The server's app on both databases: a copied SQLite file, a cloned PostgreSQL database."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from flask import Flask
from oleada_server import config as settings
from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.config import Config
from oleada_server.db import db

from tests.support.postgres import Cluster

ONLINE_KEYS = ("director", "snapshot", "timestamp")


@pytest.fixture(scope="session")
def online_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the server's online keys, made once."""
    home = tmp_path_factory.mktemp("keys")
    for name in ONLINE_KEYS:
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (home / f"{name}.pem").write_bytes(pem)
        (home / f"{name}.pem").chmod(0o600)
    return home


@pytest.fixture
def config(tmp_path: Path, online_keys: Path) -> Config:
    """Settings of a data directory of its own, with online keys, on SQLite.

    Second factors are offered, so that people of a test act by their role alone; those
    about factors ask for what is the default.
    """
    home = tmp_path / "oleada"
    shutil.copytree(online_keys, home / "keys")
    return settings.load(home, {"OLEADA_SECOND_FACTOR": "offered"})


@pytest.fixture
def sqlite_config(config: Config, sqlite_template: Path) -> Config:
    """Settings with an SQLite database that has every table and no row."""
    shutil.copy(sqlite_template, config.data_dir / "oleada.db")
    return config


@pytest.fixture
def postgresql_config(
    config: Config, cluster: Cluster, postgresql_template: str
) -> Iterator[Config]:
    """Settings with a PostgreSQL database that has every table and no row."""
    name = cluster.lend(postgresql_template)
    yield replace(config, database_url=cluster.url(name))
    cluster.take_back(name)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def database_config(request: pytest.FixtureRequest) -> Config:
    """Settings with an empty database: the test runs on SQLite and on PostgreSQL."""
    found: Config = request.getfixturevalue(f"{request.param}_config")
    return found


@pytest.fixture
def app(database_config: Config) -> Iterator[Flask]:
    """The app with its context pushed, on SQLite and on PostgreSQL."""
    yield from _pushed(create_app(database_config, WITHOUT_PAGES))


@pytest.fixture
def sqlite_app(sqlite_config: Config) -> Iterator[Flask]:
    """The app with its context pushed, on SQLite only: for what has no SQL of its own."""
    yield from _pushed(create_app(sqlite_config, WITHOUT_PAGES))


@pytest.fixture
def in_fresh_session(app: Flask) -> Callable[[], None]:
    """Forget what the session holds, so that the next read comes from the database."""

    def forget() -> None:
        with app.app_context():
            db.session.rollback()
            db.session.expire_all()

    return forget


def _pushed(app: Flask) -> Iterator[Flask]:
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()
