"""Evidence over rows: few begin, bad ends keep their place, and a bad release stops itself."""

from dataclasses import replace

import pytest
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.releases import denying
from oleada_server.releases import service as releases
from oleada_server.rollouts import service
from oleada_server.rollouts.evidence import ledger
from oleada_wire.words import LeasePhase, Phase
from sqlalchemy import update

from tests.server.rollouts.evidence.trials import (
    HUSH,
    LOOSE,
    RIPE,
    SECOND,
    breaks,
    connect,
    denied,
    incidents,
    judged,
    listed,
    on_trial,
    ticks,
)  # fmt: skip
from tests.server.rollouts.fleet import (
    ANA,
    MODEL,
    NOON,
    a_fleet,
    a_release,
    ask,
    row_of,
    say,
    started,
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("sqlite_app")
on_both = pytest.mark.usefixtures("app")


def test_only_the_first_few_may_begin_and_each_proved_box_lets_one_more() -> None:
    boxes = a_fleet(8)
    a_release()
    started(judged(start_boxes=2))

    for box in boxes[:2]:
        on_trial(box)
        say(box, Phase.UPDATED)
    service.tick(NOON)
    assert ask(boxes[2]).reason == "full"

    later = NOON + RIPE
    service.tick(later)
    for box in boxes[2:6]:
        on_trial(box, later)
    assert ask(boxes[6], later).reason == "full"


@on_both
def test_a_release_that_silently_kills_costs_no_more_than_the_first_boxes() -> None:
    """However short leases are, and however long boxes may draw before they begin."""
    boxes = a_fleet(260)
    connect(boxes)
    a_release()
    plan = judged(listed("few", boxes[:40]), LOOSE, start_boxes=3)
    rollout_id = started(replace(plan, lease_s=600, spread_s=7200))

    for box in boxes[:3]:
        on_trial(box)
    connect(boxes[:3], connected=False)
    ticks(NOON, NOON + HUSH - SECOND)
    assert ask(boxes[3], NOON + HUSH - SECOND).reason == "full"
    ticks(NOON + HUSH, NOON + HUSH + SECOND)

    rollout = service.get(rollout_id)
    assert rollout.state == "halted"
    assert rollout.state_reason == (
        "the evidence speaks against it: 0 failed and 3 fell silent of 3 that began, 0 proved good"
    )
    assert not ask(boxes[3], NOON + HUSH).granted
    assert denied() == ("ab" * 32,)


def test_after_a_pause_silence_in_a_trial_counts_as_soon_as_in_any_trial() -> None:
    boxes = a_fleet(6)
    a_release()
    rollout_id = started(replace(judged(start_boxes=3), silent_after_s=86_400))
    for box in boxes[:3]:
        on_trial(box)
    service.pause(rollout_id, "a call", actor=ANA, now=NOON + RIPE)
    resumed = NOON + 5 * RIPE
    ticks(NOON + RIPE, resumed)
    service.resume(rollout_id, actor=ANA, now=resumed)

    ticks(resumed, resumed + HUSH - SECOND)
    assert row_of(boxes[0]).state == "restarting", "the pause is nobody's silence"
    assert ask(boxes[3], resumed + HUSH - SECOND).reason == "full"
    service.tick(resumed + HUSH)

    assert service.get(rollout_id).waves[0].state == "held"


def test_silence_with_nobody_beside_it_asks_a_person_and_nobody_begins() -> None:
    boxes = a_fleet(10)
    a_release()
    rollout_id = started(judged(start_boxes=4))
    for box in boxes[:4]:
        on_trial(box)
    say(boxes[3], Phase.UPDATED)

    service.tick(NOON + HUSH)
    wave = service.get(rollout_id).waves[0]
    assert wave.state == "held"
    assert wave.state_reason is not None
    assert "3 boxes fell silent in their trial" in wave.state_reason
    assert ask(boxes[5], NOON + HUSH).reason == "full"

    service.go_on(rollout_id, 1, "they were moved", actor=ANA, now=NOON + HUSH)
    assert service.get(rollout_id).waves[0].state == "open"


def test_a_halt_freezes_leases_denies_the_digest_and_opens_an_incident() -> None:
    boxes = a_fleet(30)
    release = a_release()
    rollout_id = started(judged())
    for box in boxes[:6]:
        on_trial(box)
    assert ask(boxes[6]).granted
    for box in boxes[:4]:
        breaks(box)
    service.tick(NOON)

    assert service.get(rollout_id).state == "halted"
    assert ask(boxes[6], phase=LeasePhase.ARM).reason == "denied"
    assert not ask(boxes[7]).granted
    assert denied() == (release.sha256,)
    (found,) = incidents()
    assert (found.begun, found.bad, found.silent, found.good) == (7, 4, 0, 0)
    assert (found.top_fault, found.top_fault_boxes) == ("health-check", 4)
    assert found.log_e > 4.6
    assert found.reason == service.get(rollout_id).state_reason


def test_trials_that_the_plan_leaves_alone_end_before_the_digest_is_denied() -> None:
    boxes = a_fleet(10)
    release = a_release()
    started(judged(rolls_back_trials=False))
    for box in boxes[:6]:
        on_trial(box)
    for box in boxes[:4]:
        breaks(box)
    service.tick(NOON)
    assert denied() == ()

    say(boxes[4], Phase.UPDATED, now=NOON + SECOND)
    breaks(boxes[5], NOON + SECOND)
    service.tick(NOON + 2 * SECOND)
    assert denied() == (release.sha256,)


def test_who_begins_the_next_rollout_of_it_takes_the_digest_off_the_list() -> None:
    boxes = a_fleet(10)
    a_release()
    started(judged())
    for box in boxes[:4]:
        on_trial(box)
        breaks(box)
    service.tick(NOON)
    assert denied() != ()

    started(judged(listed("two", boxes[6:8])), NOON + SECOND)
    assert denied() == ()
    assert ask(boxes[6], NOON + 2 * SECOND).granted
    service.tick(NOON + 3 * SECOND)
    assert denied() == ()


def test_what_was_withdrawn_stays_denied_whatever_begins() -> None:
    a_fleet(2)
    release = a_release()
    releases.withdraw(MODEL, "1.1.0", "it burns", ANA, NOON)
    denying.queue_denial(release.id, NOON)
    denying.queue_allowance(release.id, NOON)
    db.session.commit()

    assert denied() == (release.sha256,)


@on_both
def test_a_bad_model_of_old_version_halts_alone_and_the_others_go_on() -> None:
    boxes = a_fleet(60)
    db.session.execute(update(Device).where(Device.id.in_(boxes[:20])).values(version="0.9.0"))
    db.session.commit()
    a_release()
    rollout_id = started(judged(start_boxes=100))
    for box in boxes[20:30]:
        on_trial(box)
        say(box, Phase.UPDATED)
    for box in boxes[:4]:
        on_trial(box)
        breaks(box)
    service.tick(NOON)

    assert service.get(rollout_id).state == "running"
    assert ledger.halted_versions(rollout_id) == ["0.9.0"]
    assert not ask(boxes[7], NOON + RIPE).granted
    assert ask(boxes[50], NOON + RIPE).granted
    (found,) = incidents()
    assert (found.begun, found.bad) == (4, 4)
    assert row_of(boxes[8]).state == "queued"
    assert denied() == ()


def test_a_wave_passes_when_enough_boxes_have_proved_good_and_no_sooner() -> None:
    boxes = a_fleet(12)
    a_release()
    first = listed("first", boxes[:9])
    rollout_id = started(judged(first, LOOSE, start_boxes=60, bad_share_max=0.3))
    for box in boxes[:9]:
        on_trial(box)
        say(box, Phase.UPDATED)

    service.tick(NOON + RIPE - SECOND)
    assert service.get(rollout_id).waves[0].state == "soaking"
    service.tick(NOON + RIPE)
    assert [wave.state for wave in service.get(rollout_id).waves] == ["passed", "open"]


def test_a_wave_too_small_to_prove_anything_asks_a_person() -> None:
    boxes = a_fleet(12)
    a_release()
    rollout_id = started(judged(listed("first", boxes[:5]), LOOSE))
    for box in boxes[:5]:
        on_trial(box)
        say(box, Phase.UPDATED)
    service.tick(NOON + RIPE)

    wave = service.get(rollout_id).waves[0]
    assert wave.state == "held"
    assert wave.state_reason == (
        "wave 1 is undecided: 0 failed and 0 fell silent of 5 that began, 5 proved good; "
        "59 good boxes and none bad would decide it"
    )
    service.go_on(rollout_id, 1, "it ran in the laboratory", actor=ANA, now=NOON + RIPE)
    assert [wave.state for wave in service.get(rollout_id).waves] == ["passed", "open"]
