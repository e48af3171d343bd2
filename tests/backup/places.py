"""Servers without rows, and the rows of one as text that can be compared."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

from flask import Flask
from oleada_server import config as settings
from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.backup import tables
from oleada_server.config import Config
from oleada_server.db import db
from oleada_store.keys import make_online_keys

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class NewConfig(Protocol):
    """Makes settings of a server called *name* on ``sqlite`` or ``postgresql``."""

    def __call__(self, name: str, database: str, *, has_tables: bool = True) -> Config:
        """Return them; the database is empty, or has every table and no row."""


@contextmanager
def opened(config: Config) -> Iterator[Flask]:
    """Yield the app of *config* with its context pushed; leave no connection open."""
    app = create_app(config, WITHOUT_PAGES)
    with app.app_context():
        try:
            yield app
        finally:
            db.session.remove()
            db.engine.dispose()


@contextmanager
def server(config: Config) -> Iterator[Flask]:
    """Yield the app of a server with online keys."""
    if config.database_url:
        settings.write(config, ["database_url"])
    make_online_keys(config.keys_dir)
    with opened(config) as app:
        yield app


def written_rows() -> dict[str, bytes]:
    """Return the lines of each table of the current app, as a backup holds them."""
    with tables.snapshot(db.engine) as connection:
        return {
            table.name: b"".join(tables.lines(connection, table))
            for table in tables.described(connection)
        }
