"""What takes two persons: one asks, another one confirms, and nobody is both."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask, current_app
from oleada_server.accounts import factors, rights_given, second_person, service, tokens
from oleada_server.accounts.errors import (
    AskedDeedExpiredError,
    AskedDeedNotFoundError,
    NotYoursError,
    RoleMissingError,
    ScopeMissingError,
)
from oleada_server.accounts.models import Role, SecondFactor
from oleada_server.accounts.rights import GUARDED, Identity
from oleada_server.accounts.rights_given import gives_power
from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.devices.errors import DeviceNotFoundError
from oleada_server.devices.models import Device
from oleada_server.enrolment import mass_revocation, revocations
from oleada_server.enrolment.errors import RevokedTooManyError
from oleada_server.errors import BadInputError, ConflictError

from tests.server.rollouts.fleet import a_fleet

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
WHY = "she is new in the team"


@pytest.fixture(autouse=True)
def people(sqlite_app: Flask) -> None:
    """Two who give roles, two who revoke boxes, and Bob, who looks."""
    for name, role in (
        ("ute", Role.USER_ADMIN), ("uwe", Role.USER_ADMIN), ("bob", Role.VIEWER),
        ("dan", Role.DEVICE_CA_ADMIN), ("dora", Role.DEVICE_CA_ADMIN),
    ):  # fmt: skip
        service.add_user(name, full_name=name.title(), role=role, actor="system:test", now=NOON)


def person(name: str, *scopes: str) -> Identity:
    found = service.identity_of(service.find_user(name))
    return replace(found, scopes=frozenset(scopes)) if scopes else found


def role_of(name: str) -> str:
    db.session.rollback()
    db.session.expire_all()
    return str(service.find_user(name).role)


def ask_for(role: Role, who: str = "ute", at: datetime = NOON) -> int:
    number = rights_given.change_role("bob", role, WHY, person=person(who), now=at)
    assert number is not None
    return number


def decide(number: int, who: Identity, *, confirm: bool = True, at: datetime = NOON) -> None:
    second_person.decide(number, who, confirm=confirm, now=at)


def told(ref: str) -> list[tuple[str, str]]:
    return [(event.actor, event.action) for event in audit.events_about(ref)]


@pytest.mark.parametrize("role", sorted(GUARDED))
def test_a_role_that_guards_something_is_given_by_two_and_both_are_in_the_trail(role: Role) -> None:
    if role is Role.ADMIN:
        service.change_role("ute", Role.ADMIN, actor="system:test", now=NOON)
    number = ask_for(role)
    before = role_of("bob")

    decide(number, person("uwe"), at=NOON + MINUTE)

    assert (before, role_of("bob")) == ("viewer", role)
    done, asked = audit.events_about("user:bob")[:2]
    assert (done.actor, done.action, done.after) == (
        "user:uwe", "user.role", {"role": role, "asked_by": "user:ute"},
    )  # fmt: skip
    assert (asked.actor, asked.action, asked.reason) == ("user:ute", "user.role-ask", WHY)


def test_who_asked_confirms_by_no_session_and_by_no_token() -> None:
    number = ask_for(Role.APPROVER)

    for same in (person("ute"), person("ute", "accounts:write"),
                 replace(person("ute", "accounts:write"), is_local=True)):  # fmt: skip
        with pytest.raises(NotYoursError):
            decide(number, same)

    assert role_of("bob") == "viewer"


def test_who_asked_may_take_it_back_and_then_nobody_confirms_it() -> None:
    number = ask_for(Role.APPROVER)

    decide(number, person("ute"), confirm=False)

    with pytest.raises(AskedDeedNotFoundError):
        decide(number, person("uwe"))
    assert told("user:bob")[0] == ("user:ute", "user.role-decline")


def test_without_the_role_or_the_scope_nobody_decides() -> None:
    number = ask_for(Role.APPROVER)

    for confirm in (True, False):
        with pytest.raises(RoleMissingError):
            decide(number, person("bob"), confirm=confirm)
        with pytest.raises(RoleMissingError):
            decide(number, person("dan"), confirm=confirm)
        with pytest.raises(ScopeMissingError):
            decide(number, person("uwe", "audit:read"), confirm=confirm)
    decide(number, person("uwe", "accounts:write"))
    assert role_of("bob") == "approver"


def test_nothing_waits_for_ever() -> None:
    number = ask_for(Role.APPROVER)
    late = NOON + second_person.LIVES

    assert [one.id for one in second_person.waiting(late - MINUTE)] == [number]
    assert not second_person.waiting(late)
    with pytest.raises(AskedDeedExpiredError):
        decide(number, person("uwe"), at=late)
    with pytest.raises(AskedDeedNotFoundError):
        decide(number, person("uwe"), at=NOON)
    assert told("user:bob")[0] == ("system:server", "user.role-expire")


def test_the_tick_closes_what_has_waited_for_too_long_once() -> None:
    ask_for(Role.APPROVER)

    found = [second_person.tick(NOON + at) for at in (DAY, 4 * DAY, 5 * DAY)]

    assert found == [0, 1, 0]


def test_a_clock_that_was_set_back_confirms_nothing_of_the_future() -> None:
    number = ask_for(Role.APPROVER, at=NOON + 30 * DAY)

    with pytest.raises(AskedDeedExpiredError):
        decide(number, person("uwe"), at=NOON)


def test_what_somebody_asked_who_was_shut_out_or_demoted_since_is_not_done() -> None:
    first, second = ask_for(Role.APPROVER), ask_for(Role.RELEASE_SIGNER)
    service.change_role("ute", Role.VIEWER, actor="user:uwe", now=NOON)
    with pytest.raises(ConflictError, match="may not ask for it any more"):
        decide(first, person("uwe"))

    service.disable_user("ute", actor="user:uwe", now=NOON)
    with pytest.raises(ConflictError, match="may not ask for it any more"):
        decide(second, person("uwe"))
    assert role_of("bob") == "viewer"


def test_nobody_confirms_what_they_get_themselves() -> None:
    service.add_user("una", full_name="U", role=Role.USER_ADMIN, actor="system:test", now=NOON)
    number = rights_given.change_role("uwe", Role.APPROVER, WHY, person=person("ute"), now=NOON)
    assert number is not None

    with pytest.raises(NotYoursError, match="about you"):
        decide(number, person("uwe"))
    decide(number, person("una"))

    assert role_of("uwe") == "approver"


def test_an_administrator_is_made_by_no_request_of_who_is_none_any_more() -> None:
    service.change_role("ute", Role.ADMIN, actor="system:test", now=NOON)
    number = ask_for(Role.ADMIN)
    service.change_role("ute", Role.USER_ADMIN, actor="user:uwe", now=NOON)

    with pytest.raises(NotYoursError, match="Only an administrator"):
        decide(number, person("uwe"))

    assert role_of("bob") == "viewer"


def test_what_does_not_fit_any_more_is_not_done() -> None:
    number = ask_for(Role.APPROVER)
    service.change_role("bob", Role.OPERATOR, actor="user:uwe", now=NOON)

    with pytest.raises(ConflictError, match="is not viewer any more"):
        decide(number, person("uwe"))


def test_less_power_and_plain_roles_wait_for_nobody() -> None:
    ute = person("ute")

    assert rights_given.change_role("bob", Role.OPERATOR, "", person=ute, now=NOON) is None
    assert rights_given.change_role("dan", Role.VIEWER, "", person=ute, now=NOON) is None
    assert (role_of("bob"), role_of("dan")) == ("operator", "viewer")


def test_power_is_a_guarded_role_that_was_not_included_before() -> None:
    found = {(before, wanted) for before in Role for wanted in Role if gives_power(before, wanted)}

    assert (Role.VIEWER, Role.APPROVER) in found
    assert (Role.OPERATOR, Role.RELEASE_SIGNER) not in found, "an operator may that already"
    assert (Role.ADMIN, Role.APPROVER) not in found
    assert (Role.APPROVER, Role.USER_ADMIN) in found
    assert not [pair for pair in found if pair[1] not in GUARDED]


def test_without_a_reason_nothing_is_asked() -> None:
    with pytest.raises(BadInputError):
        rights_given.change_role("bob", Role.APPROVER, "  ", person=person("ute"), now=NOON)

    assert not second_person.waiting(NOON)


def test_the_only_one_who_gives_roles_gives_them_alone() -> None:
    service.change_role("uwe", Role.VIEWER, actor="system:test", now=NOON - 8 * DAY)

    found = rights_given.change_role("bob", Role.APPROVER, "", person=person("ute"), now=NOON)

    assert found is None
    assert told("user:bob")[0] == ("user:ute", "user.role")


@pytest.mark.parametrize("how", ["shut out", "demoted"])
def test_getting_rid_of_the_other_one_first_does_not_help_for_a_week(how: str) -> None:
    if how == "shut out":
        service.disable_user("uwe", actor="user:ute", now=NOON)
    else:
        service.change_role("uwe", Role.VIEWER, actor="user:ute", now=NOON)

    assert rights_given.needs_second(person("ute"), NOON + 6 * DAY)
    assert not rights_given.needs_second(person("ute"), NOON + 8 * DAY)


def test_the_command_line_of_the_server_is_no_second_person() -> None:
    service.add_user("local", full_name="-", role=Role.ADMIN, actor="system:init", now=NOON)
    tokens.create_token(
        "local", "init", ["accounts:write"], actor="system:init", now=NOON, is_local=True
    )
    service.change_role("uwe", Role.VIEWER, actor="system:test", now=NOON - 8 * DAY)

    assert not rights_given.needs_second(person("ute"), NOON)
    with pytest.raises(BadInputError, match="no person"):
        service.create_link("local", actor="user:ute", now=NOON)


def test_the_factors_of_somebody_who_guards_something_are_reset_by_two() -> None:
    user_id = service.find_user("dan").id
    db.session.add(
        SecondFactor(user_id=user_id, kind="totp", name="Phone", secret=b"-", created_at=NOON)
    )
    db.session.commit()

    number = rights_given.reset_factors("dan", "lost his phone", person=person("ute"), now=NOON)
    assert number is not None
    held = len(factors.list_factors(user_id))
    decide(number, person("uwe"))

    assert (held, len(factors.list_factors(user_id))) == (1, 0)
    assert told("user:dan")[:2] == [("user:uwe", "factor.reset"), ("user:ute", "factor.reset-ask")]
    assert rights_given.reset_factors("bob", "", person=person("ute"), now=NOON) is None


@pytest.mark.parametrize("how", ["demoted", "shut out and let in"])
def test_taking_the_role_first_does_not_open_the_way_to_the_factors_for_a_week(how: str) -> None:
    if how == "demoted":
        service.change_role("dan", Role.VIEWER, actor="user:ute", now=NOON)
    else:
        service.disable_user("dan", actor="user:ute", now=NOON)
        service.let_in_again("dan", actor="user:ute", now=NOON)

    soon, later = (
        rights_given.reset_factors("dan", WHY, person=person("ute"), now=NOON + days * DAY)
        for days in (6, 8)
    )

    assert role_of("dan") == Role.VIEWER
    assert soon is not None
    assert later is None


def test_where_the_setting_is_off_one_person_is_enough(sqlite_app: Flask) -> None:
    alone = replace(sqlite_app.extensions["oleada_config"], two_persons="off")
    sqlite_app.extensions["oleada_config"] = alone

    found = rights_given.change_role("bob", Role.APPROVER, "", person=person("ute"), now=NOON)

    assert found is None


def revoked() -> list[str]:
    db.session.rollback()
    db.session.expire_all()
    query = db.select(Device.id).where(Device.revoked_at.is_not(None)).order_by(Device.id)
    return list(db.session.scalars(query))


def test_many_boxes_are_revoked_by_two() -> None:
    ids = a_fleet(5)
    number = mass_revocation.ask(ids[:3], "a stolen van", person=person("dan"), now=NOON)
    before = revoked()

    with pytest.raises(NotYoursError):
        decide(number, person("dan"))
    with pytest.raises(RoleMissingError):
        decide(number, person("uwe"))
    decide(number, person("dora"))

    assert (before, revoked()) == ([], ids[:3])
    event = audit.events_about(f"device:{ids[0]}")[0]
    assert (event.actor, event.reason, (event.after or {})["asked_by"]) == (
        "user:dora", "a stolen van", "user:dan",
    )  # fmt: skip
    asked = audit.events_about("devices")[0]
    assert (asked.action, (asked.after or {})["boxes"]) == ("device.revoke-many-ask", 3)


def test_of_boxes_that_are_others_by_now_none_is_revoked() -> None:
    ids = a_fleet(5)
    number = mass_revocation.ask(ids, "a stolen van", person=person("dan"), now=NOON)
    revocations.revoke(ids[0], "alone", actor="user:dora", now=NOON)

    with pytest.raises(ConflictError, match="Of the 5 boxes 1 are revoked"):
        decide(number, person("dora"))

    assert revoked() == ids[:1]


@pytest.mark.parametrize("unknown", [["VX41ZZZZ0001"], ["VX410000000", "nonsense"]])
def test_boxes_that_are_not_there_are_not_asked_for(unknown: list[str]) -> None:
    a_fleet(1)

    with pytest.raises(DeviceNotFoundError):
        mass_revocation.ask(unknown, "why", person=person("dan"), now=NOON)


def test_no_box_and_one_that_is_revoked_are_not_asked_for() -> None:
    ids = a_fleet(2)
    revocations.revoke(ids[0], "alone", actor="user:dora", now=NOON)

    for wrong in ([], ids):
        with pytest.raises(BadInputError):
            mass_revocation.ask(wrong, "why", person=person("dan"), now=NOON)


def test_one_person_revokes_a_few_boxes_in_an_hour_and_no_more() -> None:
    current_app.extensions["oleada_config"] = replace(
        current_app.extensions["oleada_config"], revoke_alone_max=2
    )
    ids = a_fleet(4)
    for device_id in ids[:2]:
        mass_revocation.demand_few(person("dan"), NOON)
        revocations.revoke(device_id, "stolen", actor="user:dan", now=NOON)

    with pytest.raises(RevokedTooManyError):
        mass_revocation.demand_few(person("dan"), NOON + MINUTE)
    mass_revocation.demand_few(person("dora"), NOON + MINUTE)
    mass_revocation.demand_few(replace(person("dan"), is_local=True), NOON + MINUTE)
    mass_revocation.demand_few(person("dan"), NOON + 61 * MINUTE)
