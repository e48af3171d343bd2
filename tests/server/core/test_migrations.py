"""Migrations: they lead to the models and back, on both databases, over a filled one."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from oleada_server import config as settings
from oleada_server import schema
from oleada_server.app import create_app
from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.devices import service as devices
from oleada_server.rollouts import service as rollouts
from oleada_server.rollouts.evidence import folding
from oleada_server.rollouts.evidence.models import BoxOutcome, OutcomeCurve, StratumRow
from oleada_server.rollouts.models import BoxInWave
from oleada_server.rollouts.states import BoxState, RolloutState
from oleada_server.telemetry import service as telemetry
from sqlalchemy import inspect

from tests.server.rollouts.evidence.trials import judged
from tests.server.rollouts.fleet import a_fleet, a_release
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


def a_log_of_outcomes() -> int:
    """Store an ended rollout with the two changes of one box; return its number."""
    boxes = a_fleet(1)
    a_release()
    number = rollouts.create(judged(), actor="user:ana", now=NOON)
    rollout = rollouts.get(number)
    rollout.state = RolloutState.FINISHED
    box = BoxInWave(
        rollout_id=number, wave_id=rollout.waves[0].id, device_id=boxes[0],
        state=BoxState.UPDATED, changed_at=NOON,
    )  # fmt: skip
    stratum = StratumRow(rollout_id=number, version="1.0.0", boxes=1)
    db.session.add_all([box, stratum])
    db.session.flush()
    for was, now_is, minutes in ((None, "open", 0), ("open", "good", 30)):
        db.session.add(
            BoxOutcome(
                rollout_id=number, stratum_id=stratum.id, box_id=box.id, attempt=1,
                was=was, now=now_is, at=NOON + timedelta(minutes=minutes),
            )
        )  # fmt: skip
    db.session.commit()
    return number


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


def test_the_sum_of_a_log_of_outcomes_is_made_anew_after_a_way_down_and_up(
    empty_app: Flask,
) -> None:
    schema.upgrade()
    rollout_id = a_log_of_outcomes()
    assert folding.fold(rollout_id, least=1)
    before = list(folding.changes(rollout_id))
    db.session.remove()

    schema.downgrade("0023")
    schema.upgrade()

    assert folding.is_due(rollout_id, least=2)
    assert folding.tick(NOON) == 1
    assert sorted(folding.changes(rollout_id)) == sorted(before)
    assert folding.is_whole(rollout_id)
    assert db.session.query(OutcomeCurve).count() == 3, "open, and good but no more open"


def test_a_database_of_another_revision_is_refused_with_what_to_do(empty_app: Flask) -> None:
    with pytest.raises(schema.SchemaNotCurrentError, match="oleada db upgrade"):
        schema.check_current()


def test_foreign_keys_hold_after_a_migration(empty_app: Flask) -> None:
    schema.upgrade()

    with db.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
