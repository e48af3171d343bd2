"""One's own second factors, recovery codes, browsers and tokens over REST."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pyotp
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.accounts import factors, service, tokens
from oleada_server.accounts.models import ApiToken, Role
from oleada_server.accounts.rights import SCOPES
from oleada_server.audit import service as audit
from oleada_server.clock import now_utc
from oleada_server.db import db

from tests.web.forms import csrf_of

SignIn = Callable[..., FlaskClient]
MINE = "/api/v1/me"


class Program:
    """A program that asks with a token of *name*, and perhaps with a code."""

    def __init__(self, app: Flask, name: str, *scopes: str, days: int = 90) -> None:
        self._client = app.test_client()
        with app.app_context():
            self.token = tokens.create_token(
                name, "ci", scopes or ("security:read", "security:write"),
                actor="system:test", now=now_utc(), days=days,
            )  # fmt: skip
            db.session.remove()

    def ask(self, method: str, path: str, json: Any = None, code: str = "") -> Any:
        """Return status and answer."""
        headers = {"Authorization": f"Bearer {self.token}"}
        if code:
            headers["Oleada-Second-Factor"] = code
        answer = self._client.open(f"{MINE}{path}", method=method, json=json, headers=headers)
        return answer.status_code, answer.get_json(silent=True)


def enrolled(app: Flask, name: str) -> list[str]:
    """Give *name* an app, and return the recovery codes: each proves once."""
    key = factors.new_app(name).key
    with app.app_context():
        now = now_utc()
        user_id = service.find_user(name).id
        codes = factors.add_app(user_id, key, pyotp.TOTP(key).at(now), "Phone", now=now)
        db.session.remove()
    return codes


def actions_about(app: Flask, name: str) -> list[str]:
    with app.app_context():
        found = [event.action for event in audit.events_about(f"user:{name}")]
        db.session.remove()
    return found


def test_a_browser_enrols_an_app_gets_codes_and_a_new_cookie(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(filled_app, "a.torres")
    form = {"X-CSRFToken": csrf_of(client.get("/security").text)}
    cookie = client.get_cookie("oleada_session")

    begun = client.post(f"{MINE}/factors/app", headers=form).get_json()
    code = pyotp.TOTP(begun["key"]).at(now_utc())
    body = {"key": begun["key"], "code": code, "name": "Phone"}
    done = client.post(f"{MINE}/factors", json=body, headers=form)
    listed = client.get(f"{MINE}/factors").get_json()

    assert begun["uri"].startswith("otpauth://totp/Oleada:a.torres?secret=")
    assert done.status_code == 201
    assert len(done.get_json()["recovery_codes"]) == 10
    assert client.get_cookie("oleada_session") != cookie
    assert [one["name"] for one in listed["factors"]] == ["Phone"]
    assert listed["codes_left"] == 10
    assert "key" not in listed["factors"][0]


def test_without_the_form_token_a_browser_does_nothing(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(filled_app, "a.torres")

    refused = [
        client.post(f"{MINE}{path}").status_code
        for path in ("/factors/app", "/sessions/end", "/tokens/none/revoke", "/recovery-codes")
    ]

    assert refused == [400] * 4


def test_a_token_enrols_no_first_factor(filled_app: Flask) -> None:
    status, answer = Program(filled_app, "a.torres").ask("POST", "/factors/app")

    assert (status, answer["code"]) == (403, "first-factor-in-console")


def test_a_token_enrols_and_removes_a_second_one_when_the_first_was_proved(
    filled_app: Flask,
) -> None:
    codes = enrolled(filled_app, "a.torres")
    program = Program(filled_app, "a.torres")

    unproved = program.ask("POST", "/factors/app")
    begun = program.ask("POST", "/factors/app", code=codes[0])[1]
    shown = pyotp.TOTP(begun["key"]).at(now_utc())
    status, made = program.ask("POST", "/factors", {"key": begun["key"], "code": shown})
    wrong = program.ask("POST", "/factors", {"key": begun["key"], "code": "000000"})
    held = program.ask("GET", "/factors")[1]
    removed = program.ask("POST", f"/factors/{held['factors'][1]['id']}/remove")[0]
    again = program.ask("POST", f"/factors/{held['factors'][1]['id']}/remove")

    assert (unproved[0], unproved[1]["code"]) == (403, "step-up-required")
    assert (status, made) == (201, {"recovery_codes": []})
    assert (wrong[0], wrong[1]["code"]) == (400, "wrong-code")
    assert held["codes_left"] == 9
    assert removed == 204
    assert (again[0], again[1]["code"]) == (404, "factor-not-found")
    assert actions_about(filled_app, "a.torres")[:2] == ["factor.remove", "factor.add"]


def test_a_recovery_code_proves_once_and_new_ones_end_the_old(filled_app: Flask) -> None:
    codes = enrolled(filled_app, "a.torres")
    program, other = Program(filled_app, "a.torres"), Program(filled_app, "a.torres")

    first = program.ask("POST", "/recovery-codes", code=codes[0])
    twice = other.ask("POST", "/recovery-codes", code=codes[0])
    of_before = other.ask("POST", "/recovery-codes", code=codes[1])
    fresh = other.ask("POST", "/recovery-codes", code=first[1]["recovery_codes"][0])

    assert first[0] == 200
    assert (twice[0], twice[1]["code"]) == (400, "wrong-code")
    assert (of_before[0], of_before[1]["code"]) == (400, "wrong-code")
    assert fresh[0] == 200
    assert len(set(first[1]["recovery_codes"]) | set(codes)) == 20


def test_a_token_is_made_listed_and_revoked_and_its_secret_is_told_once(
    filled_app: Flask,
) -> None:
    program = Program(filled_app, "a.torres", "security:read", "security:write", "devices:read")
    body = {"label": "night job", "scopes": ["devices:read"], "days": 7}

    status, made = program.ask("POST", "/tokens", body)
    listed = program.ask("GET", "/tokens")[1]["tokens"]
    works = filled_app.test_client().get(
        "/api/v1/devices", headers={"Authorization": f"Bearer {made['token']}"}
    )
    revoked = program.ask("POST", f"/tokens/{made['ref']}/revoke")[0]
    twice = program.ask("POST", f"/tokens/{made['ref']}/revoke")

    assert status == 201
    assert re.fullmatch(r"ole_[A-Za-z0-9_-]{43}", made["token"])
    assert {one["label"] for one in listed} == {"night job", "ci"}
    assert made["token"] not in str(listed)
    assert works.status_code == 200
    assert revoked == 204
    assert (twice[0], twice[1]["code"]) == (404, "token-not-found")
    assert actions_about(filled_app, "a.torres")[:2] == ["token.revoke", "token.create"]


def test_a_token_makes_none_that_may_more_or_lives_longer(filled_app: Flask) -> None:
    program = Program(filled_app, "a.torres", "security:write", days=30)
    wider = {"label": "x", "scopes": ["security:write", "rollouts:write"], "days": 7}
    longer = {"label": "x", "scopes": ["security:write"], "days": 31}

    more = program.ask("POST", "/tokens", wider)
    late = program.ask("POST", "/tokens", longer)
    codes = enrolled(filled_app, "a.torres")
    proved = program.ask("POST", "/tokens", longer, code=codes[0])

    assert (more[0], more[1]["code"]) == (403, "scope-missing")
    assert (late[0], late[1]["field"]) == (400, "days")
    assert proved[0] == 201


def test_a_token_without_the_scope_sees_and_does_nothing(filled_app: Flask) -> None:
    reader = Program(filled_app, "a.torres", "security:read")

    assert reader.ask("GET", "/tokens")[0] == 200
    assert reader.ask("POST", "/sessions/end")[1]["code"] == "scope-missing"
    assert Program(filled_app, "a.torres", "devices:read").ask("GET", "/tokens")[0] == 403


def test_browsers_are_listed_and_ended_one_by_one_and_all(
    filled_app: Flask, signed_in: SignIn
) -> None:
    browser, program = signed_in(filled_app, "a.torres"), Program(filled_app, "a.torres")
    other = signed_in(filled_app, "v.dvorak")
    own = browser.get(f"{MINE}/sessions").get_json()["sessions"]

    listed = program.ask("GET", "/sessions")[1]["sessions"]
    one = program.ask("POST", f"/sessions/{own[0]['ref']}/end")
    again = program.ask("POST", f"/sessions/{own[0]['ref']}/end")
    everything = program.ask("POST", "/sessions/end")

    assert [(found["is_this"]) for found in own] == [True]
    assert [(found["ref"], found["is_this"]) for found in listed] == [(own[0]["ref"], False)]
    assert (one[0], again[0], everything[1]) == (204, 404, {"ended": 0})
    assert browser.get("/fleet").status_code == 302
    assert other.get("/fleet").status_code == 200


def test_nobody_reaches_what_belongs_to_somebody_else(filled_app: Flask) -> None:
    codes = enrolled(filled_app, "e.prieto")
    hers, program = Program(filled_app, "e.prieto"), Program(filled_app, "a.torres")
    factor = hers.ask("GET", "/factors", code=codes[0])[1]["factors"][0]["id"]
    ref = hers.ask("GET", "/tokens")[1]["tokens"][0]["ref"]

    removed = program.ask("POST", f"/factors/{factor}/remove")
    revoked = program.ask("POST", f"/tokens/{ref}/revoke")

    assert (removed[0], revoked[0]) == (404, 404)
    assert len(hers.ask("GET", "/factors")[1]["factors"]) == 1


def test_a_token_may_less_when_its_owner_may_less_and_more_never(filled_app: Flask) -> None:
    with filled_app.app_context():
        everything = [
            scope for scope, role in SCOPES.items() if role in (Role.VIEWER, Role.OPERATOR)
        ]
        db.session.remove()
    program = Program(filled_app, "a.torres", *everything)

    before = program.ask("GET", "")[1]["scopes"]
    role(filled_app, Role.VIEWER)
    demoted = program.ask("GET", "")[1]["scopes"]
    role(filled_app, Role.ADMIN)
    raised = program.ask("GET", "")[1]["scopes"]

    assert "rollouts:write" in before
    assert "rollouts:write" not in demoted
    assert "devices:read" in demoted
    assert raised == sorted(everything)


def role(app: Flask, wanted: Role) -> None:
    with app.app_context():
        service.change_role("a.torres", wanted, actor="system:test", now=now_utc())
        db.session.remove()


def test_an_owner_who_is_shut_out_has_no_token_left(filled_app: Flask) -> None:
    program = Program(filled_app, "a.torres")
    with filled_app.app_context():
        service.disable_user("a.torres", actor="system:test", now=now_utc())
        db.session.remove()

    status, answer = program.ask("GET", "/tokens")

    assert (status, answer["code"]) == (401, "token-not-valid")


def test_tokens_that_have_expired_say_so_by_their_day_and_open_nothing(filled_app: Flask) -> None:
    program = Program(filled_app, "a.torres")
    with filled_app.app_context():
        past = now_utc() - timedelta(seconds=1)
        db.session.execute(db.update(ApiToken).values(expires_at=past))
        db.session.commit()
        db.session.remove()

    assert program.ask("GET", "/tokens")[0] == 401


def test_step_up_is_asked_of_guarded_roles_that_have_no_factor(filled_app: Flask) -> None:
    before = filled_app.extensions["oleada_config"]
    filled_app.extensions["oleada_config"] = replace(before, second_factor="required")
    program = Program(filled_app, "e.prieto")
    body = {"label": "x", "scopes": ["security:read"]}

    status, answer = program.ask("POST", "/tokens", body)

    assert (status, answer["code"]) == (403, "second-factor-missing")
