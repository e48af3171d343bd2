"""The fleet over time: counted each quarter of an hour, honest about gaps, pruned."""

from datetime import UTC, datetime, timedelta

from flask import Flask
from oleada_server.db import db
from oleada_server.devices import history
from oleada_server.devices import service as devices
from oleada_server.live import service as live

from tests.support.fleet import a_hello, add_device

NOON = datetime(2026, 3, 1, 12, 1, tzinfo=UTC)
BOXES = ("VX417Q3K0928", "VX417Q3K0936", "VX417Q3K0944")


def fill() -> None:
    for box in BOXES:
        add_device(box)
    devices.record_hello(BOXES[0], a_hello(), NOON)
    devices.record_hello(BOXES[1], a_hello(), NOON - timedelta(days=2))
    db.session.commit()


def test_a_count_is_what_the_fleet_is_at_that_moment(app: Flask) -> None:
    fill()

    assert history.tick(NOON)

    (found,) = history.between(NOON, NOON)
    assert (found.boxes, found.heard, found.silent, found.never) == (3, 1, 1, 1)
    assert found.updating == 0
    assert history.kept_since() == NOON
    assert "devices" in {change.object_ref for change in live.changes_since(0)}


def test_a_quarter_of_an_hour_is_counted_once_however_often_the_tick_runs(app: Flask) -> None:
    ran = [history.tick(NOON + timedelta(minutes=minute)) for minute in (0, 1, 13, 14, 28, 29, 61)]

    assert ran == [True, False, False, True, False, True, True]
    assert len(history.between(NOON, NOON + timedelta(hours=2))) == 4


def test_what_was_not_counted_is_not_made_up(app: Flask) -> None:
    history.tick(NOON)
    history.tick(NOON + timedelta(hours=5))

    found = history.between(NOON, NOON + timedelta(hours=6))

    assert [one.at for one in found] == [NOON, NOON + timedelta(hours=5)]


def test_counts_go_after_five_weeks(app: Flask) -> None:
    history.tick(NOON)
    history.tick(NOON + history.KEEP)
    assert history.kept_since() == NOON

    history.tick(NOON + history.KEEP + timedelta(minutes=15))

    assert history.kept_since() == NOON + history.KEEP
