"""The scheduler: one leads, a failing tick ends nothing, a former leader does no harm."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from oleada_server import clock
from oleada_server.db import db
from oleada_server.devices.models import HardwareModel
from oleada_server.messaging import leader
from oleada_server.scheduler import TICKS, Scheduler, Tick
from oleada_server.system import service as system
from sqlalchemy import select

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATE = NOON + leader.LEASE + timedelta(seconds=1)


@pytest.fixture(autouse=True)
def right_clock() -> Iterator[None]:
    """Leave the process with the machine's clock."""
    yield
    clock.follow(timedelta())


def _write(now: datetime) -> None:
    db.session.add(HardwareModel(name=f"VX-{now.minute:02d}"))
    db.session.commit()


def _models() -> list[str]:
    found = list(db.session.scalars(select(HardwareModel.name)))
    db.session.rollback()
    return found


WRITE = Tick("write", 1, _write)


def test_only_the_leader_ticks(app: Flask) -> None:
    first, second = Scheduler(app), Scheduler(app)
    assert first.lead(NOON)
    assert not second.lead(NOON)

    assert first.run_once(WRITE, NOON)
    assert not second.run_once(WRITE, NOON)

    assert _models() == ["VX-00"]


def test_when_the_leader_falls_silent_another_leads(app: Flask) -> None:
    first, second = Scheduler(app), Scheduler(app)
    assert first.lead(NOON)

    assert second.lead(LATE)
    assert second.run_once(WRITE, LATE)


def test_a_leader_that_slept_through_its_lease_writes_nothing(app: Flask) -> None:
    first, second = Scheduler(app), Scheduler(app)
    assert first.lead(NOON)
    assert second.lead(LATE)

    assert not first.run_once(WRITE, LATE)

    assert _models() == []


def test_a_tick_that_fails_is_rolled_back_and_the_next_one_runs(app: Flask) -> None:
    def fail(now: datetime) -> None:
        db.session.add(HardwareModel(name="VX-99"))
        db.session.flush()
        raise RuntimeError("the tick's own trouble")

    scheduler = Scheduler(app)
    assert scheduler.lead(NOON)

    assert not scheduler.run_once(Tick("fail", 1, fail), NOON)
    assert scheduler.run_once(WRITE, NOON)

    assert _models() == ["VX-00"]


def test_ticks_run_by_themselves_until_the_scheduler_stops(app: Flask) -> None:
    three = threading.Semaphore(0)
    scheduler = Scheduler(app, (Tick("count", 0.05, lambda now: three.release()),))

    scheduler.start()
    for _ in range(3):
        assert three.acquire(timeout=60)
    scheduler.stop()

    assert leader.take("scheduler", "another", NOON), "the lease was given up"


def test_a_clock_that_is_set_back_stops_no_tick(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs are due at times of the machine's clock: an hour back is an hour without them."""
    ran = threading.Semaphore(0)
    scheduler = Scheduler(app, (Tick("seldom", 3600, lambda now: ran.release()),))
    scheduler.start()
    assert ran.acquire(timeout=60)
    scheduler.watch_clock()
    assert not ran.acquire(timeout=0.5), "nobody set the clock"

    monkeypatch.setattr(clock, "LAB_OFFSET", -timedelta(hours=1))
    scheduler.watch_clock()

    assert ran.acquire(timeout=60)
    scheduler.stop()


@pytest.mark.parametrize("off_s", [300, -300])
def test_a_machine_whose_clock_is_wrong_ticks_at_once(
    app: Flask, monkeypatch: pytest.MonkeyPatch, off_s: int
) -> None:
    off = timedelta(seconds=off_s)
    monkeypatch.setattr(system, "database_now", lambda: clock.machine_now_utc() + off)
    ticked = threading.Event()
    scheduler = Scheduler(app, (Tick("tick", 3600, lambda now: ticked.set()),))

    scheduler.start()

    assert ticked.wait(timeout=60)
    scheduler.stop()


def test_every_tick_of_the_house_may_run_twice_on_an_empty_server(app: Flask) -> None:
    scheduler = Scheduler(app)
    assert scheduler.lead(NOON)

    for tick in TICKS + TICKS:
        assert scheduler.run_once(tick, NOON), tick.name
