"""Evidence over rows: few begin, bad ends keep their place, and a bad release stops itself."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.releases import denying
from oleada_server.releases import service as releases
from oleada_server.rollouts import service
from oleada_server.rollouts.evidence import ledger
from oleada_server.rollouts.evidence.models import BoxOutcome, Counted, Incident
from oleada_server.rollouts.evidence.spec import EvidenceSpec
from oleada_server.rollouts.spec import RolloutSpec, WaveSpec
from oleada_wire import messages, topics
from oleada_wire.words import BootReason, LeasePhase, Phase, Reason
from sqlalchemy import select, update

from tests.server.rollouts.fleet import (
    ANA,
    EVERYBODY,
    MINUTE,
    MODEL,
    NOON,
    a_fleet,
    a_plan,
    a_release,
    ask,
    director,
    greet,
    header,
    retained,
    row_of,
    say,
    started,
)

pytestmark = pytest.mark.usefixtures("sqlite_app")
on_both = pytest.mark.usefixtures("app")

SECOND = timedelta(seconds=1)
RIPE = timedelta(minutes=15)
LOOSE = replace(EVERYBODY, failed_share_max=1.0, silent_share_max=1.0, soak_s=0)


def judged(*waves: WaveSpec, **terms: Any) -> RolloutSpec:
    return a_plan(*(waves or (LOOSE,)), evidence=EvidenceSpec(ripe_after_s=900, **terms))


def listed(name: str, boxes: list[str]) -> WaveSpec:
    return replace(LOOSE, name=name, device_ids=tuple(boxes), share_until=None)


def on_trial(box: str, now: datetime = NOON) -> None:
    """Let a box begin, and restart into the release."""
    assert ask(box, now).granted
    say(box, Phase.DOWNLOADING, now=now)
    assert ask(box, now, LeasePhase.ARM).granted
    say(box, Phase.RESTARTING, now=now)


def breaks(box: str, now: datetime = NOON) -> None:
    say(box, Phase.ROLLED_BACK, Reason.HEALTH_CHECK, now=now)


def connect(boxes: list[str], connected: bool = True) -> None:
    for at in range(0, len(boxes), 500):
        chosen = Device.id.in_(boxes[at : at + 500])
        db.session.execute(update(Device).where(chosen).values(connected=connected))
    db.session.commit()


def ticks(start: datetime, end: datetime) -> None:
    """Tick every minute, as a server does that is never away."""
    now = start
    while now < end:
        service.tick(now)
        now += MINUTE
    service.tick(end)


def denied() -> tuple[str, ...]:
    payload = retained(topics.model(MODEL, topics.Model.DENY))
    return () if payload is None else messages.open_message(
        messages.Deny, payload, director()
    ).digests  # fmt: skip


def incidents() -> list[Incident]:
    db.session.rollback()
    return list(db.session.scalars(select(Incident).order_by(Incident.id)))


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
    boxes = a_fleet(260)
    connect(boxes)
    a_release()
    rollout_id = started(judged(listed("few", boxes[:40]), LOOSE, start_boxes=3))

    for box in boxes[:3]:
        on_trial(box)
    connect(boxes[:3], connected=False)
    ticks(NOON, NOON + RIPE - SECOND)
    assert ask(boxes[3], NOON + RIPE - SECOND).reason == "full"
    ticks(NOON + RIPE, NOON + RIPE + SECOND)

    rollout = service.get(rollout_id)
    assert rollout.state == "halted"
    assert rollout.state_reason == (
        "the evidence speaks against it: 0 failed and 3 fell silent of 3 that began, 0 proved good"
    )
    assert not ask(boxes[3], NOON + RIPE).granted
    assert denied() == ("ab" * 32,)


def test_silence_with_nobody_beside_it_asks_a_person_and_nobody_begins() -> None:
    boxes = a_fleet(10)
    a_release()
    rollout_id = started(judged(start_boxes=4))
    for box in boxes[:4]:
        on_trial(box)
    say(boxes[3], Phase.UPDATED)

    service.tick(NOON + RIPE)
    wave = service.get(rollout_id).waves[0]
    assert wave.state == "held"
    assert wave.state_reason is not None
    assert "3 boxes fell silent in their trial" in wave.state_reason
    assert ask(boxes[5], NOON + RIPE).reason == "full"

    service.go_on(rollout_id, 1, "they were moved", actor=ANA, now=NOON + RIPE)
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


@on_both
def test_a_late_healthy_report_takes_the_silence_back() -> None:
    boxes = a_fleet(10)
    a_release()
    rollout_id = started(judged())
    for box in boxes[:2]:
        on_trial(box)
    service.tick(NOON + RIPE)
    say(boxes[0], Phase.UPDATED, now=NOON + 2 * RIPE)
    service.tick(NOON + 2 * RIPE)

    evidence = ledger.evidence(rollout_id, 500)
    assert evidence is not None
    total = evidence.total
    assert (total.begun, total.silent, total.good) == (2, 1, 1)
    assert [(row.was, row.now) for row in log_of(boxes[0])] == [
        (None, "open"), ("open", "silent"), ("silent", "good"),
    ]  # fmt: skip


def test_a_bad_end_that_a_person_retries_is_not_forgotten() -> None:
    boxes = a_fleet(30)
    a_release()
    rollout_id = started(judged())
    on_trial(boxes[0])
    breaks(boxes[0])
    service.retry(rollout_id, actor=ANA, now=NOON, device_ids=[boxes[0]])
    on_trial(boxes[0])
    say(boxes[0], Phase.UPDATED)
    service.tick(NOON + RIPE)

    evidence = ledger.evidence(rollout_id, 500)
    assert evidence is not None
    assert (evidence.total.begun, evidence.total.bad, evidence.total.good) == (2, 1, 1)


def test_a_power_cut_in_the_trial_says_nothing() -> None:
    (box, *_) = a_fleet(5)
    a_release()
    rollout_id = started(judged())
    on_trial(box)
    say(box, Phase.ROLLED_BACK, Reason.POWER_CUT_IN_TRIAL)

    assert [row.now for row in log_of(box)] == [Counted.OPEN, Counted.VOID]
    evidence = ledger.evidence(rollout_id, 500)
    assert evidence is not None
    assert (evidence.total.begun, evidence.total.bad) == (0, 0)


def test_a_server_that_was_away_counts_nobody_as_silent_for_it() -> None:
    boxes = a_fleet(10)
    a_release()
    rollout_id = started(judged(start_boxes=5))
    for box in boxes[:5]:
        on_trial(box)
    service.tick(NOON)

    back = NOON + 2 * RIPE
    service.tick(back)
    assert {row_of(box).state for box in boxes[:5]} == {"restarting"}
    for box in boxes[:5]:
        say(box, Phase.UPDATED, now=back + SECOND)
    service.tick(back + 2 * SECOND)
    assert service.get(rollout_id).waves[0].state != "held"


def test_a_box_that_waits_with_its_download_is_not_silent() -> None:
    boxes = a_fleet(10)
    a_release()
    rollout_id = started(judged())
    assert ask(boxes[0]).granted
    say(boxes[0], Phase.INSTALLING)
    ticks(NOON, NOON + 2 * RIPE)

    assert row_of(boxes[0]).state == "installing"
    evidence = ledger.evidence(rollout_id, 500)
    assert evidence is not None
    assert evidence.total.silent == 0


def test_the_log_alone_gives_every_number_again() -> None:
    boxes = a_fleet(20)
    a_release()
    rollout_id = started(judged())
    for box in boxes[:6]:
        on_trial(box)
    breaks(boxes[0])
    say(boxes[1], Phase.UPDATED)
    service.tick(NOON + RIPE)
    say(boxes[2], Phase.UPDATED, now=NOON + RIPE)
    service.tick(NOON + RIPE + SECOND)

    stands_for: dict[tuple[int, int], str] = {}
    for row in db.session.scalars(select(BoxOutcome).order_by(BoxOutcome.id)):
        assert stands_for.get((row.box_id, row.attempt)) == row.was
        stands_for[row.box_id, row.attempt] = row.now
    counted = {name: list(stands_for.values()).count(name) for name in set(stands_for.values())}
    evidence = ledger.evidence(rollout_id, 500)
    assert evidence is not None
    total = evidence.total
    assert counted == {"bad": total.bad, "silent": total.silent, "good": total.good}
    assert json.dumps(counted, sort_keys=True) == '{"bad": 1, "good": 2, "silent": 3}'


def log_of(device_id: str) -> list[BoxOutcome]:
    row = row_of(device_id)
    query = select(BoxOutcome).where(BoxOutcome.box_id == row.id)
    return list(db.session.scalars(query.order_by(BoxOutcome.id)))


def test_how_far_boxes_have_come_is_four_counts_and_only_the_last_is_evidence() -> None:
    boxes = a_fleet(8)
    a_release()
    rollout_id = started(judged())
    for box in boxes[:4]:
        on_trial(box)
    say(boxes[1], Phase.CHECKING)
    say(boxes[2], Phase.UPDATED)
    say(boxes[3], Phase.UPDATED)

    def stages() -> dict[str, int]:
        return service.summary(rollout_id)[0].stages

    assert stages() == {"installed": 4, "booted": 3, "healthy": 2, "soaked": 0}
    say(boxes[0], Phase.CHECKING, now=NOON + RIPE - MINUTE)
    service.tick(NOON + RIPE)
    assert stages()["soaked"] == 2


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0", "1.2.0"])
def test_a_box_that_said_it_was_updated_and_runs_older_again_speaks_against(version: str) -> None:
    (box, *_) = a_fleet(5)
    a_release()
    rollout_id = started(judged())
    on_trial(box)
    say(box, Phase.UPDATED)
    service.tick(NOON + RIPE)
    db.session.execute(update(Device).values(boot_count=1, seq=1))
    db.session.commit()

    greet(box, version=version, assignment_seq=0, now=NOON + RIPE)
    assert row_of(box).state == "updated", "that hello is as old as the verdict"
    hello_later(box, version)

    fell = version == "1.0.0"
    assert row_of(box).state == ("rolled_back" if fell else "updated")
    evidence = ledger.evidence(rollout_id, 500)
    assert evidence is not None
    assert (evidence.total.good, evidence.total.bad) == ((0, 1) if fell else (1, 0))


def hello_later(box: str, version: str) -> None:
    """Let a box say hello a minute after its verdict."""
    later = NOON + MINUTE
    hello = messages.Hello(
        header=header(now=later), hardware_model=MODEL, serial="S", running_slot="A",
        version=version, security_version=1, slots=(), agent_version="1", zone="UTC",
        boot_reason=BootReason.FALLBACK, assignment_seq=0, security_floor=1,
    )  # fmt: skip
    service.record_hello(box, hello, later)
    db.session.commit()
