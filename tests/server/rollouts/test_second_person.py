"""A second person approves, sends back, and lifts the hold of a wave; never the planner."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask, current_app, g
from oleada_server.accounts import service as accounts
from oleada_server.accounts import tokens
from oleada_server.accounts.models import Role
from oleada_server.audit import service as audit
from oleada_server.clock import now_utc
from oleada_server.db import db
from oleada_server.errors import BadInputError
from oleada_server.releases import service as releases
from oleada_server.rollouts import service
from oleada_server.rollouts.errors import (
    ApprovalMissingError,
    NothingProvenError,
    ReleaseWithdrawnError,
    RolloutStateError,
    SecondPersonError,
    WaveNotHeldError,
)
from oleada_server.rollouts.spec import WaveSpec
from oleada_wire.words import Phase, Reason

from tests.server.rollouts.fleet import (
    ANA,
    DAY,
    EVERYBODY,
    HOUR,
    NOON,
    a_fleet,
    a_plan,
    a_release,
    say,
    started,
    told,
)

pytestmark = pytest.mark.usefixtures("app")
BEN = "user:ben"


def planned(*waves: WaveSpec) -> int:
    """Plan a rollout in the console, as Ana."""
    return service.create(a_plan(*waves), actor=ANA, now=NOON, in_console=True)


def asked(*waves: WaveSpec) -> int:
    rollout_id = planned(*waves)
    service.ask_approval(rollout_id, "fixes F-118", actor=ANA, now=NOON)
    return rollout_id


def set_policy(policy: str) -> None:
    extensions = current_app.extensions
    extensions["oleada_config"] = replace(extensions["oleada_config"], rollout_approval=policy)


def state_of(rollout_id: int) -> str:
    db.session.rollback()
    db.session.expire_all()
    return str(service.get(rollout_id).state)


def test_a_plan_of_the_console_begins_only_after_a_second_person_has_approved_it() -> None:
    boxes = a_fleet(4)
    a_release()
    rollout_id = planned()

    with pytest.raises(ApprovalMissingError):
        service.start(rollout_id, actor=ANA, now=NOON)
    service.ask_approval(rollout_id, "fixes F-118", actor=ANA, now=NOON)
    assert state_of(rollout_id) == "awaiting_approval"
    service.tick(NOON)
    assert all(told(box) is None for box in boxes)
    service.approve(rollout_id, actor=BEN, now=NOON + HOUR)

    found = service.get(rollout_id)
    assert (found.state, found.asked_by, found.approved_by) == ("running", ANA, BEN)
    assert all(told(box) is not None for box in boxes)


def test_who_planned_it_or_asked_can_not_approve_it() -> None:
    a_fleet(4)
    a_release()
    rollout_id = planned()
    service.ask_approval(rollout_id, "please", actor=BEN, now=NOON)

    for actor in (ANA, BEN):
        with pytest.raises(SecondPersonError):
            service.approve(rollout_id, actor=actor, now=NOON)

    assert state_of(rollout_id) == "awaiting_approval"


def test_what_is_sent_back_is_a_draft_with_the_reason_and_may_be_asked_again() -> None:
    a_fleet(4)
    a_release()
    rollout_id = asked()

    service.send_back(rollout_id, "wave 1 is too large", actor=BEN, now=NOON)

    found = service.get(rollout_id)
    assert (found.state, found.state_reason) == ("draft", "wave 1 is too large")
    with pytest.raises(RolloutStateError):
        service.approve(rollout_id, actor=BEN, now=NOON)
    service.ask_approval(rollout_id, "smaller now", actor=ANA, now=NOON)
    service.approve(rollout_id, actor=BEN, now=NOON)
    trail = [(one.action, one.actor, one.reason) for one in audit.events_about(f"R-{rollout_id}")]
    assert trail[::-1][:5] == [
        ("rollout.create", ANA, None),
        ("rollout.ask", ANA, "fixes F-118"),
        ("rollout.send_back", BEN, "wave 1 is too large"),
        ("rollout.ask", ANA, "smaller now"),
        ("rollout.approve", BEN, None),
    ]


def test_of_two_approvals_at_once_the_second_finds_it_decided() -> None:
    a_fleet(4)
    a_release()
    rollout_id = asked()
    service.approve(rollout_id, actor=BEN, now=NOON)

    with pytest.raises(RolloutStateError, match="is running"):
        service.approve(rollout_id, actor="user:eva", now=NOON)


def test_a_release_that_was_withdrawn_meanwhile_is_not_approved() -> None:
    a_fleet(4)
    a_release()
    rollout_id = asked()

    releases.withdraw("VX-410", "1.1.0", "audio drops", ANA, NOON)

    assert state_of(rollout_id) == "stopped"
    with pytest.raises(ReleaseWithdrawnError):
        planned()


@pytest.mark.parametrize("remark", ["", "  \n"])
def test_without_a_remark_or_a_reason_nothing_is_decided(remark: str) -> None:
    a_fleet(4)
    a_release()
    rollout_id = planned()

    with pytest.raises(BadInputError):
        service.ask_approval(rollout_id, remark, actor=ANA, now=NOON)
    service.ask_approval(rollout_id, "now with a remark", actor=ANA, now=NOON)
    with pytest.raises(BadInputError):
        service.send_back(rollout_id, remark, actor=BEN, now=NOON)


@pytest.mark.parametrize(
    ("policy", "in_console", "needed"),
    [
        ("console", True, True),
        ("console", False, False),
        ("always", False, True),
        ("never", True, False),
    ],
)
def test_the_setting_decides_whose_plans_need_approval(
    policy: str, in_console: bool, needed: bool
) -> None:
    a_fleet(4)
    a_release()
    set_policy(policy)
    rollout_id = service.create(a_plan(), actor=ANA, now=NOON, in_console=in_console)

    if needed:
        with pytest.raises(ApprovalMissingError):
            service.start(rollout_id, actor=ANA, now=NOON)
    else:
        assert service.start(rollout_id, actor=ANA, now=NOON) == "running"


def test_a_setting_that_is_loosened_frees_no_plan_and_one_that_is_tightened_binds_all() -> None:
    a_fleet(4)
    a_release()
    strict = planned()
    loose = service.create(a_plan(), actor=ANA, now=NOON)

    set_policy("never")
    with pytest.raises(ApprovalMissingError):
        service.start(strict, actor=ANA, now=NOON)
    set_policy("always")
    with pytest.raises(ApprovalMissingError):
        service.start(loose, actor=ANA, now=NOON)


FOUR = replace(EVERYBODY, success_share_min=0.75, soak_s=60)


def held_for_silence() -> int:
    """Return a rollout whose wave of four holds: one good, three silent."""
    boxes = a_fleet(4)
    a_release()
    rollout_id = started(a_plan(FOUR))
    say(boxes[0], Phase.UPDATED)
    service.tick(NOON + 2 * HOUR)
    return rollout_id


def test_a_person_lets_a_held_wave_go_on_and_it_still_soaks() -> None:
    rollout_id = held_for_silence()
    assert service.get(rollout_id).waves[0].state == "held"

    service.go_on(rollout_id, 1, "they are at the sea", actor=BEN, now=NOON + 3 * HOUR)

    db.session.expire_all()
    wave = service.get(rollout_id).waves[0]
    assert (wave.state, wave.silent_accepted, wave.good_accepted) == ("soaking", 3, 1)
    newest = next(e for e in audit.events_about(f"R-{rollout_id}") if e.action == "wave.accept")
    assert (newest.actor, newest.reason) == (BEN, "they are at the sea")
    service.tick(NOON + 3 * HOUR + DAY)
    assert state_of(rollout_id) == "finished"


def test_what_was_accepted_does_not_cover_a_failure() -> None:
    rollout_id = held_for_silence()
    service.go_on(rollout_id, 1, "they are at the sea", actor=BEN, now=NOON + 3 * HOUR)

    say("VX410000001", Phase.ROLLED_BACK, Reason.HEALTH_CHECK, now=NOON + 4 * HOUR)
    service.tick(NOON + 4 * HOUR)

    assert state_of(rollout_id) == "halted"


def test_a_wave_without_one_good_box_never_goes_on() -> None:
    a_fleet(4)
    a_release()
    rollout_id = started(a_plan(FOUR))
    service.tick(NOON + 2 * HOUR)

    with pytest.raises(NothingProvenError):
        service.go_on(rollout_id, 1, "never mind", actor=BEN, now=NOON + 3 * HOUR)

    assert service.get(rollout_id).waves[0].state == "held"


def test_only_a_held_wave_waits_for_a_person() -> None:
    a_fleet(4)
    a_release()
    rollout_id = started(a_plan(FOUR))

    with pytest.raises(WaveNotHeldError):
        service.go_on(rollout_id, 1, "faster", actor=BEN, now=NOON)


def test_the_planner_of_an_approved_rollout_does_not_lift_its_hold() -> None:
    boxes = a_fleet(4)
    a_release()
    rollout_id = asked(FOUR)
    service.approve(rollout_id, actor=BEN, now=NOON)
    say(boxes[0], Phase.UPDATED)
    service.tick(NOON + 2 * HOUR)

    with pytest.raises(SecondPersonError):
        service.go_on(rollout_id, 1, "my own", actor=ANA, now=NOON + 3 * HOUR)


Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def ask(app: Flask) -> Ask:
    """Ask the REST API as one of two people: ana, operator, and ben, approver."""
    now, client, bearer = now_utc(), app.test_client(), {}
    for name, role in (("ana", Role.OPERATOR), ("ben", Role.APPROVER)):
        accounts.add_user(name, full_name=name, role=role, actor="system:test", now=now)
        scopes = ["rollouts:read", "rollouts:write"]
        scopes += ["rollouts:approve"] if role is Role.APPROVER else []
        bearer[name] = tokens.create_token(name, "t", scopes, actor="system:test", now=now)

    def send(name: str, path: str, body: Any = None) -> tuple[int, Any]:
        g.pop("identity", None)  # the pushed context outlives a request
        headers = {"Authorization": f"Bearer {bearer[name]}"}
        answer = client.post(f"/api/v1/rollouts{path}", json=body or {}, headers=headers)
        return answer.status_code, answer.get_json()

    return send


def test_programs_ask_and_approve_too(ask: Ask) -> None:
    a_fleet(4)
    a_release()
    rollout_id = planned()

    refused, problem = ask("ana", f"/R-{rollout_id}/start")
    assert (refused, problem["code"]) == (409, "approval-missing")
    _, found = ask("ana", f"/R-{rollout_id}/ask", {"reason": "fixes F-118"})
    assert (found["state"], found["ask_remark"]) == ("awaiting_approval", "fixes F-118")
    assert ask("ana", f"/R-{rollout_id}/approve")[0] == 403
    status, found = ask("ben", f"/R-{rollout_id}/send-back", {"reason": "no"})
    assert status == 200, found
    assert (found["state"], found["state_reason"]) == ("draft", "no")
    ask("ana", f"/R-{rollout_id}/ask", {"reason": "again"})
    _, found = ask("ben", f"/R-{rollout_id}/approve")

    assert (found["state"], found["approved_by"]) == ("running", "user:ben")
