"""A box that sends without end is bounded; nobody else is, and its verdicts get through."""

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.messaging import excess, quota
from oleada_server.messaging.quota import FORGET_FROM, UNIT_BYTES, Quota
from oleada_wire import topics
from oleada_wire.topics import Up

from tests.support.fleet import add_device

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BOX, OTHER = "VX417Q3K0928", "VX41ZZZZ0001"
HEALTH, REPORT = topics.up(BOX, Up.HEALTH), topics.up(BOX, Up.REPORT)


def _admitted(found: Quota, topic: str, messages: int, now_s: float, size_bytes: int = 1) -> int:
    return sum(found.admit(topic, size_bytes, now_s) for _ in range(messages))


def test_a_box_may_say_its_burst_at_once_and_then_so_much_a_minute() -> None:
    found = Quota(per_minute=60, burst=100)

    assert _admitted(found, HEALTH, 150, 0.0) == 100
    assert _admitted(found, HEALTH, 150, 30.0) == 30
    assert _admitted(found, HEALTH, 150, 10_000.0) == 100


@pytest.mark.parametrize("per_minute", [7, 60, 130, 600])
def test_a_burst_is_whole_whatever_the_clock_says(per_minute: int) -> None:
    for tenths in range(0, 900_000, 1_777):
        assert _admitted(Quota(per_minute, 100), HEALTH, 101, tenths / 10 + 0.123) == 100


def test_over_any_time_no_more_is_admitted_than_burst_and_rate() -> None:
    found = Quota(per_minute=120, burst=200)

    admitted = sum(_admitted(found, HEALTH, 7, tick / 10) for tick in range(6_000))

    assert admitted == 200 + 120 * 10 - 1  # the message of the last instant is not due yet


@pytest.mark.parametrize(
    ("size_bytes", "cost"),
    [(0, 1), (UNIT_BYTES, 1), (UNIT_BYTES + 1, 2), (65_536, 16)],
)
def test_a_large_message_counts_for_each_piece_of_it(size_bytes: int, cost: int) -> None:
    found = Quota(per_minute=1, burst=160)

    assert _admitted(found, HEALTH, 200, 0.0, size_bytes) == 160 // cost


@pytest.mark.parametrize(("size_bytes", "cost"), [(0, 1), (256, 1), (257, 2), (4_096, 16)])
def test_looks_that_are_packed_count_by_what_they_unpack_to(size_bytes: int, cost: int) -> None:
    found = Quota(per_minute=1, burst=160)

    assert _admitted(found, topics.up(BOX, Up.SAMPLES), 200, 0.0, size_bytes) == 160 // cost


def test_a_flood_takes_nothing_from_other_boxes_nor_from_the_boxs_own_verdicts() -> None:
    found = Quota(per_minute=60, burst=100)
    _admitted(found, HEALTH, 10_000, 0.0)

    assert _admitted(found, topics.up(OTHER, Up.HEALTH), 100, 0.0) == 100
    assert _admitted(found, REPORT, 60, 0.0) == 60
    assert _admitted(found, topics.up(BOX, Up.RESULT), 60, 0.0) == 40


def test_kinds_that_nobody_knows_share_one_bucket() -> None:
    found = Quota(per_minute=60, burst=100)
    head = HEALTH.rpartition("/")[0]

    assert sum(found.admit(f"{head}/{number}", 1, 0.0) for number in range(500)) == 100
    assert len(found) == 1


def test_a_pause_is_as_long_as_it_takes_to_make_room() -> None:
    found = Quota(per_minute=60, burst=100)
    _admitted(found, HEALTH, 200, 0.0)

    pause_s = found.pause_s(HEALTH, 0.0)

    assert pause_s == quota.WINDOW
    assert _admitted(found, HEALTH, 200, float(pause_s)) == quota.WINDOW
    assert found.pause_s(topics.up(OTHER, Up.HEALTH), 0.0) == 1


def test_a_box_is_told_of_at_once_and_then_once_a_minute() -> None:
    found = Quota(per_minute=60, burst=100)
    _admitted(found, HEALTH, 110, 0.0)
    assert found.untold(0.0) == {BOX: 10}
    found.told({BOX: 10}, 0.0)

    _admitted(found, HEALTH, 5, 0.0)
    assert found.untold(59.0) == {}
    assert found.untold(60.0) == {BOX: 5}
    found.told({BOX: 5}, 60.0)
    assert found.untold(500.0) == {}


def test_what_could_not_be_told_is_told_the_next_time() -> None:
    found = Quota(per_minute=60, burst=100)
    _admitted(found, HEALTH, 110, 0.0)

    found.untold(0.0)  # the database was away
    _admitted(found, HEALTH, 1, 0.0)

    assert found.untold(1.0) == {BOX: 11}


def test_boxes_that_were_quiet_for_a_while_cost_no_memory() -> None:
    found = Quota(per_minute=60, burst=100)

    for number in range(20 * FORGET_FROM):
        found.admit(topics.up(f"VX{number:010d}", Up.HEALTH), 1, float(number))

    assert len(found) <= FORGET_FROM + 1


def test_a_spell_of_excess_is_one_row_and_one_entry_of_the_trail(app: Flask) -> None:
    add_device(BOX)

    for minute, number in enumerate((10, 20, 30)):
        excess.record_excess({BOX: number, OTHER: 7}, NOON + timedelta(minutes=minute))
        db.session.commit()

    now = NOON + timedelta(minutes=2)
    found = excess.excess_of(BOX, now)
    assert found is not None
    assert (found.began_at, found.last_at, found.messages) == (NOON, now, 60)
    assert [one.action for one in audit.events_about(f"device:{BOX}")] == ["device.over-quota"]
    assert excess.excess_of(OTHER, now) is None  # it is not enrolled


def test_an_hour_of_quiet_ends_a_spell(app: Flask) -> None:
    add_device(BOX)
    excess.record_excess({BOX: 10}, NOON)
    db.session.commit()
    later = NOON + excess.SPELL_GAP
    assert excess.excess_of(BOX, later) is None

    excess.record_excess({BOX: 3}, later)
    db.session.commit()

    found = excess.excess_of(BOX, later)
    assert found is not None
    assert (found.began_at, found.messages) == (later, 3)
    assert len(audit.events_about(f"device:{BOX}")) == 2
