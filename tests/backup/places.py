"""Servers without rows, and the rows of one as text that can be compared."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from flask import Flask
from oleada_server import config as settings
from oleada_server import schema
from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.backup import tables
from oleada_server.config import Config
from oleada_server.db import db
from oleada_store.keys import make_online_keys

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NewConfig = Callable[[str, str], Config]
"""Makes settings of a server of that name with an empty ``sqlite`` or ``postgresql`` database."""


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
def server(config: Config, revision: str = "head") -> Iterator[Flask]:
    """Yield the app of a server with keys and tables, but without rows."""
    config.data_dir.mkdir(mode=0o700)
    if config.database_url:
        settings.write(config, ["database_url"])
    make_online_keys(config.keys_dir)
    with opened(config) as app:
        schema.upgrade(revision)
        yield app


def written_rows() -> dict[str, bytes]:
    """Return the lines of each table of the current app, as a backup holds them."""
    with tables.snapshot(db.engine) as connection:
        return {
            table.name: b"".join(tables.lines(connection, table))
            for table in tables.described(connection)
        }
