"""What people order of a box: signed, once, with the right, with consent, and cancelled."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from oleada_server.accounts import second_person
from oleada_server.accounts import service as accounts
from oleada_server.accounts.errors import NotYoursError, RoleMissingError, ScopeMissingError
from oleada_server.accounts.models import AskedDeed, Role
from oleada_server.actions import rules, service
from oleada_server.actions.errors import (
    ActionDeniedError,
    ActionEndedError,
    ActionKeyReusedError,
    ActionNotKnownError,
    BadActionError,
    ConsentMissingError,
    TooManyActionsError,
)
from oleada_server.actions.models import ActionOrder
from oleada_server.actions.rules import Given, State
from oleada_server.audit.models import AuditEvent
from oleada_server.db import db
from oleada_server.devices.errors import DeviceNotFoundError
from oleada_server.devices.models import Device
from oleada_server.enrolment.errors import BoxRevokedError
from oleada_server.messaging.models import OutboxMessage
from oleada_wire.action_table import TABLE
from oleada_wire.actions import Risk
from sqlalchemy import delete, select

from tests.server.actions.orders import (
    BOX,
    NOON,
    STANDBY,
    a_box,
    a_person,
    a_wish,
    ordered,
    queued,
)

pytestmark = pytest.mark.usefixtures("sqlite_app")


def test_an_order_is_a_command_that_the_director_signs_for_this_box_alone() -> None:
    a_box()

    made = ordered(timeout_ms=5_000)

    (command,) = queued()
    assert (command.cmd_id, command.device_id, command.verb) == (made.id, BOX, "ip_ping")
    assert command.arguments["host"] == "a.example"
    assert command.arguments["repetitions"] == 4, "defaults are said, so that both sides agree"
    assert (command.timeout_ms, command.cmd_seq) == (5_000, made.cmd_seq)
    assert command.expires_ms == int((NOON + timedelta(minutes=2)).timestamp() * 1000)


def test_every_order_has_a_higher_number_than_the_one_before() -> None:
    a_box(cmd_seq=41)

    numbers = [ordered().cmd_seq, ordered().cmd_seq]

    assert numbers == [42, 43]


def test_who_ordered_what_and_why_is_in_the_audit_trail() -> None:
    a_box()

    made = ordered()

    event = db.session.scalars(select(AuditEvent)).one()
    assert (event.actor, event.action, event.object_ref) == (
        "user:elena", "device.act", f"device:{BOX}",
    )  # fmt: skip
    assert event.reason == "no picture"
    assert event.after is not None
    assert event.after["id"] == made.id


def test_the_same_key_orders_once_and_no_other_order() -> None:
    a_box()
    first = ordered(key="k-1")

    again = ordered(key="k-1")

    assert again.id == first.id
    assert len(queued()) == 1
    with pytest.raises(ActionKeyReusedError, match="choose a new key"):
        ordered(key="k-1", reason="another reason")


def test_a_request_repeated_with_its_key_waits_once_for_a_second_person() -> None:
    a_box()
    admin = a_person("admin", Role.ADMIN)
    wish = a_wish("factory_reset", key="once")

    first = service.order(wish, admin, NOON)

    assert service.order(wish, admin, NOON + timedelta(seconds=2)) == first
    assert service.order(replace(wish, reason="Another one."), admin, NOON) != first


def test_an_order_that_was_made_lately_stands_for_those_that_come_at_once() -> None:
    a_box()
    wish = a_wish("self_test", unless_since=NOON - timedelta(minutes=5))

    first = service.order(wish, a_person("elena"), NOON)
    assert isinstance(first, ActionOrder)
    again = service.order(wish, a_person("jan"), NOON + timedelta(seconds=1))

    assert isinstance(again, ActionOrder)
    assert again.id == first.id
    assert len(queued()) == 1


def test_two_people_may_choose_the_same_key() -> None:
    a_box()

    assert ordered(key="k").id != ordered(key="k", person=a_person("omar")).id


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"arguments": {}}, "'host': it is missing"),
        ({"arguments": {"host": "a", "repetitions": 51}}, "51 is not 1 to 50"),
        ({"arguments": {"host": "a; reboot"}}, "must match"),
        ({"arguments": {"host": "a", "colour": 1}}, "it is unknown"),
        ({"reason": "  "}, "A reason has 1 to 200"),
        ({"reason": "a\x1b[2J"}, "printable"),
        ({"reason": "a" * 201}, "A reason has 1 to 200"),
        ({"key": ""}, "An Idempotency-Key has"),
    ],
)
def test_an_order_that_can_not_be_meant_is_refused_and_nothing_is_sent(
    wish: dict[str, Any], says: str
) -> None:
    a_box()

    with pytest.raises(BadActionError, match=says):
        ordered(**wish)

    assert queued() == []


def test_an_unknown_action_is_told_with_those_that_are_known() -> None:
    a_box()

    with pytest.raises(ActionNotKnownError, match="'explode'; there are: ping, report_health"):
        ordered("explode")


def test_cancel_is_no_action_of_its_own() -> None:
    a_box()

    with pytest.raises(ActionNotKnownError):
        ordered("cancel", arguments={"cmd_id": "x"})


def test_an_older_agent_is_sent_what_it_knows_as_it_knows_it_and_nothing_else() -> None:
    a_box(reads_actions=False)

    ordered("report_health")

    (command,) = queued()
    assert (command.verb, command.arguments, command.timeout_ms) == ("report_health", {}, None)
    with pytest.raises(ActionNotKnownError, match="it knows: ping, report_health"):
        ordered()


def test_what_a_box_denies_is_not_even_sent() -> None:
    a_box(denied_actions=["screenshot"])

    with pytest.raises(ActionDeniedError, match="screenshot for nobody"):
        ordered("screenshot", consent=Given.VIEWER)

    assert queued() == []


def test_a_revoked_box_and_one_that_is_not_there_are_sent_nothing() -> None:
    a_box(revoked_at=NOON)

    with pytest.raises(BoxRevokedError):
        ordered()
    with pytest.raises(DeviceNotFoundError):
        ordered(device_id="AAAA00000000")


def test_what_can_be_noticed_waits_for_consent_unless_the_box_sleeps() -> None:
    a_box()

    with pytest.raises(ConsentMissingError, match="Ask the subscriber"):
        ordered("restart_app")

    assert ordered("restart_app", consent=Given.VIEWER).consent == "viewer"


def test_a_box_in_standby_disturbs_nobody_as_long_as_that_is_news() -> None:
    a_box(health={STANDBY: True}, health_at=NOON - timedelta(minutes=14))
    assert ordered("restart_app").consent == "none"

    device = db.session.get_one(Device, BOX)
    device.health_at = NOON - timedelta(minutes=16)
    db.session.commit()

    with pytest.raises(ConsentMissingError):
        ordered("restart_app")


def test_a_restart_that_waits_until_nobody_watches_needs_no_consent() -> None:
    a_box()

    assert ordered("reboot").consent == "none"
    with pytest.raises(ConsentMissingError):
        ordered("reboot", arguments={"when_idle": False})


@pytest.mark.parametrize("risk", list(Risk))
def test_each_risk_needs_the_right_of_its_own(risk: Risk) -> None:
    action = next(action for action in TABLE if action.risk is risk)
    others = frozenset(rules.SCOPES.values()) - {rules.SCOPES[risk]}
    a_box()

    with pytest.raises(RoleMissingError):
        service.order(a_wish(action.name), a_person(role=Role.VIEWER), NOON)
    narrow = replace(a_person(role=Role.ADMIN), scopes=others)
    with pytest.raises(ScopeMissingError):
        service.order(a_wish(action.name), narrow, NOON)

    assert queued() == []


def test_a_factory_reset_waits_for_a_second_person_who_is_another_one() -> None:
    a_box()
    elena, omar = a_person("elena", Role.OPERATOR), a_person("omar", Role.OPERATOR)
    accounts.add_user("elena", full_name="Elena", role=Role.OPERATOR, actor="system:test", now=NOON)

    number = service.order(a_wish("factory_reset"), elena, NOON)

    assert isinstance(number, int)
    assert queued() == []
    with pytest.raises(NotYoursError):
        second_person.decide(number, elena, confirm=True, now=NOON)
    second_person.decide(number, omar, confirm=True, now=NOON)
    (command,) = queued()
    made = db.session.scalars(select(ActionOrder)).one()
    assert command.verb == "factory_reset"
    assert (made.asked_by, made.confirmed_by) == ("user:elena", "user:omar")
    assert made.consent == "second-person"


def test_support_resets_no_box_not_even_with_a_pin() -> None:
    a_box()

    with pytest.raises(RoleMissingError):
        service.order(a_wish("factory_reset", arguments={"pin": "4711"}), a_person(), NOON)


def test_the_subscribers_pin_stands_for_the_second_person_and_is_kept_nowhere() -> None:
    a_box()

    made = ordered(
        "factory_reset", person=a_person(role=Role.OPERATOR), arguments={"pin": "90817263"},
        key="k",
    )  # fmt: skip

    assert made.consent == "pin"
    assert queued()[0].arguments["pin"] == "90817263"
    db.session.execute(delete(OutboxMessage))  # the broker has it
    kept = [dict(row._mapping) for table in db.metadata.sorted_tables
            for row in db.session.execute(table.select())]  # fmt: skip
    assert "90817263" not in json.dumps(kept, default=repr)
    assert db.session.scalars(select(AskedDeed)).all() == []


def test_too_many_actions_of_one_box_are_refused_until_some_have_ended() -> None:
    a_box()
    for _ in range(service.WAITING_MAX):
        ordered("ping")

    with pytest.raises(TooManyActionsError, match="24 actions of this box wait already"):
        ordered("ping")

    assert service.order(a_wish("ping"), a_person(), NOON + timedelta(minutes=3))


def test_cancelling_tells_the_box_once_which_action_ends() -> None:
    a_box()
    made = ordered()

    service.cancel(made.id, a_person("omar"), NOON)
    service.cancel(made.id, a_person("omar"), NOON)

    _, ending = queued()
    assert (ending.verb, ending.arguments) == ("cancel", {"cmd_id": made.id})
    assert ending.cmd_seq > made.cmd_seq
    assert service.get(made.id).cancelled_by == "user:omar"


def test_what_nobody_will_hear_of_any_more_can_not_be_cancelled() -> None:
    a_box()
    made = ordered()

    with pytest.raises(ActionEndedError, match="silent"):
        service.cancel(made.id, a_person(), NOON + timedelta(minutes=10))


def test_an_order_waits_runs_and_falls_silent() -> None:
    expires, timeout_ms = NOON + timedelta(minutes=2), 20_000

    def state(minutes: float, heard: bool = False, status: str | None = None) -> State:
        now = NOON + timedelta(minutes=minutes)
        return rules.state_of(status, NOON if heard else None, expires, timeout_ms, now)

    assert state(1) is State.WAITING
    assert state(1, heard=True) is State.RUNNING
    assert state(3.3) is State.WAITING, "a box may begin at the last moment"
    assert state(3.4) is State.SILENT
    assert state(3.4, heard=True) is State.SILENT
    assert state(99, status="Complete") is State.DONE
