"""Beats: who lives, by whose clock; and the one clock that counts."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from oleada_server import clock
from oleada_server import config as settings
from oleada_server.broker import CONFIGURATION, STORE
from oleada_server.clock import now_utc
from oleada_server.db import db
from oleada_server.initialise import make_certificates
from oleada_server.system import facts, judge, service
from oleada_server.system.judge import Code
from oleada_server.system.models import ProcessBeat
from sqlalchemy import update

MINUTES = timedelta(minutes=5)


@pytest.fixture(autouse=True)
def right_clock() -> Iterator[None]:
    """Leave the process with the machine's clock."""
    yield
    clock.follow(timedelta())


def _conditions(app: Flask) -> dict[Code, judge.Condition]:
    now = now_utc()
    found = judge.judge(facts.gather(app.extensions["oleada_config"], now), now)
    return {one.code: one for one in found}


def test_a_process_that_beats_is_known_and_one_that_stops_is_silent(app: Flask) -> None:
    service.beat("worker 1 on here", service.WORKER, {"broker": True})
    service.beat("worker 1 on here", service.WORKER, {"broker": True})
    assert len(service.beats()) == 1
    assert Code.WORKER_SILENT not in _conditions(app)

    earlier = now_utc() - timedelta(seconds=90)
    db.session.execute(update(ProcessBeat).values(heard_at=earlier, said_at=earlier))
    db.session.commit()

    assert _conditions(app)[Code.WORKER_SILENT].number == pytest.approx(90, abs=20)


def test_a_server_that_begins_after_a_week_is_given_time_to_write_its_store(app: Flask) -> None:
    service.beat("worker 1 on here", service.WORKER, {"broker": True})
    directory = app.extensions["oleada_config"].broker_dir
    directory.mkdir(parents=True, exist_ok=True)
    store, configuration = directory / STORE, directory / CONFIGURATION
    week_ago_s = (now_utc() - timedelta(days=7)).timestamp()
    for path in (store, configuration):
        path.touch()
    os.utime(store, (week_ago_s, week_ago_s))
    assert Code.BROKER_STORE not in _conditions(app)

    os.utime(configuration, (week_ago_s, week_ago_s))
    assert Code.BROKER_STORE in _conditions(app)


def test_a_beat_from_the_future_is_no_sign_of_life(app: Flask) -> None:
    """The clock was set back by five minutes, and who beat before has not since."""
    service.beat("scheduler 7 on here", service.SCHEDULER, {})
    later = now_utc() + MINUTES
    db.session.execute(update(ProcessBeat).values(heard_at=later, said_at=later))
    db.session.commit()

    assert Code.SCHEDULER_SILENT in _conditions(app)


@pytest.mark.parametrize("off", [MINUTES, -MINUTES], ids=["ahead", "behind"])
def test_a_machine_whose_clock_is_off_goes_by_the_databases_and_is_named(
    app: Flask, monkeypatch: pytest.MonkeyPatch, off: timedelta
) -> None:
    right = clock.machine_now_utc()
    monkeypatch.setattr(clock, "LAB_OFFSET", off)
    assert abs(now_utc() - right - off) < timedelta(seconds=30)

    service.beat("worker 1 on there", service.WORKER, {"broker": True})

    assert abs(now_utc() - right) < timedelta(seconds=60), "corrected"
    found = _conditions(app)[Code.CLOCK_APART]
    assert found.number == pytest.approx(off.total_seconds(), abs=20)
    monkeypatch.setattr(clock, "LAB_OFFSET", timedelta())
    service.follow_database_clock()
    assert abs(now_utc() - clock.machine_now_utc()) < timedelta(seconds=1), "and back"


def test_clocks_that_differ_by_less_than_a_network_makes_are_left_alone(app: Flask) -> None:
    assert not clock.follow(timedelta(seconds=4))

    assert abs(now_utc() - clock.machine_now_utc()) < timedelta(seconds=1)


def test_certificates_and_disks_are_found_where_they_lie(tmp_path: Path) -> None:
    config = settings.load(tmp_path, {})
    long_ago = now_utc() - timedelta(days=800)
    make_certificates(config, long_ago)

    ends = {one.name: one.at - long_ago for one in facts.certificates(config.pki_dir)}

    assert ends["door"].days == ends["broker"].days == ends["oleada-server"].days == 824
    assert ends["service-ca"].days == ends["device-ca"].days == 3652
    (disk,) = facts.disks(config)
    assert disk.free_bytes > 0
    assert facts.disks(replace(config, data_dir=tmp_path / "absent")) == ()
