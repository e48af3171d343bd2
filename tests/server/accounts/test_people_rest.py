"""People over REST: shut out, let in again, second factors reset, with the console's guards."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from oleada_server.accounts import factors, rights_given, second_person, service, tokens
from oleada_server.accounts.models import Role, SecondFactor
from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.audit import service as audit
from oleada_server.clock import now_utc
from oleada_server.config import Config
from oleada_server.config import SecondFactor as Wanted
from oleada_server.db import db

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SCOPES = ("accounts:read", "accounts:write")


@pytest.fixture
def app(sqlite_config: Config) -> Iterator[Flask]:
    """A server with two who give roles, an administrator, an approver and one who looks."""
    app = create_app(replace(sqlite_config, second_factor=Wanted.OFFERED), WITHOUT_PAGES)
    with app.app_context():
        for name, role in (
            ("ute", Role.USER_ADMIN), ("uwe", Role.USER_ADMIN), ("ada", Role.ADMIN),
            ("eva", Role.APPROVER), ("bob", Role.VIEWER),
        ):  # fmt: skip
            service.add_user(name, full_name=name, role=role, actor="system:test", now=NOON)
            scopes = SCOPES if role in {Role.USER_ADMIN, Role.ADMIN} else ("devices:read",)
            app.extensions[name] = tokens.create_token(
                name, "t", scopes, actor="system:test", now=now_utc()
            )
        yield app
        db.session.remove()
        db.engine.dispose()


def ask(app: Flask, who: str, path: str, **body: str) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {app.extensions[who]}"}
    with app.app_context():  # one of its own, which knows nobody yet
        answer = app.test_client().post(f"/api/v1/users/{path}", headers=headers, json=body)
    db.session.expire_all()
    return answer.status_code, answer.get_json(silent=True)


def trail(name: str) -> list[tuple[str, str]]:
    return [(event.actor, event.action) for event in audit.events_about(f"user:{name}")]


def state(name: str) -> tuple[str, bool]:
    db.session.rollback()
    found = service.find_user(name)
    return str(found.role), found.disabled_at is None


def test_who_is_shut_out_is_nobody_at_once_and_the_trail_says_who_did_it(app: Flask) -> None:
    first, second = (ask(app, "ute", "eva/disable")[0] for _ in range(2))

    assert (first, second) == (204, 204)
    assert state("eva") == ("approver", False)
    assert ask(app, "eva", "bob/disable")[0] == 401
    assert trail("eva").count(("user:ute", "user.disable")) == 1


def test_who_is_let_in_again_is_a_viewer_who_needs_a_new_link(app: Flask) -> None:
    eva = service.find_user("eva").id
    service.set_password(eva, "a long old password of hers", keep=None, now=NOON)
    ask(app, "ute", "eva/disable")

    first, second = (ask(app, "uwe", "eva/enable")[0] for _ in range(2))

    assert (first, second) == (204, 204)
    assert state("eva") == ("viewer", True)
    assert service.find_user("eva").password_hash is None
    assert ask(app, "eva", "bob/disable")[0] == 401, "her tokens stay revoked"
    assert trail("eva")[:2] == [("user:uwe", "user.enable"), ("user:uwe", "user.role")]


def test_shutting_the_other_one_out_and_in_again_leaves_nobody_who_gives_roles_alone(
    app: Flask,
) -> None:
    for name in ("uwe", "ada"):
        service.change_role("ute", Role.ADMIN, actor="system:test", now=now_utc())
        assert [ask(app, "ute", f"{name}/{verb}")[0] for verb in ("disable", "enable")] == [204] * 2

    ute = service.identity_of(service.find_user("ute"))
    assert rights_given.needs_second(ute, now_utc() + timedelta(days=6))


def test_an_administrator_is_touched_by_an_administrator_alone_and_the_last_one_stays(
    app: Flask,
) -> None:
    verbs = ("disable", "enable", "reset-factors")
    refused = [ask(app, "ute", f"ada/{verb}")[0] for verb in verbs]
    refused += [ask(app, name, f"uwe/{verb}")[0] for verb in verbs for name in ("eva", "bob")]
    for name in ("ute", "uwe"):
        assert ask(app, "ada", f"{name}/disable")[0] == 204

    assert refused == [403] * 9
    assert ask(app, "ada", "ada/disable")[0] == 409
    assert state("ada") == ("admin", True)
    assert ask(app, "ada", "nobody/enable")[0] == 404
    tokens.create_token("bob", "i", ["audit:read"], actor="system:t", now=NOON, is_local=True)
    assert ask(app, "ada", "bob/enable")[0] == 400, "the command line is no person"


def test_factors_of_who_guards_something_are_reset_when_another_one_confirms(app: Flask) -> None:
    held = {name: service.find_user(name).id for name in ("eva", "bob")}
    db.session.add_all(
        SecondFactor(user_id=one, kind="totp", name="Phone", secret=b"-", created_at=NOON)
        for one in held.values()
    )
    db.session.commit()

    alone = ask(app, "ute", "bob/reset-factors")
    without_reason = ask(app, "ute", "eva/reset-factors")[0]
    status, asked = ask(app, "ute", "eva/reset-factors", reason="she lost her phone")
    own = ask(app, "ute", "ute/reset-factors", reason="mine")[0]

    assert (alone, without_reason, status, own) == ((200, {"asked": None}), 400, 200, 403)
    assert (factors.list_factors(held["bob"]), len(factors.list_factors(held["eva"]))) == ([], 1)
    uwe = service.identity_of(service.find_user("uwe"))
    second_person.decide(asked["asked"], uwe, confirm=True, now=now_utc())
    assert factors.list_factors(held["eva"]) == []
