from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from oleada_server.accounts import service, tokens
from oleada_server.accounts.errors import (
    RoleMissingError,
    ScopeMissingError,
    TokenNotValidError,
)
from oleada_server.accounts.models import ApiToken, Role
from oleada_server.accounts.rights import (
    INCLUDES,
    SCOPES,
    Identity,
    demand_role,
    demand_scope,
)
from oleada_server.clock import now_utc
from oleada_server.db import db
from oleada_server.errors import BadInputError

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def a_token(*scopes: str, role: Role = Role.OPERATOR, now: datetime = NOON, days: int = 90) -> str:
    service.add_user("ana", full_name="Ana", role=role, actor="system:root", now=now)
    return tokens.create_token("ana", "ci", scopes, actor="system:root", now=now, days=days)


def an_identity(role: Role, scopes: frozenset[str] | None = None) -> Identity:
    return Identity(1, "ana", "Ana", role, "en", "UTC", scopes=scopes)


@pytest.mark.usefixtures("app")
def test_a_token_says_who_asks_and_is_stored_as_a_hash() -> None:
    token = a_token("devices:read")

    found = tokens.find_token(token, NOON)
    row = db.session.scalars(db.select(ApiToken)).one()

    assert (found.name, found.scopes) == ("ana", frozenset({"devices:read"}))
    assert token.startswith("ole_")
    assert row.token_sha256 == service.digest(token)


@pytest.mark.usefixtures("app")
def test_a_token_ends_by_time_by_revoking_and_with_its_user() -> None:
    token = a_token("devices:read", days=1)
    second = tokens.create_token("ana", "two", ["devices:read"], actor="system:root", now=NOON)
    third = tokens.create_token("ana", "three", ["devices:read"], actor="system:root", now=NOON)

    with pytest.raises(TokenNotValidError):
        tokens.find_token(token, NOON + DAY)
    assert tokens.revoke_tokens("ana", "two", actor="system:root", now=NOON) == 1
    assert tokens.revoke_tokens("ana", "two", actor="system:root", now=NOON) == 0
    with pytest.raises(TokenNotValidError):
        tokens.find_token(second, NOON)
    service.disable_user("ana", actor="system:root", now=NOON)
    with pytest.raises(TokenNotValidError):
        tokens.find_token(third, NOON)


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize("scopes", [(), ("devices:read", "no:such"), ("accounts:write",)])
def test_a_scope_that_does_not_exist_or_is_above_the_role_is_refused(scopes: tuple[str]) -> None:
    with pytest.raises(BadInputError):
        a_token(*scopes)


@pytest.mark.parametrize("has", Role)
@pytest.mark.parametrize("needed", Role)
def test_a_role_has_the_rights_of_what_it_includes_and_no_others(has: Role, needed: Role) -> None:
    if needed in INCLUDES[has]:
        demand_role(an_identity(has), needed)
        assert an_identity(has).may(needed)
        return
    with pytest.raises(RoleMissingError):
        demand_role(an_identity(has), needed)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("role", Role)
def test_a_session_has_the_scopes_of_its_role_a_token_only_its_own(role: Role, scope: str) -> None:
    by_role = SCOPES[scope] in INCLUDES[role]

    assert an_identity(role).may_scope(scope) is by_role
    assert an_identity(role, frozenset({scope})).may_scope(scope) is by_role
    assert not an_identity(role, frozenset()).may_scope(scope)
    if by_role:
        with pytest.raises(ScopeMissingError):
            demand_scope(an_identity(role, frozenset()), scope)


def test_a_token_does_not_open_pages() -> None:
    with pytest.raises(RoleMissingError):
        demand_role(an_identity(Role.ADMIN, frozenset(SCOPES)), Role.VIEWER)


def test_me_tells_a_program_what_its_token_may_do(sqlite_app: Flask) -> None:
    token = a_token("devices:read", "rollouts:read", now=now_utc())

    answer = sqlite_app.test_client().get(
        "/api/v1/me", headers={"Authorization": f"Bearer {token}"}
    )

    assert answer.status_code == 200
    assert answer.get_json() == {
        "name": "ana",
        "full_name": "Ana",
        "role": "operator",
        "scopes": ["devices:read", "rollouts:read"],
    }


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer oleada_wrong"}])
def test_without_a_valid_token_the_answer_is_a_401_problem(
    sqlite_app: Flask, header: dict[str, str]
) -> None:
    answer = sqlite_app.test_client().get("/api/v1/me", headers=header)

    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"
    assert answer.get_json()["code"] in {"not-signed-in", "token-not-valid"}


def test_a_token_without_the_scope_is_a_403_problem(sqlite_app: Flask) -> None:
    token = a_token("rollouts:read", now=now_utc())

    answer = sqlite_app.test_client().get(
        "/api/v1/devices", headers={"Authorization": f"Bearer {token}"}
    )

    assert answer.status_code == 403
    assert answer.get_json()["code"] == "scope-missing"


def test_every_role_sees_and_only_the_administrator_has_every_right() -> None:
    assert all(Role.VIEWER in INCLUDES[role] and role in INCLUDES[role] for role in Role)
    assert [role for role in Role if INCLUDES[role] == set(Role)] == [Role.ADMIN]


def test_who_gives_roles_neither_approves_nor_plans_nor_signs() -> None:
    guarded = {Role.APPROVER, Role.OPERATOR, Role.RELEASE_SIGNER, Role.DEVICE_CA_ADMIN}

    assert not guarded & INCLUDES[Role.USER_ADMIN]
    assert not guarded & INCLUDES[Role.AUDITOR]
    assert Role.USER_ADMIN not in INCLUDES[Role.APPROVER] | INCLUDES[Role.DEVICE_CA_ADMIN]
