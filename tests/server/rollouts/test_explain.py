"""Why a box gets a release, or why not: one broken fact fails one rule, and it is named."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.rollouts import service, why
from oleada_server.rollouts.cover import BoxKind, Where
from oleada_server.rollouts.eligible import Candidate, Needs
from oleada_server.rollouts.errors import BadPlanError
from oleada_server.rollouts.evidence.spec import EvidenceSpec
from oleada_server.rollouts.explain import (
    CHANGES,
    Explanation,
    Facts,
    InWave,
    RolloutFacts,
    RuleName,
    explain,
)
from oleada_server.rollouts.models import Rollout
from oleada_server.rollouts.pace import Caps, Constant, Traffic
from oleada_server.rollouts.rules import rules_from
from oleada_server.rollouts.schedule import ALWAYS, Schedule, parse_windows
from oleada_server.rollouts.states import BoxState, RolloutState, WaveState
from oleada_wire.words import LeasePhase, Phase

from tests.server.rollouts.fleet import (
    ANA,
    EVERYBODY,
    HOUR,
    NOON,
    a_fleet,
    a_plan,
    a_release,
    ask,
    say,
    sqlite_only,
    started,
)

EVENING = Schedule(parse_windows("20:00-23:00"))
CAPS = Caps(
    in_flight_max_per_region=5,
    bandwidth_max_bytes_s=10_000_000,
    bandwidth_max_per_region_bytes_s=2_000_000,
)
READY = Facts(
    box=Candidate("VX410000001", BoxKind(version="1.0.0", provides=frozenset({"a"})), 1, None),
    needs=Needs("1.1.0", 1, "0.9", frozenset({"a"}), ("0.5.0",)),
    is_published=True,
    is_revoked=False,
    claimed_by=None,
    last_seen_at=NOON,
    is_silent=False,
    zone=ZoneInfo("UTC"),
    rollout=RolloutFacts(
        ref="R-7",
        state=RolloutState.RUNNING,
        salt="salt",
        waves=(EVERYBODY,),
        mine=InWave(
            position=1,
            wave_state=WaveState.OPEN,
            box_state=BoxState.ASSIGNED,
            is_signed=True,
            attempt=1,
            attempts_max=3,
        ),
        times=ALWAYS,
        rate=Constant(10),
        caps=CAPS,
        traffic=Traffic(),
        in_flight=0,
        in_flight_max=10,
        room=20,
    ),
)


def box(**kind: Any) -> Facts:
    return replace(READY, box=replace(READY.box, kind=replace(READY.box.kind, **kind)))


def of(**changed: Any) -> Facts:
    assert READY.rollout is not None
    return replace(READY, rollout=replace(READY.rollout, **changed))


def mine(**changed: Any) -> Facts:
    assert READY.rollout is not None
    assert READY.rollout.mine is not None
    return of(mine=replace(READY.rollout.mine, **changed))


BROKEN: dict[RuleName, Facts] = {
    RuleName.REVOKED: replace(READY, is_revoked=True),
    RuleName.PUBLISHED: replace(READY, is_published=False),
    RuleName.OTHER_VERSION: box(version="1.1"),
    RuleName.NOT_NEWER: box(version="1.2.0"),
    RuleName.SECURITY_FLOOR: replace(READY, box=replace(READY.box, security_version=2)),
    RuleName.MINIMUM_VERSION: box(version="0.8"),
    RuleName.MUST_PASS: replace(READY, needs=replace(READY.needs, passes=("0.5.0", "1.0.5"))),
    RuleName.DEPENDS: box(provides=frozenset()),
    RuleName.PRECEDENCE: replace(READY, claimed_by="R-3"),
    RuleName.PLANNED: replace(READY, rollout=None),
    RuleName.ROLLOUT_STATE: of(state=RolloutState.PAUSED),
    RuleName.WAVE: of(mine=None),
    RuleName.SIGNED: mine(is_signed=False),
    RuleName.WAVE_STATE: mine(wave_state=WaveState.WAITING),
    RuleName.BOX_STATE: mine(box_state=BoxState.FAILED),
    RuleName.CONTACT: replace(READY, is_silent=True),
    RuleName.TIME: of(times=EVENING),
    RuleName.LEFT_ALONE: of(left_alone="recording until 2026-11-21T13:00:00+00:00"),
    RuleName.IN_FLIGHT: of(in_flight=10),
    RuleName.SLOW_START: of(in_flight=5, room=5),
    RuleName.RATE: of(traffic=Traffic(begun=10)),
    RuleName.REGION: of(traffic=Traffic(in_flight_region=5)),
    RuleName.BANDWIDTH: of(traffic=Traffic(loading=10)),
    RuleName.REGION_BANDWIDTH: of(traffic=Traffic(loading_region=2)),
}


def test_a_box_that_passes_every_rule_begins_now() -> None:
    found = explain(READY, NOON)

    assert found.failed == ()
    assert found.begins_at == NOON
    assert [rule.name for rule in found.rules] == list(RuleName)


@pytest.mark.parametrize("name", BROKEN, ids=str)
def test_one_broken_fact_fails_one_rule_that_says_what_would_change_it(name: RuleName) -> None:
    found = explain(BROKEN[name], NOON)

    assert [rule.name for rule in found.failed] == [name]
    assert found.failed[0].change
    assert "{" not in found.failed[0].change
    assert found.begins_at == (NOON + 8 * HOUR if name is RuleName.TIME else None)


def test_every_rule_can_fail_and_has_a_way_out() -> None:
    assert set(BROKEN) | {RuleName.HEARD} == set(RuleName) == set(CHANGES)


def test_of_a_box_that_was_never_heard_nothing_is_taken_for_granted() -> None:
    failed = {rule.name for rule in explain(box(version=None), NOON).failed}

    assert {RuleName.HEARD, RuleName.MINIMUM_VERSION, RuleName.DEPENDS} <= failed


def test_a_box_at_work_is_not_held_by_a_limit_that_it_fills_itself() -> None:
    full = mine(box_state=BoxState.DOWNLOADING)
    assert full.rollout is not None
    full = replace(full, rollout=replace(full.rollout, in_flight=10, traffic=Traffic(begun=10)))
    assert full.rollout is not None

    assert [rule.name for rule in explain(full, NOON).failed] == [RuleName.IN_FLIGHT]
    has_place = replace(full, rollout=replace(full.rollout, has_place=True))
    assert explain(has_place, NOON).failed == (), "its lease has not run out"


def test_why_no_wave_takes_a_box_is_said_wave_by_wave() -> None:
    waves = (
        replace(EVERYBODY, share_until=0.0001),
        replace(EVERYBODY, share_until=None, device_ids=("VX410999999",)),
        replace(EVERYBODY, share_until=None, where=Where(region=("Brno",), zone=("UTC",))),
        replace(EVERYBODY, share_until=None, count=3),
    )

    rule = explain(of(mine=None, waves=waves), NOON).failed[0]

    assert "wave 1: place" in rule.seen
    assert "wave 2: not on its list" in rule.seen
    assert "wave 3: other region, zone" in rule.seen
    assert "wave 4: fits, but was not among those drawn" in rule.seen


@pytest.fixture
def fleet(app: object) -> list[str]:
    """Four boxes that were heard just now, and a release for them."""
    ids = a_fleet(4)
    for device in db.session.scalars(db.select(Device)):
        device.last_seen_at = NOON
    db.session.commit()
    a_release()
    return ids


def failing(found: Explanation) -> list[RuleName]:
    return [rule.name for rule in found.failed]


def test_the_explanation_says_what_the_box_is_answered(fleet: list[str]) -> None:
    rules = rules_from({"rate": {"kind": "constant", "per_minute": 1}})
    rollout_id = started(a_plan(rules=rules))
    before = [failing(why.of_rollout(box_id, rollout_id, NOON)) for box_id in fleet]

    granted = [ask(box_id).granted for box_id in fleet[:2]]
    after = [failing(why.of_rollout(box_id, rollout_id, NOON)) for box_id in fleet]

    assert granted == [True, False]
    assert before == [[], [], [], []]
    assert after == [[], [RuleName.RATE], [RuleName.RATE], [RuleName.RATE]]


@sqlite_only
def test_the_slow_start_is_the_limit_that_the_explanation_names(fleet: list[str]) -> None:
    rollout_id = started(a_plan(evidence=EvidenceSpec(start_boxes=2)))

    granted = [ask(box_id).granted for box_id in fleet]
    found = why.of_rollout(fleet[3], rollout_id, NOON)

    assert granted == [True, True, False, False]
    assert failing(found) == [RuleName.SLOW_START]
    assert (found.failed[0].seen, found.failed[0].wanted) == ("2", "2")
    assert found.failed[0].change.startswith("A box at work has to prove good")


@sqlite_only
def test_a_box_whose_lease_ran_out_waits_for_a_place_and_is_told_so(fleet: list[str]) -> None:
    rollout_id = started(a_plan(in_flight_max=1, lease_s=600))
    assert ask(fleet[0]).granted
    assert failing(why.of_rollout(fleet[0], rollout_id, NOON)) == []
    late = NOON + timedelta(minutes=11)
    assert ask(fleet[1], now=late).granted

    say(fleet[0], Phase.DOWNLOADING, now=late)

    found = why.of_rollout(fleet[0], rollout_id, late)
    assert failing(found) == [RuleName.IN_FLIGHT]
    assert found.failed[0].change == (
        "Another box has to finish, or the limit of 1 has to be raised."
    )
    assert ask(fleet[0], now=late, phase=LeasePhase.ARM).reason == "full"


@sqlite_only
def test_of_two_rollouts_the_one_that_has_the_box_is_named(fleet: list[str]) -> None:
    first = started(a_plan())
    a_release("1.2.0")
    second = service.create(replace(a_plan(), version="1.2.0"), actor=ANA, now=NOON)

    found = why.of_rollout(fleet[0], second, NOON)

    assert failing(found) == [RuleName.PRECEDENCE, RuleName.ROLLOUT_STATE, RuleName.WAVE]
    assert found.failed[0].change.startswith(f"It is free when R-{first} ends")


@sqlite_only
def test_without_a_rollout_the_release_is_judged_and_the_newest_is_taken(fleet: list[str]) -> None:
    a_release("1.2.0", published_at=NOON + timedelta(days=1))

    found, version = why.of_release(fleet[0], None, NOON)

    assert version == "1.2.0"
    assert failing(found) == [RuleName.PLANNED]
    assert why.of_release(fleet[0], "1.1.0", NOON)[1] == "1.1.0"


@sqlite_only
def test_the_rollout_that_has_the_box_explains_it_even_after_its_end(fleet: list[str]) -> None:
    rollout_id = started(a_plan(replace(EVERYBODY, share_until=None, device_ids=(fleet[0],))))
    service.stop(rollout_id, "enough", actor=ANA, now=NOON)
    started(a_plan(replace(EVERYBODY, share_until=None, device_ids=(fleet[1],))))

    ended, _ = why.of_release(fleet[0], "1.1.0", NOON)

    assert RuleName.ROLLOUT_STATE in failing(ended)


@sqlite_only
def test_rules_that_can_not_be_read_explain_nothing(fleet: list[str]) -> None:
    rollout_id = started(a_plan())
    db.session.get_one(Rollout, rollout_id).rules = {"windows": "always"}
    db.session.commit()

    with pytest.raises(BadPlanError, match="can not be read"):
        why.of_rollout(fleet[0], rollout_id, NOON)


@sqlite_only
def test_a_box_of_another_model_is_no_question(fleet: list[str]) -> None:
    rollout_id = started(a_plan())
    other = a_fleet(1, model="VX-240")[0]

    with pytest.raises(BadPlanError, match="VX-240"):
        why.of_rollout(other, rollout_id, NOON)
