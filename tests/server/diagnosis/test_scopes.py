"""How many boxes were heard of what is counted by the scheduler; a verdict looks at few rows."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.diagnosis import scopes, service
from oleada_server.diagnosis.models import HeardCount
from sqlalchemy import event, func, select

from tests.support.fleet import add_device

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BOXES = [f"AAAA000000{n:02d}" for n in range(44)]


def add_fleet() -> None:
    for n, box in enumerate(BOXES):
        add_device(
            box, region="Brno" if n < 4 else "Praha", version="5.8.1", last_seen_at=NOON - MINUTE
        )


def complain(boxes: list[str]) -> None:
    for box in boxes:
        service.complain(box, "no-sound", "", actor="user:x", now=NOON - MINUTE)


def facts(now: datetime = NOON) -> dict[str, Any]:
    device = db.session.get_one(Device, BOXES[0])
    found = scopes.facts(device, "no-sound", "", now)
    return {name: fact.value for name, fact in found.items()}


@pytest.mark.usefixtures("app")
def test_the_count_of_the_scheduler_says_the_same_as_counting_now() -> None:
    add_fleet()
    complain(BOXES[:4])

    alone = facts()
    scopes.tick(NOON)
    counted = facts()

    assert alone == counted == {"server:scope.region": True}
    heard = dict(db.session.execute(select(HeardCount.name, HeardCount.boxes)).all())
    assert heard == {"": 44, "Brno": 4, "Praha": 40, "VX-410 5.8.1": 44}


@pytest.mark.usefixtures("sqlite_app")
def test_counts_are_made_every_few_minutes_and_replace_each_other() -> None:
    add_fleet()

    ran = [scopes.tick(NOON + n * MINUTE) for n in range(7)]
    add_device("BBBB00000000", region="Brno", version="1", last_seen_at=NOON)
    scopes.tick(NOON + 10 * MINUTE)

    assert ran == [True, False, False, False, False, True, False]
    found = select(HeardCount.boxes).where(HeardCount.kind == "all")
    assert db.session.scalars(found).all() == [45]


@pytest.mark.usefixtures("sqlite_app")
@pytest.mark.parametrize("age", [21 * MINUTE, -MINUTE], ids=["old", "of the future"])
def test_a_count_that_can_not_be_of_now_is_not_believed(age: timedelta) -> None:
    add_fleet()
    complain(BOXES[:4])
    db.session.add(HeardCount(kind="all", name="", boxes=1, at=NOON - age))
    db.session.commit()

    assert facts() == {"server:scope.region": True}


@pytest.mark.usefixtures("sqlite_app")
def test_more_complaints_than_boxes_were_counted_break_nothing() -> None:
    add_fleet()
    scopes.tick(NOON)
    for n in range(5):
        add_device(f"CCCC0000000{n}", region="Brno", version="5.8.1", last_seen_at=NOON)
    complain([f"CCCC0000000{n}" for n in range(5)])

    assert facts()["server:scope.region"] is True


@pytest.mark.usefixtures("sqlite_app")
def test_a_verdict_asks_a_bounded_number_of_questions_however_many_complain() -> None:
    add_fleet()
    scopes.tick(NOON)

    def asked() -> int:
        return statements(lambda: service.diagnose(BOXES[0], "no-sound", {}, NOON, "uno"))

    few = asked()
    complain(BOXES)
    many = asked()

    assert many == few <= 20
    assert db.session.scalar(select(func.count()).select_from(HeardCount)) == 4


def statements(work: Callable[[], object]) -> int:
    count = 0

    def note(*_: object) -> None:
        nonlocal count
        count += 1

    event.listen(db.engine, "before_cursor_execute", note)
    work()
    event.remove(db.engine, "before_cursor_execute", note)
    return count
