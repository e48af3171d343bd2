"""Hours of health: each message once and in its own hour, wherever the job ends and begins."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from oleada_server.db import db
from oleada_server.diagnosis import hours, reading, rolling
from oleada_server.diagnosis.derived import Sample
from oleada_server.diagnosis.hours import fold, judged, number_of
from oleada_server.diagnosis.models import HealthFold, HealthHour, ModelHour, ModelReading
from oleada_server.telemetry.models import HealthSample
from sqlalchemy import delete, event, func, select, update

from tests.support.fleet import add_device

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
DUE = NOON + HOUR + rolling.SETTLE
"""The hour that began at noon is put away from now on."""
BOX, OTHER = "VX417Q3K0928", "AAAA00000001"
SIGNAL = "Device.WiFi.EndPoint.1.Stats.SignalStrength"
STB = "Device.Services.STBService.1."
UNDERRUNS = f"{STB}ServiceMonitoring.MainStream.1.Total.DejitteringStats.Underruns"
MUTED = f"{STB}Components.AudioOutput.1.Status"
NAMES = hours.kept(reading.library())


def samples(*parameters: dict[str, Any]) -> list[Sample]:
    return [Sample(NOON + n * 5 * MINUTE, "b", said) for n, said in enumerate(parameters)]


def tell(
    at: datetime, signal: int, box: str = BOX, *, received: datetime | None = None, seq: int = 0
) -> None:
    db.session.add(
        HealthSample(
            device_id=box, boot="00000001-0badc0de", seq=seq or int(at.timestamp()),
            version="5.8.1", parameters={SIGNAL: signal}, box_at=at, received_at=received or at,
        )
    )  # fmt: skip
    db.session.commit()


def hour(at: datetime = NOON, box: str = BOX) -> HealthHour | None:
    db.session.expire_all()
    return db.session.get(HealthHour, (box, at))


def weak(at: datetime = NOON) -> tuple[int, list[int] | None]:
    """Return how many boxes of the model there were, and how many of those that say are weak."""
    found = db.session.get_one(ModelHour, ("VX-410", at))
    return found.boxes, found.counts.get("wifi-signal-low")


def everything() -> list[Any]:
    tables = (HealthHour, ModelHour, HealthFold)
    db.session.expire_all()
    return [
        [tuple(row) for row in db.session.execute(select(table.__table__)).all()]
        for table in tables
    ]  # fmt: skip


def test_an_hour_keeps_the_extremes_of_a_number_the_rise_of_a_counter_and_the_last_word() -> None:
    found = fold(
        samples(
            {SIGNAL: -60, UNDERRUNS: 7, MUTED: "Enabled"},
            {SIGNAL: -84, UNDERRUNS: 9},
            {SIGNAL: -55, UNDERRUNS: 2, MUTED: "Muted"},
        ),
        NAMES,
    )

    assert found[SIGNAL] == [3, -84, -55, -199, 29]
    rise = number_of(found[UNDERRUNS])
    assert rise is not None
    assert rise.rise == 4, "a counter that fell has begun anew"
    assert found[MUTED] == "Muted"


@pytest.mark.parametrize("lie", [10**400, -(10**17), 1e300, "x" * 5000])
def test_a_lie_makes_no_hour_large(lie: Any) -> None:
    found = fold(samples({SIGNAL: lie, "Device.Invented.By.A.Box": 1}), NAMES)

    assert len(str(found)) < 200
    assert "Device.Invented.By.A.Box" not in found


def test_one_bad_moment_of_an_hour_is_seen_and_what_was_not_told_is_not() -> None:
    seen = judged(reading.library(), fold(samples({SIGNAL: -50}, {SIGNAL: -90}), NAMES))

    assert seen["wifi-signal-low"] is True
    assert "muted" not in seen


@pytest.mark.usefixtures("app")
def test_a_full_hour_is_put_away_once_by_box_and_by_model() -> None:
    for box in (BOX, OTHER):
        add_device(box)
    for minute in range(0, 60, 5):
        tell(NOON + minute * MINUTE, -60)
        tell(NOON + minute * MINUTE, -90, OTHER)
    tell(NOON + HOUR, -90)

    rolling.tick(DUE)
    first = everything()
    rolling.tick(DUE)
    rolling.tick(DUE + MINUTE)

    found = hour()
    assert found is not None
    assert (found.samples, found.readings[SIGNAL]) == (12, [12, -60, -60, -720, 0])
    assert hour(NOON + HOUR) is None, "that hour is not over"
    assert weak() == (2, [2, 1])
    assert everything() == first
    assert db.session.scalars(select(ModelReading.path)).all() == [SIGNAL]


@pytest.mark.usefixtures("app")
def test_a_message_that_comes_late_counts_once_and_in_its_own_hour() -> None:
    add_device(BOX)
    for minute in (0, 10, 20):
        tell(NOON + minute * MINUTE, -60)
    rolling.tick(DUE)
    assert weak() == (1, [1, 0])

    tell(NOON + 30 * MINUTE, -90, received=NOON + 2 * HOUR)
    tell(NOON + 2 * HOUR, -60)
    for _ in range(2):
        rolling.tick(NOON + 3 * HOUR + rolling.SETTLE)

    found = hour()
    assert found is not None
    assert (found.samples, found.readings[SIGNAL][:3]) == (4, [4, -90, -60])
    assert weak() == (1, [1, 1])
    assert weak(NOON + 2 * HOUR) == (1, [1, 0])


@pytest.mark.usefixtures("sqlite_app")
def test_an_hour_whose_messages_have_gone_is_left_as_it_is() -> None:
    add_device(BOX)
    for minute in (0, 10, 20):
        tell(NOON + minute * MINUTE, -60)
    rolling.tick(DUE)
    db.session.execute(delete(HealthSample))
    db.session.commit()

    tell(NOON + 30 * MINUTE, -90, received=NOON + 2 * HOUR)
    rolling.tick(NOON + 3 * HOUR + rolling.SETTLE)

    found = hour()
    assert found is not None
    assert found.samples == 3


@pytest.mark.usefixtures("sqlite_app")
def test_the_job_may_end_after_any_transaction_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling, "BOXES", 1)
    monkeypatch.setattr(rolling, "TURNS", 1)
    boxes = [f"AAAA0000000{n}" for n in range(3)]
    for box in boxes:
        add_device(box)
        tell(NOON, -90, box)
        tell(NOON + 20 * MINUTE, -90, box)

    for _ in range(2 + 4 * (len(boxes) + 2)):
        rolling.tick(DUE)  # each is one transaction, and could be the last of a process

    assert weak() == (3, [3, 3])
    assert [getattr(hour(box=box), "samples", None) for box in boxes] == [2, 2, 2]


@pytest.mark.usefixtures("sqlite_app")
def test_a_turn_that_somebody_else_has_done_meanwhile_changes_nothing() -> None:
    add_device(BOX)
    tell(NOON, -90)
    rolling.tick(DUE)
    done = everything()

    assert not rolling._move((NOON, NOON + HOUR, ""), BOX)

    assert everything() == done


@pytest.mark.usefixtures("sqlite_app")
def test_hours_go_after_three_months() -> None:
    add_device(BOX)
    tell(NOON, -60)
    rolling.tick(DUE)
    assert db.session.scalar(select(func.count(HealthHour.at))) == 1

    late = DUE + rolling.KEEP
    db.session.execute(update(HealthFold).values(since=late - 2 * HOUR, until=late - 2 * HOUR))
    db.session.commit()
    rolling.tick(late)

    assert db.session.scalar(select(func.count(HealthHour.at))) == 0
    assert weak() == (1, [1, 0])


@pytest.mark.usefixtures("app")
def test_an_hour_of_many_boxes_goes_in_small_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [f"AAAA0000000{n}" for n in range(5)]
    for box in boxes:
        add_device(box)
        db.session.add(HealthHour(device_id=box, at=NOON, samples=1, readings={}))
    db.session.commit()
    monkeypatch.setattr(rolling, "PRUNE_ROWS", 2)
    gone: list[int] = []

    def count(_conn: Any, cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("DELETE FROM health_hour"):
            gone.append(cursor.rowcount)

    event.listen(db.engine, "after_cursor_execute", count)
    try:
        rolling.tick(NOON + rolling.KEEP + 2 * HOUR)
    finally:
        event.remove(db.engine, "after_cursor_execute", count)

    assert [rows for rows in gone if rows] == [2, 2, 1]
    assert hour(box=boxes[0]) is None
