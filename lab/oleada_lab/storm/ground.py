"""The ground of a storm: a real server on either database, and what its rows say afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flask import Flask
from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.config import Config
from oleada_server.db import db

from oleada_lab.operator import Operator, Places
from oleada_lab.postgres import Cluster

MODEL: Final = "VX-410"
DATABASES: Final = ("sqlite", "postgresql")


@dataclass(frozen=True, slots=True)
class Ground:
    """A server that runs.

    Attributes:
        home: A folder for whatever a storm needs.
    """

    home: Path
    operator: Operator

    @property
    def config(self) -> Config:
        """The server's settings."""
        return self.operator.server.config

    @property
    def ca_file(self) -> Path:
        """What boxes check broker and door against."""
        return self.config.pki_dir / "service-ca.pem"

    @contextmanager
    def rows(self) -> Iterator[Flask]:
        """Yield an app on the server's database, its context pushed."""
        app = create_app(self.config, WITHOUT_PAGES)
        with app.app_context():
            yield app
            db.session.remove()
            db.engine.dispose()


@contextmanager
def ground(home: Path, database: str, settings: dict[str, str | int]) -> Iterator[Ground]:
    """Yield a server with trust and without boxes; everything it started is gone afterwards.

    Args:
        home: An empty folder.
        database: One of ``DATABASES``.
        settings: Of the server, beside the database.

    Raises:
        LabError: A part did not start; says why.
    """
    with _database(database, home) as url:
        told = {**settings, **({"database_url": url} if url else {})}
        operator = Operator(Places.under(home), told)
        with operator.server:
            operator.establish([MODEL])
            yield Ground(home, operator)


@contextmanager
def _database(name: str, home: Path) -> Iterator[str]:
    if name == "sqlite":
        yield ""
        return
    cluster = Cluster(home / "postgresql")
    try:
        cluster.make()
        yield cluster.url
    finally:
        cluster.remove()
