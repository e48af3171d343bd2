"""The log of outcomes is read as a sum and its newest rows, and both always say the whole."""

import threading

import pytest
from flask import Flask
from oleada_server.db import db
from oleada_server.rollouts import service
from oleada_server.rollouts.evidence import folding, history, judge, ledger, looks
from oleada_server.rollouts.evidence.counts import Counted
from oleada_server.rollouts.evidence.models import OutcomeFold
from oleada_wire.words import Phase

from tests.server.rollouts.evidence.trials import LOOSE, breaks, connect, judged, listed, on_trial
from tests.server.rollouts.fleet import (
    ANA,
    MINUTE,
    NOON,
    a_fleet,
    a_release,
    row_of,
    say,
    sqlite_only,
    started,
)

RIPE = NOON + 20 * MINUTE


def with_news() -> int:
    """Start a rollout of which one box is good, one is bad and one has begun."""
    boxes = a_fleet(3)
    a_release()
    rollout_id = started(judged())
    for box in boxes:
        on_trial(box)
    say(boxes[0], Phase.UPDATED)
    breaks(boxes[1])
    service.tick(RIPE - MINUTE)
    return rollout_id


@pytest.mark.usefixtures("app")
def test_what_is_folded_and_what_came_since_is_what_the_whole_log_says() -> None:
    rollout_id = with_news()
    before = ledger.evidence(rollout_id, 500)

    assert folding.fold(rollout_id, least=2)
    assert ledger.evidence(rollout_id, 500) == before
    say("VX410000002", Phase.UPDATED, now=RIPE)
    service.tick(RIPE + 20 * MINUTE)
    after = ledger.evidence(rollout_id, 500)

    assert not folding.fold(rollout_id, least=50), "few new rows are counted anew"
    assert folding.fold(rollout_id, least=1)
    assert ledger.evidence(rollout_id, 500) == after
    assert after is not None
    assert (after.total.begun, after.total.good, after.total.bad) == (3, 2, 1)
    assert folding.is_whole(rollout_id)
    db.session.query(OutcomeFold).where(OutcomeFold.state == Counted.GOOD).update({"boxes": 1})
    assert not folding.is_whole(rollout_id)


@pytest.mark.usefixtures("app")
def test_what_an_ended_rollout_has_left_is_folded_part_by_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rollout_id = with_news()
    before = ledger.evidence(rollout_id, 500)
    assert folding.tick(RIPE) == 0, "its own tick does it while it is open"
    service.stop(rollout_id, "enough", actor=ANA, now=RIPE)
    monkeypatch.setattr(folding, "PART_ROWS", 3)

    parts = [folding.tick(RIPE) for _ in range(3)]

    assert parts == [1, 1, 0], "five changes"
    assert not folding.is_due(rollout_id, least=1)
    assert folding.is_whole(rollout_id)
    assert ledger.evidence(rollout_id, 500) == before


@pytest.mark.usefixtures("app")
def test_the_curve_comes_to_the_same_whatever_is_folded() -> None:
    rollout_id = with_news()
    until = RIPE + 8 * 60 * MINUTE
    before = history.moments(service.get(rollout_id), until)

    assert folding.fold(rollout_id, least=2)
    say("VX410000002", Phase.UPDATED, now=RIPE)
    service.tick(RIPE + 20 * MINUTE)
    assert folding.fold(rollout_id, least=1)
    after = history.moments(service.get(rollout_id), until)

    assert (before[0].begun, before[-1].begun, before[-1].good, before[-1].bad) == (0, 3, 1, 1)
    assert (after[-1].begun, after[-1].good, after[-1].bad) == (3, 2, 1)
    now = history.now(service.get(rollout_id))
    assert now is not None
    assert after[-1].log_e == now.verdict.log_e
    assert [one.good for one in after] == sorted(one.good for one in after)


@pytest.mark.real
@pytest.mark.parametrize("database_config", ["postgresql"], indirect=True)
def test_nothing_is_folded_while_somebody_adds_to_the_log_and_may_be_seen_later(app: Flask) -> None:
    rollout_id = with_news()
    began, folded = threading.Event(), threading.Event()

    def add() -> None:
        with app.app_context():
            ledger.record(row_of("VX410000002"), Counted.BAD, RIPE)
            began.set()
            folded.wait(60)
            db.session.commit()
            db.session.remove()

    writer = threading.Thread(target=add)
    writer.start()
    assert began.wait(60)
    assert not folding.fold(rollout_id, least=1)
    folded.set()
    writer.join()

    assert folding.fold(rollout_id, least=1)
    found = ledger.evidence(rollout_id, 500)
    assert found is not None
    assert found.total.bad == 2
    assert folding.is_whole(rollout_id)


@pytest.mark.usefixtures("app")
@sqlite_only
def test_of_many_that_wait_a_sample_from_end_to_end_is_watched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(looks, "POINTS", 300)
    monkeypatch.setattr(looks, "WATCHED_MAX", 250)
    boxes = a_fleet(900)
    a_release()
    rollout_id = started(judged(listed("first", boxes[:1]), LOOSE))
    connect(boxes)

    watched = looks._waiting(rollout_id, NOON)

    assert judge.CONTROL_MIN <= len(watched) <= 300
    assert len(set(watched)) == len(watched)
    assert boxes[0] not in watched, "its wave is open"
    thirds = [sum(boxes[n] <= box < boxes[n + 299] for box in watched) for n in (0, 300, 600)]
    assert min(thirds) > len(watched) / 4
