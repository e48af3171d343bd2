"""SQLite without room: nothing is acknowledged, nothing is half there, and room heals it."""

import sqlite3
from pathlib import Path

import pytest
from flask import Flask
from oleada_server import outage
from oleada_server.audit import service as audit
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.messaging import inbox
from oleada_server.messaging.inbox import Incoming
from oleada_server.outage import DatabaseAwayError, DiskFullError
from oleada_server.telemetry.models import HealthSample
from oleada_wire import messages, topics
from oleada_wire.topics import Up
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError

from tests.support.fleet import START, a_health, add_device

BOX = "VX417Q3K0928"
HEALTH = topics.up(BOX, Up.HEALTH)


def _limit(pages: int | None) -> None:
    """Let the database have no page more than it has, or as many as it likes."""
    used = db.session.execute(text("PRAGMA page_count")).scalar_one()
    db.session.execute(text(f"PRAGMA max_page_count = {used if pages is None else pages}"))
    db.session.commit()


def _batch(first: int) -> list[Incoming]:
    return [Incoming(HEALTH, messages.encode(a_health(seq=n))) for n in range(first, first + 400)]


def _stored() -> int:
    found = db.session.scalar(select(func.count()).select_from(HealthSample)) or 0
    db.session.rollback()
    return found


def test_a_full_disk_loses_nothing_and_heals(sqlite_app: Flask) -> None:
    add_device(BOX)
    _limit(None)
    batch = _batch(1)

    with pytest.raises(DatabaseAwayError, match="disk of the server is full"):
        inbox.store(batch, START)
    assert _stored() == 0, "no half of a batch"

    _limit(1_000_000)
    assert len(inbox.store(batch, START).counted[BOX]) == 400
    assert _stored() == 400
    assert audit.first_broken() is None


def test_what_a_full_disk_and_a_busy_database_mean(sqlite_app: Flask, config: Config) -> None:
    _limit(None)
    with pytest.raises(OperationalError) as full:
        db.session.execute(
            text("CREATE TABLE much AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
                 "FROM n WHERE i < 9000) SELECT hex(randomblob(500)) AS x FROM n")
        )  # fmt: skip
    db.session.rollback()
    with pytest.raises(OperationalError) as ours:
        db.session.execute(text("SELECT * FROM there_is_none"))
    db.session.rollback()

    assert isinstance(outage.meaning(full.value), DiskFullError)
    assert outage.meaning(ours.value) is None, "a mistake of ours is no outage"
    assert isinstance(outage.meaning(OSError(28, "No space left on device")), DiskFullError)
    assert outage.meaning(FileNotFoundError(2, "No such file")) is None


def test_a_file_that_is_gone_is_a_database_that_is_away(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError) as gone:
        sqlite3.connect(tmp_path / "no" / "such.db")

    found = outage.meaning(OperationalError("", None, gone.value))
    assert isinstance(found, DatabaseAwayError)
    assert found.status == 503
