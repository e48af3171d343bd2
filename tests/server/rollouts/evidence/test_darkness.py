"""Who of the boxes beside is dark is seen from what they say: nobody tells the server of an end."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.rollouts import holds, service
from oleada_server.rollouts.evidence import ledger, looks
from oleada_server.rollouts.evidence.models import BoxOutcome, ControlLook
from oleada_server.rollouts.models import BoxInWave
from oleada_server.rollouts.plan import Outcome
from oleada_server.rollouts.rules import Abort, AbortOn, Rules
from oleada_server.system.models import ProcessBeat
from oleada_wire.words import Phase, Reason
from sqlalchemy import delete, select, update

from tests.server.rollouts.evidence.trials import (
    HUSH,
    LOOSE,
    RIPE,
    SECOND,
    connect,
    judged,
    listed,
    log_of,
    on_trial,
    speak,
    ticks,
)
from tests.server.rollouts.fleet import ANA, MINUTE, NOON, a_fleet, a_release, ask, say, started

pytestmark = pytest.mark.usefixtures("sqlite_app")


def a_trial_of(silent: int, dark_beside: int, silent_share_max: float = 1.0) -> int:
    """Let *silent* of 20 boxes say nothing in their trial, and so many of 320 beside."""
    boxes = a_fleet(340)
    connect(boxes)
    a_release()
    few = replace(
        listed("few", boxes[:20]),
        failed_share_max=0.1,
        silent_share_max=silent_share_max,
        sample_min=1,
    )
    ends_it = Rules(abort=(Abort(on=AbortOn.FAILED, share_max=0.1, sample_min=1),))
    rollout_id = started(replace(judged(few, LOOSE), rules=ends_it))
    for box in boxes[:silent]:
        on_trial(box)
    ticks(NOON, NOON + 2 * MINUTE)
    connect(boxes[20 : 20 + dark_beside], connected=False)
    ticks(NOON + 3 * MINUTE, NOON + HUSH + SECOND)
    return rollout_id


def test_a_region_that_goes_dark_in_a_wave_halts_nothing_and_counts_as_no_success() -> None:
    rollout_id = a_trial_of(silent=5, dark_beside=100)

    rollout = service.get(rollout_id)
    assert rollout.state == "running"
    assert rollout.waves[0].state == "open"
    found = db.session.scalars(select(ControlLook).order_by(ControlLook.id)).all()
    assert (found[0].boxes, found[0].dark) == (320, 100)
    assert service.summary(rollout_id)[0].stages["soaked"] == 0


def test_the_same_silence_halts_where_nobody_beside_went_dark() -> None:
    assert service.get(a_trial_of(silent=5, dark_beside=0)).state == "halted"


def test_boxes_that_tell_late_that_they_reached_nobody_stay_the_silent_ones_of_their_look() -> None:
    rollout_id = a_trial_of(silent=5, dark_beside=100, silent_share_max=0.1)
    later = NOON + HUSH + 10 * MINUTE
    silent = db.session.scalars(select(BoxInWave).where(BoxInWave.counted == "silent")).all()
    names = [box.device_id for box in silent]
    for name in names:
        say(name, Phase.CHECKING, now=later)
        say(name, Phase.ROLLED_BACK, Reason.NO_SERVER_CONTACT, now=later)
    ticks(later, later + MINUTE)

    query = select(BoxOutcome.look_id).where(BoxOutcome.now == "silent")
    told = db.session.scalars(query.order_by(BoxOutcome.id)).all()
    assert len(names) == 5
    assert told == [told[0]] * 10
    assert service.get(rollout_id).state == "running"
    assert service.summary(rollout_id)[0].outcomes[Outcome.SILENT] == 5

    other = select(BoxInWave.device_id).where(BoxInWave.state == "assigned").limit(1)
    say(db.session.scalars(other).one(), Phase.UPDATED, now=later)
    ticks(later + MINUTE, later + 2 * MINUTE)
    assert service.get(rollout_id).waves[0].state == "held"
    holds.go_on(rollout_id, 1, "the lines of the region are back", actor=ANA, now=later + HUSH)
    assert service.get(rollout_id).waves[0].silent_accepted == 5


def five_that_reach_nobody(dark_beside: int = 0) -> int:
    """Let five of eight boxes in their trial reach nobody, and so many beside for ten minutes."""
    boxes = a_fleet(240)
    connect(boxes)
    a_release()
    rollout_id = started(judged(listed("few", boxes[:20]), LOOSE))
    for box in boxes[:8]:
        on_trial(box)
    service.tick(NOON)
    connect(boxes[20 : 20 + dark_beside], connected=False)
    ticks(NOON + 2 * MINUTE, NOON + 10 * MINUTE)
    db.session.execute(update(Device).values(last_seen_at=NOON + HUSH))
    db.session.commit()
    for box in boxes[:5]:
        say(box, Phase.ROLLED_BACK, Reason.NO_SERVER_CONTACT, now=NOON + 10 * MINUTE)
    return rollout_id


def test_boxes_that_reach_nobody_halt_where_nobody_beside_went_dark() -> None:
    rollout_id = five_that_reach_nobody()
    ticks(NOON + 11 * MINUTE, NOON + RIPE - SECOND)
    assert service.get(rollout_id).state == "running"
    assert counted(rollout_id) == {"open": 8}

    service.tick(NOON + RIPE)

    assert service.get(rollout_id).state == "halted"
    assert counted(rollout_id) == {"open": 3, "silent": 5}


def test_a_region_that_was_dark_for_a_while_halts_nothing_when_its_boxes_are_back() -> None:
    rollout_id = five_that_reach_nobody(dark_beside=100)

    ticks(NOON + 11 * MINUTE, NOON + RIPE + MINUTE)

    look = db.session.scalars(select(ControlLook).order_by(ControlLook.id)).first()
    assert look is not None
    assert (look.boxes, look.dark, look.closed_at) == (220, 100, NOON + RIPE)
    assert counted(rollout_id) == {"open": 3, "silent": 5}
    assert service.get(rollout_id).state == "running"


def test_a_look_goes_on_to_its_end_though_nobody_is_at_work_any_more() -> None:
    rollout_id = five_that_reach_nobody(dark_beside=100)
    query = select(BoxInWave.device_id).where(BoxInWave.counted == "open")
    for box in db.session.scalars(query.where(BoxInWave.reason.is_(None))).all():
        say(box, Phase.UPDATED, now=NOON + 10 * MINUTE)
    ticks(NOON + 11 * MINUTE, NOON + HUSH)
    assert counted(rollout_id) == {"silent": 5, "good": 3}

    ticks(NOON + HUSH + 2 * MINUTE, NOON + 2 * RIPE + MINUTE)

    found = db.session.scalars(select(ControlLook).order_by(ControlLook.id)).all()
    assert [one.closed_at for one in found] == [NOON + RIPE, NOON + 2 * RIPE]
    assert all(one.dark is not None for one in found)
    evidence = ledger.evidence(rollout_id, 500)
    assert evidence is not None
    assert evidence.total.alone_silent == 0


def test_a_trial_from_before_anybody_was_watched_is_compared_with_nobody() -> None:
    boxes = a_fleet(340)
    a_release()
    rollout_id = started(judged(listed("few", boxes[:20]), LOOSE))
    for box in boxes[:8]:
        on_trial(box)
    ticks(NOON, NOON + 5 * MINUTE)
    connect(boxes[100:])  # the region of the others is dark by now

    ticks(NOON + 6 * MINUTE, NOON + HUSH + SECOND)

    first, second = db.session.scalars(select(ControlLook).order_by(ControlLook.id)).all()
    assert (first.began_at, first.boxes, first.dark) == (NOON + 6 * MINUTE, 240, 0)
    assert (second.began_at, second.boxes, second.dark) == (first.closed_at, 240, 0)
    evidence = ledger.evidence(rollout_id, 500)
    assert evidence is not None
    assert (evidence.total.silent, evidence.total.alone_silent) == (8, 8)
    rollout = service.get(rollout_id)
    assert (rollout.state, rollout.waves[0].state) == ("running", "held")


def test_a_short_patience_counts_no_silence_before_its_trial_is_old_enough() -> None:
    boxes = a_fleet(3)
    a_release()
    rollout_id = started(replace(judged(), silent_after_s=300))
    for box in boxes[:2]:
        on_trial(box)
    ticks(NOON, NOON + HUSH - SECOND)
    assert service.summary(rollout_id)[0].outcomes[Outcome.SILENT] == 3  # the plan's limit
    assert counted(rollout_id) == {"open": 2}

    service.tick(NOON + HUSH)

    assert counted(rollout_id) == {"silent": 2}


def test_while_the_server_is_away_nobody_whom_a_short_patience_gave_up_counts_as_dark() -> None:
    boxes = a_fleet(1)
    a_release()
    rollout_id = started(replace(judged(), silent_after_s=300))
    on_trial(boxes[0])
    ticks(NOON, NOON + 8 * MINUTE)
    back = NOON + 120 * MINUTE
    db.session.add(ProcessBeat(name="w", role=looks.WORKER, said_at=NOON, heard_at=NOON, facts={}))
    db.session.commit()

    service.tick(back)
    assert counted(rollout_id) == {"open": 1}, "nobody can be heard"
    db.session.execute(delete(ProcessBeat))
    db.session.commit()
    ticks(back + MINUTE, back + MINUTE + HUSH - SECOND)
    assert counted(rollout_id) == {"open": 1}
    service.tick(back + MINUTE + HUSH)

    assert counted(rollout_id) == {"silent": 1}


def test_who_is_assigned_anew_before_its_trial_was_old_enough_stays_counted_as_dark() -> None:
    dark, other = a_fleet(2)
    a_release()
    rollout_id = started(judged())
    for box in (dark, other):
        on_trial(box)
    say(dark, Phase.ROLLED_BACK, Reason.NO_SERVER_CONTACT)
    assert counted(rollout_id) == {"open": 2}

    service.retry(rollout_id, ended_for=Reason.NO_SERVER_CONTACT, actor=ANA, now=NOON)

    assert [row.now for row in log_of(dark)] == ["open", "silent"]


def test_who_lost_power_in_its_trial_was_heard_and_who_never_tried_is_in_no_look() -> None:
    boxes = a_fleet(210)
    connect(boxes)
    a_release()
    rollout_id = started(judged(listed("few", boxes[:5]), LOOSE))
    on_trial(boxes[0])
    service.tick(NOON)
    assert ask(boxes[1]).granted
    say(boxes[0], Phase.ROLLED_BACK, Reason.POWER_CUT_IN_TRIAL)
    say(boxes[1], Phase.DECLINED, Reason.TOO_LARGE)

    assert [(row.now, row.look_id is None) for row in log_of(boxes[0])][-1] == ("void", False)
    assert [(row.now, row.look_id is None) for row in log_of(boxes[1])][-1] == ("void", True)
    evidence = ledger.evidence(rollout_id, 500)
    assert evidence is not None
    assert [(look.boxes, look.silent) for look in evidence.total.looks] == [(1, 0)]


def counted(rollout_id: int) -> dict[str, int]:
    """Return how many boxes stand for what."""
    db.session.rollback()
    query = select(BoxInWave.counted).where(BoxInWave.rollout_id == rollout_id)
    return dict(Counter(one for one in db.session.scalars(query) if one is not None))


@pytest.mark.parametrize(("every_min", "is_enough"), [(5, True), (12, False)])
def test_boxes_that_speak_too_seldom_to_be_missed_are_not_looked_at(
    every_min: int, is_enough: bool
) -> None:
    boxes = a_fleet(30)
    speak(boxes, every=timedelta(minutes=every_min))
    db.session.commit()

    assert looks._speak_often(boxes, NOON + 10 * MINUTE) is is_enough
