"""Migrations: they lead to the models and back, on both databases, over a filled one."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from oleada_server import config as settings
from oleada_server import schema
from oleada_server.app import create_app
from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.devices import service as devices
from oleada_server.telemetry import service as telemetry
from sqlalchemy import inspect

from tests.support.fleet import a_health, a_hello, add_device
from tests.support.postgres import Cluster

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BOX = "VX417Q3K0928"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def empty_app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    """The app on a database without any table."""
    config = settings.load(tmp_path, {})
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("cluster")
        config = replace(config, database_url=cluster.url(cluster.create()))
    app = create_app(config, ())
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


def _fill() -> None:
    add_device(BOX)
    devices.record_hello(BOX, a_hello(), NOON)
    telemetry.record_health([(BOX, a_health(seq=2))], NOON)
    audit.record("user:nora", "device.claim", "serial:SN-1", now=NOON, after={"a": 1})
    db.session.commit()


def test_migrations_lead_to_exactly_what_the_models_say(empty_app: Flask) -> None:
    schema.upgrade()

    assert schema.differences() == []
    schema.check_current()


def test_an_upgrade_twice_is_an_upgrade_once(empty_app: Flask) -> None:
    schema.upgrade()
    _fill()
    schema.upgrade()

    assert devices.get(BOX).version == "1.0.0"


def test_every_revision_leads_down_and_up_again_over_rows(empty_app: Flask) -> None:
    schema.upgrade()
    _fill()
    db.session.remove()

    schema.downgrade("base")
    assert set(inspect(db.engine).get_table_names()) <= {"alembic_version"}
    schema.upgrade()

    _fill()
    assert schema.differences() == []


def test_a_database_of_another_revision_is_refused_with_what_to_do(empty_app: Flask) -> None:
    with pytest.raises(schema.SchemaNotCurrentError, match="oleada db upgrade"):
        schema.check_current()


def test_foreign_keys_hold_after_a_migration(empty_app: Flask) -> None:
    schema.upgrade()

    with db.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
