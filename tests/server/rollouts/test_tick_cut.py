"""A tick that is killed at any of its commits: the next one ends where a whole one would."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from oleada_server.db import db
from oleada_server.messaging import leader
from oleada_server.messaging.models import RetainedMessage
from oleada_server.rollouts import service
from oleada_server.rollouts.models import BoxInWave, Rollout, Wave
from oleada_wire.words import Phase
from sqlalchemy import event, select, text
from sqlalchemy.orm import Session

from tests.server.rollouts.fleet import MINUTE, NOON, a_fleet, a_plan, a_release, say, started

BOXES = 6
TICKS = 4


class CutError(BaseException):
    """The process was killed here: nothing of its own may catch it."""


@contextmanager
def _cut_at(number: int) -> Iterator[list[int]]:
    """Kill the process just before commit *number*; yields how many there were."""
    seen = [0]

    def count(session: Session) -> None:
        if session.in_nested_transaction():
            return
        seen[0] += 1
        if seen[0] == number:
            raise CutError

    event.listen(db.session, "before_commit", count)
    try:
        yield seen
    finally:
        event.remove(db.session, "before_commit", count)


def _facts() -> dict[str, Any]:
    """Return what has become of rollouts, waves and boxes, and how often a topic was told."""
    rollouts = [(row.state, row.state_reason) for row in db.session.scalars(select(Rollout))]
    waves = [(row.position, row.state) for row in db.session.scalars(select(Wave))]
    query = select(BoxInWave).order_by(BoxInWave.device_id)
    boxes = [(row.device_id, row.state, row.attempt, row.step) for row in db.session.scalars(query)]
    told = {row.topic: row.revision for row in db.session.scalars(select(RetainedMessage))}
    db.session.rollback()
    return {"rollouts": rollouts, "waves": waves, "boxes": boxes, "told": told}


def _begin() -> None:
    boxes = a_fleet(BOXES)
    a_release()
    started(a_plan())
    say(boxes[0], Phase.UPDATED)


def _tick_until_quiet(cut_at: int) -> tuple[int, bool]:
    """Tick as the scheduler does, killed at commit *cut_at*; return commits, and if it was."""
    was_cut, commits = False, 0
    with _cut_at(cut_at) as seen:
        for number in range(TICKS):
            try:
                service.tick(NOON + (number + 1) * MINUTE)
            except CutError:
                was_cut = True
                db.session.rollback()
                db.session.expire_all()
            commits = seen[0]
    service.tick(NOON + (TICKS + 1) * MINUTE)
    return commits, was_cut


def test_a_tick_killed_at_any_commit_is_finished_by_the_next(sqlite_app: Flask) -> None:
    _begin()
    commits, _ = _tick_until_quiet(0)
    whole = _facts()
    assert commits >= 2, "a tick that begins a rollout has several transactions"

    for cut_at in range(1, commits + 1):
        _empty()
        _begin()
        _, was_cut = _tick_until_quiet(cut_at)
        assert was_cut, cut_at
        assert _facts() == whole, f"killed at commit {cut_at} of {commits}"


def test_a_tick_that_lost_its_lease_midway_writes_nothing_more(app: Flask) -> None:
    _begin()
    asleep = leader.take("scheduler", "a", NOON)
    assert asleep is not None
    before = _facts()
    assert leader.take("scheduler", "b", NOON + timedelta(minutes=1))

    with pytest.raises(leader.LeaseLostError), leader.only_as(asleep):
        service.tick(NOON + MINUTE)
    db.session.rollback()

    assert _facts() == before
    service.tick(NOON + MINUTE)
    assert _facts() != before, "there was something to do"


def _empty() -> None:
    """Forget every row, as a new server has none."""
    db.session.rollback()
    guards = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    for name in db.session.scalars(text(guards)).all():  # the audit trail is only added to
        db.session.execute(text(f"DROP TRIGGER {name}"))
    for table in reversed(db.metadata.sorted_tables):
        db.session.execute(table.delete())
    db.session.commit()
