"""Behind the door of a role: whose the thing is, who made it, who signed it."""

import pytest
from oleada_server.accounts.errors import NotYoursError
from oleada_server.accounts.models import Role
from oleada_server.accounts.objects import (
    Asked,
    Deed,
    OfRollout,
    OfUser,
    Thing,
    demand_on,
    refusal,
)
from oleada_server.accounts.rights import Identity

PLAN = OfRollout("user:ana", "user:eva", frozenset({"user:sam"}))


def a_person(name: str, role: Role) -> Identity:
    return Identity(1, name, name.title(), role, "en", "UTC")


@pytest.mark.parametrize(
    ("name", "may"), [("ana", False), ("eva", False), ("sam", False), ("tom", True)]
)
@pytest.mark.parametrize("role", [Role.APPROVER, Role.ADMIN])
def test_planner_asker_and_signer_do_not_approve_whatever_their_role(
    name: str, may: bool, role: Role
) -> None:
    assert (refusal(a_person(name, role), Deed.APPROVE, PLAN) is None) is may


@pytest.mark.parametrize("wanted", Role)
@pytest.mark.parametrize("has", [Role.USER_ADMIN, Role.ADMIN])
def test_nobody_gives_themselves_more_rights(has: Role, wanted: Role) -> None:
    me = a_person("ana", has)
    may = refusal(me, Deed.CHANGE_ROLE, OfUser("ana", has, wanted)) is None

    assert may is (has is Role.ADMIN or wanted in {Role.VIEWER, Role.AUDITOR, Role.USER_ADMIN})


@pytest.mark.parametrize(
    "deed", [Deed.MAKE_LINK, Deed.SHUT_OUT, Deed.RESET_FACTORS, Deed.END_SESSION, Deed.END_TOKEN]
)
def test_a_user_administrator_can_not_take_over_an_administrator(deed: Deed) -> None:
    users, admin = a_person("ana", Role.USER_ADMIN), a_person("ben", Role.ADMIN)

    assert refusal(users, deed, OfUser("boss", Role.ADMIN)) is not None
    assert refusal(admin, deed, OfUser("boss", Role.ADMIN)) is None
    assert refusal(users, deed, OfUser("tom", Role.APPROVER)) is None


def test_only_an_administrator_makes_one() -> None:
    thing = OfUser("tom", Role.VIEWER, Role.ADMIN)

    assert refusal(a_person("ana", Role.USER_ADMIN), Deed.CHANGE_ROLE, thing) is not None
    assert refusal(a_person("ana", Role.ADMIN), Deed.CHANGE_ROLE, thing) is None


@pytest.mark.parametrize("deed", [Deed.END_SESSION, Deed.END_TOKEN])
@pytest.mark.parametrize("role", Role)
def test_what_belongs_to_somebody_else_is_theirs_and_their_administrators(
    deed: Deed, role: Role
) -> None:
    me = a_person("ana", role)

    assert refusal(me, deed, OfUser("ana", role)) is None
    others = refusal(me, deed, OfUser("tom", Role.VIEWER)) is None
    assert others is (role in {Role.USER_ADMIN, Role.ADMIN})


@pytest.mark.parametrize("role", Role)
def test_nobody_makes_a_token_for_another_or_resets_their_own_factors(role: Role) -> None:
    me = a_person("ana", role)

    assert refusal(me, Deed.MAKE_TOKEN, OfUser("tom", Role.VIEWER)) is not None
    assert refusal(me, Deed.RESET_FACTORS, OfUser("ana", role)) is not None


def test_who_asked_for_a_deed_of_two_persons_does_not_confirm_it() -> None:
    asked = Asked("user:ana")

    assert refusal(a_person("ana", Role.ADMIN), Deed.CONFIRM, asked) is not None
    assert refusal(a_person("ben", Role.USER_ADMIN), Deed.CONFIRM, asked) is None


@pytest.mark.parametrize(
    ("deed", "thing"),
    [(Deed.APPROVE, OfUser("tom", Role.VIEWER)), (Deed.CONFIRM, PLAN), (Deed.SHUT_OUT, PLAN)],
)
def test_what_no_rule_knows_is_refused(deed: Deed, thing: Thing) -> None:
    with pytest.raises(NotYoursError):
        demand_on(a_person("boss", Role.ADMIN), deed, thing)
