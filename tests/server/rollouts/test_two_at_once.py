"""Two that work at one time on one database: two ticks decide once, and nobody waits for long.

On PostgreSQL: SQLite lets one write at a time.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from flask import Flask
from oleada_server.audit.models import AuditEvent
from oleada_server.db import db
from oleada_server.rollouts import freezing, preparing, rows, service
from oleada_server.rollouts.evidence.models import BoxOutcome
from oleada_server.rollouts.models import BoxInWave, RolloutState
from oleada_wire.words import Phase
from sqlalchemy import func, select

from tests.server.rollouts.evidence.trials import (
    HUSH,
    LOOSE,
    RIPE,
    breaks,
    incidents,
    judged,
    listed,
    on_trial,
)
from tests.server.rollouts.fleet import (
    MINUTE,
    NOON,
    a_fleet,
    a_plan,
    a_release,
    in_parts,
    say,
    started,
)

pytestmark = [
    pytest.mark.real,
    pytest.mark.parametrize("database_config", ["postgresql"], indirect=True),
]
OTHER = "ZX-1"


def at_once(app: Flask, work: Callable[[], None], times: int = 2) -> None:
    """Let so many threads do *work* at one moment; none may fail."""
    ready, failed = threading.Barrier(times), list[BaseException]()

    def run() -> None:
        with app.app_context():
            try:
                ready.wait(60)
                work()
            except BaseException as error:  # told below, in the thread that asserts
                failed.append(error)
            finally:
                db.session.remove()

    threads = [threading.Thread(target=run) for _ in range(times)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failed == []


def done(action: str) -> int:
    """Return how often the audit trail has *action*."""
    query = select(func.count()).where(AuditEvent.action == action)
    return db.session.scalar(query) or 0


def test_two_ticks_at_one_time_open_a_wave_and_assign_once(app: Flask) -> None:
    boxes = a_fleet(12)
    a_release()
    first = replace(listed("first", boxes[:1]), success_share_min=0.5)
    rollout_id = started(a_plan(first, LOOSE))
    say(boxes[0], Phase.UPDATED)

    for minutes in (1, 2, 3):
        at_once(app, lambda at=NOON + minutes * MINUTE: service.tick(at))  # type: ignore[misc] # bound now

    assert (done("wave.open"), done("wave.pass")) == (2, 1)
    query = select(BoxInWave.attempt, func.count()).where(BoxInWave.rollout_id == rollout_id)
    assert [tuple(row) for row in db.session.execute(query.group_by(BoxInWave.attempt))] == [
        (1, 12)
    ]


def test_two_ticks_at_one_time_count_each_trial_and_halt_once(app: Flask) -> None:
    boxes = a_fleet(4)
    a_release()
    rollout_id = started(judged())
    for box in boxes:
        on_trial(box)
    say(boxes[0], Phase.UPDATED)
    at_once(app, lambda: service.tick(NOON + RIPE))
    for box in boxes[1:4]:
        breaks(box)

    at_once(app, lambda: service.tick(NOON + RIPE + MINUTE), times=3)
    at_once(app, lambda: service.tick(NOON + HUSH))

    assert service.get(rollout_id).state == RolloutState.HALTED
    assert (done("rollout.halt"), len(incidents())) == (1, 1)
    twice = select(BoxOutcome.box_id).group_by(BoxOutcome.box_id, BoxOutcome.now)
    assert db.session.scalars(twice.having(func.count() > 1)).all() == []


@contextmanager
def a_part_being_written(app: Flask, rollout_id: int) -> Iterator[threading.Event]:
    """Stand in the middle of writing down a part of a rollout, until the event is set."""
    inside, may_go = threading.Event(), threading.Event()

    def write() -> None:
        with app.app_context():
            rollout = rows.locked(rollout_id)
            rows.lock_model(rollout.release.hardware_model)
            freezing.write_part(rollout, NOON)
            inside.set()
            may_go.wait(60)
            db.session.commit()
            db.session.remove()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert inside.wait(60)
        yield may_go
    finally:
        may_go.set()
        writer.join()


def test_a_rollout_is_halted_while_the_boxes_of_another_are_written_down(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = a_fleet(6)
    a_release()
    running = started(judged())
    a_fleet(8, model=OTHER)
    a_release(model=OTHER)
    in_parts(monkeypatch, boxes=3)
    large = started(replace(a_plan(), hardware_model=OTHER))
    for box in boxes[:3]:
        on_trial(box)
        breaks(box)

    with a_part_being_written(app, large):
        service.tick(NOON + MINUTE)
        assert service.get(running).state == RolloutState.HALTED
        db.session.rollback()

    for _ in range(2):
        preparing.tick(NOON + MINUTE)
    assert service.get(large).state == RolloutState.RUNNING


def test_one_of_the_same_model_is_judged_meanwhile_and_waits_for_one_part_alone(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = a_fleet(9)
    a_release()
    running = started(judged(listed("few", boxes[:4])))
    in_parts(monkeypatch, boxes=3)
    large = started(a_plan())
    for box in boxes[:3]:
        on_trial(box)
        breaks(box)
    halted = threading.Event()

    def tick() -> None:
        with app.app_context():
            service.tick(NOON + MINUTE)
            halted.set()
            db.session.remove()

    ticking = threading.Thread(target=tick)
    with a_part_being_written(app, large) as may_go:
        ticking.start()
        waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not db.session.scalar(db.text(waits)):
            db.session.rollback()
        assert not halted.is_set(), "the waves of a model are written by one at a time"
        may_go.set()
    ticking.join()

    assert halted.is_set()
    assert service.get(running).state == RolloutState.HALTED
    assert service.get(large).preparing is not None, "one part was enough to wait for"
