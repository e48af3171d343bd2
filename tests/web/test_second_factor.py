"""A second factor in the console and over REST: enrolled, asked for, in no pause's way."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.accounts import access, factors, service, tokens
from oleada_server.accounts.models import Session
from oleada_server.accounts.rights import SCOPES
from oleada_server.audit import service as audit
from oleada_server.clock import now_utc
from oleada_server.db import db
from oleada_server.rollouts import service as rollouts

from tests.web.forms import csrf_of, use_link

SignIn = Callable[..., FlaskClient]
KEY = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
GRAVE = {
    "asked.confirm", "asked.decline", "asked_pages.decide", "claims.revoke_many",
    "users.change_role",
    "claims.revoke", "device_deeds.revoke",
    "firmware_pages.withdraw", "me.make_token", "me.remove_factor",
    "me.renew_codes", "people_pages.add", "people_pages.change_role",
    "people_pages.disable", "people_pages.link", "people_pages.reset_factors",
    "releases.withdraw", "rollout_pages.go_on", "rollout_pages.open_early", "rollout_pages.force",
    "rollouts.approve", "rollouts.force",
    "rollouts.go_on", "rollouts.open_early",
    "rollouts.stop", "security_pages.add_token", "security_pages.remove_factor",
    "security_pages.renew_codes",
}  # fmt: skip
"""Views that always want a fresh second factor; two more want it for one of their verbs."""


def a_code(ahead: int = 0) -> str:
    """Return a code for now, or for a later half minute: each is taken once."""
    return pyotp.TOTP(KEY).at(now_utc() + timedelta(seconds=30 * ahead))


def enrol(app: Flask, name: str) -> list[str]:
    """Enrol an app for *name*, with a code of the half minute before."""
    with app.app_context():
        codes = factors.add_app(service.find_user(name).id, KEY, a_code(-1), "Phone", now=now_utc())
        db.session.remove()
    return codes


def forget_freshness(app: Flask) -> None:
    with app.app_context():
        stale = now_utc() - access.FRESH - timedelta(seconds=1)
        db.session.execute(db.update(Session).values(factor_at=stale))
        db.session.commit()


def state_of(app: Flask, rollout_id: int) -> str:
    with app.app_context():
        found = str(rollouts.get(rollout_id).state)
        db.session.remove()
    return found


@pytest.fixture
def strict_app(filled_app: Flask) -> Iterator[Flask]:
    """The filled console as it is by default: guarded roles need a second factor."""
    before = filled_app.extensions["oleada_config"]
    filled_app.extensions["oleada_config"] = replace(before, second_factor="required")
    yield filled_app
    filled_app.extensions["oleada_config"] = before


def test_what_is_grave_wants_a_fresh_second_factor_and_nothing_else_does(
    empty_app: Flask,
) -> None:
    marked = {
        name
        for name, view in empty_app.view_functions.items()
        if getattr(view, "oleada_steps_up", False)
    }

    assert marked >= GRAVE
    assert not {name for name in marked if "pause" in name or "resume" in name}


def test_who_holds_a_guarded_role_enrols_first_and_then_gets_where_they_wanted(
    strict_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(strict_app, "e.prieto")

    led = client.get("/rollouts/R-2")
    page = client.get(led.headers["Location"]).text
    form = client.get("/security/app?next=/rollouts/R-2").text
    key = re.search(r'name="key" value="([A-Z2-7]+)"', form)
    assert key is not None
    code = pyotp.TOTP(key[1]).at(now_utc())
    done = client.post(
        "/security/app",
        data={"csrf_token": csrf_of(form), "key": key[1], "code": code, "name": "Phone",
              "next": "/rollouts/R-2"},
    )  # fmt: skip

    assert led.headers["Location"] == "/security?next=/rollouts/R-2"
    assert "wants a second factor" in page
    assert "<svg" in form
    assert len(re.findall(r"<li>[A-Z2-9]{4}-[A-Z2-9]{4}-[A-Z2-9]{4}</li>", done.text)) == 10
    assert 'href="/rollouts/R-2"' in done.text
    assert client.get("/rollouts/R-2").status_code == 200


def test_a_viewer_and_an_operator_need_none(strict_app: Flask, signed_in: SignIn) -> None:
    assert signed_in(strict_app, "v.dvorak").get("/fleet").status_code == 200
    assert signed_in(strict_app, "a.torres").get("/fleet").status_code == 200


def test_signing_in_takes_both_steps_and_a_new_cookie(filled_app: Flask) -> None:
    enrol(filled_app, "e.prieto")
    client = filled_app.test_client()
    link = filled_app.extensions["test_tokens"]["e.prieto"]

    first = use_link(client, link)
    half = client.get_cookie("oleada_session")
    locked_out = client.get("/fleet")
    form = client.get(first.headers["Location"]).text
    wrong = client.post("/second-factor", data={"csrf_token": csrf_of(form), "code": "000000"})
    right = client.post(
        "/second-factor", data={"csrf_token": csrf_of(form), "code": a_code(), "next": "/fleet"}
    )

    assert first.headers["Location"].startswith("/second-factor?next=")
    assert locked_out.headers["Location"].startswith("/sign-in")
    assert (wrong.status_code, right.status_code) == (400, 303)
    assert client.get_cookie("oleada_session") != half
    assert client.get("/fleet").status_code == 200


def test_a_stop_asks_once_more_comes_back_filled_and_had_done_nothing(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(filled_app, "a.torres")
    enrol(filled_app, "a.torres")
    page = client.get("/rollouts/R-2/stop").text
    count = re.search(r'name="count" value="(\d+)"', page)
    assert count is not None
    form = {"csrf_token": csrf_of(page), "reason": "it <b>crackles</b>", "confirm": count[1],
            "count": count[1], "scope": "rollout"}  # fmt: skip

    led = client.post("/rollouts/R-2/stop", data=form)
    before = state_of(filled_app, 2)
    proved = client.post(
        "/second-factor",
        data={"csrf_token": form["csrf_token"], "code": a_code(),
              "next": parse_qs(urlsplit(led.headers["Location"]).query)["next"][0]},
    )  # fmt: skip
    back = client.get(proved.headers["Location"]).text
    done = client.post("/rollouts/R-2/stop", data={**form, "csrf_token": csrf_of(back)})

    assert led.headers["Location"].startswith("/second-factor?next=/rollouts/R-2/stop")
    assert before == "running"
    assert 'value="it &lt;b&gt;crackles&lt;/b&gt;"' in back
    assert (done.status_code, state_of(filled_app, 2)) == (303, "stopped")


def test_a_pause_waits_for_no_second_factor(strict_app: Flask, signed_in: SignIn) -> None:
    client = signed_in(strict_app, "a.torres")
    enrol(strict_app, "a.torres")
    page = client.get("/rollouts/R-2/pause").text

    client.post("/rollouts/R-2/pause", data={"csrf_token": csrf_of(page), "reason": "look"})

    assert state_of(strict_app, 2) == "paused"


def test_five_minutes_after_it_is_asked_for_again(filled_app: Flask, signed_in: SignIn) -> None:
    client = signed_in(filled_app, "m.novak")
    enrol(filled_app, "m.novak")
    token = csrf_of(client.get("/users/v.dvorak").text)
    client.post("/second-factor", data={"csrf_token": token, "code": a_code()})
    path, form = "/users/v.dvorak/role", {"csrf_token": token, "role": "operator"}

    fresh = client.post(path, data=form)
    forget_freshness(filled_app)
    came_from = {"Referer": "http://localhost/users/v.dvorak"}
    stale = client.post(path, data={**form, "role": "viewer"}, headers=came_from)

    assert fresh.headers["Location"] == "/users/v.dvorak"
    assert stale.headers["Location"].startswith("/second-factor?next=/users/v.dvorak")
    with filled_app.app_context():
        assert service.find_user("v.dvorak").role == "operator"
        db.session.remove()


def test_a_factor_that_was_proved_in_the_future_is_not_fresh(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(filled_app, "m.novak")
    enrol(filled_app, "m.novak")
    token = csrf_of(client.get("/users/v.dvorak").text)
    with filled_app.app_context():
        ahead = now_utc() + timedelta(days=1)  # proved before the clock was set back
        db.session.execute(db.update(Session).values(factor_at=ahead))
        db.session.commit()

    answer = client.post("/users/v.dvorak/role", data={"csrf_token": token, "role": "operator"})

    assert answer.headers["Location"].startswith("/second-factor?next=")


def test_a_live_page_keeps_a_wall_signed_in_and_no_administrator(
    filled_app: Flask, signed_in: SignIn
) -> None:
    noted = {}
    for name in ("a.torres", "m.novak"):
        client = signed_in(filled_app, name)
        with filled_app.app_context():
            before = now_utc() - timedelta(minutes=10)
            db.session.execute(db.update(Session).values(last_used_at=before))
            db.session.commit()
        client.get("/live/fleet").close()
        with filled_app.app_context():
            mine = db.select(Session).where(
                Session.user_id == service.find_user(name).id, Session.last_used_at > before
            )
            noted[name] = db.session.scalar(mine) is not None
            db.session.remove()

    assert noted == {"a.torres": True, "m.novak": False}


def test_another_administrator_resets_and_nobody_their_own(
    filled_app: Flask, signed_in: SignIn
) -> None:
    enrol(filled_app, "e.prieto")
    client = signed_in(filled_app, "m.novak")
    token = csrf_of(client.get("/users/e.prieto").text)

    reset = client.post("/users/e.prieto/reset-factors", data={"csrf_token": token})
    own = client.post("/users/m.novak/reset-factors", data={"csrf_token": token})

    assert (reset.status_code, own.status_code) == (303, 403)
    with filled_app.app_context():
        assert factors.list_factors(service.find_user("e.prieto").id) == []
        assert audit.events_about("user:e.prieto")[0].action == "factor.reset"
        db.session.remove()


def bearer(app: Flask, name: str, *, is_local: bool = False) -> dict[str, str]:
    with app.app_context():
        user = service.find_user(name)
        mine = [scope for scope, role in SCOPES.items() if service.identity_of(user).may(role)]
        token = tokens.create_token(
            name, "ci", mine, actor="system:test", now=now_utc(), is_local=is_local
        )
        db.session.remove()
    return {"Authorization": f"Bearer {token}"}


def test_a_program_sends_a_code_and_is_told_how(strict_app: Flask) -> None:
    enrol(strict_app, "e.prieto")
    rest, as_elena = strict_app.test_client(), bearer(strict_app, "e.prieto")
    path, body = "/api/v1/rollouts/R-2/stop", {"reason": "it crackles"}

    refused = rest.post(path, json=body, headers=as_elena)
    wrong = rest.post(path, json=body, headers={**as_elena, "Oleada-Second-Factor": "000000"})
    paused = rest.post("/api/v1/rollouts/R-2/pause", json=body, headers=as_elena)
    done = rest.post(path, json=body, headers={**as_elena, "Oleada-Second-Factor": a_code()})

    assert (refused.status_code, refused.get_json()["code"]) == (403, "step-up-required")
    assert "Oleada-Second-Factor" in refused.get_json()["detail"]
    assert (wrong.status_code, wrong.get_json()["code"]) == (400, "wrong-code")
    assert (paused.status_code, done.status_code) == (200, 200)
    assert state_of(strict_app, 2) == "stopped"


def test_a_token_of_a_guarded_role_without_a_factor_does_nothing_grave(strict_app: Flask) -> None:
    rest, as_elena = strict_app.test_client(), bearer(strict_app, "e.prieto")

    answer = rest.post("/api/v1/rollouts/R-2/stop", json={"reason": "x"}, headers=as_elena)

    assert (answer.status_code, answer.get_json()["code"]) == (403, "second-factor-missing")
    assert rest.get("/api/v1/rollouts", headers=as_elena).status_code == 200


def test_the_servers_own_token_is_trusted_by_file_access(strict_app: Flask) -> None:
    headers = bearer(strict_app, "m.novak", is_local=True)

    answer = strict_app.test_client().post(
        "/api/v1/rollouts/R-2/stop", json={"reason": "x"}, headers=headers
    )

    assert answer.status_code == 200


def test_a_token_asks_no_oftener_than_it_may(filled_app: Flask) -> None:
    before = filled_app.extensions["oleada_config"]
    filled_app.extensions["oleada_config"] = replace(before, token_requests_per_minute=3)
    rest, as_ana = filled_app.test_client(), bearer(filled_app, "a.torres")
    as_eva = bearer(filled_app, "e.prieto")
    local = bearer(filled_app, "m.novak", is_local=True)

    said = [rest.get("/api/v1/me", headers=as_ana) for _ in range(4)]
    others = [rest.get("/api/v1/me", headers=one).status_code for one in (as_eva, *[local] * 5)]

    assert [one.status_code for one in said] == [200, 200, 200, 429]
    assert said[3].get_json()["code"] == "token-too-often"
    assert set(others) == {200}


def test_each_web_process_counts_its_part_so_that_all_together_let_no_more(
    filled_app: Flask,
) -> None:
    before = filled_app.extensions["oleada_config"]
    filled_app.extensions["oleada_config"] = replace(
        before, token_requests_per_minute=7, web_workers=3
    )
    rest, as_ana = filled_app.test_client(), bearer(filled_app, "a.torres")

    said = [rest.get("/api/v1/me", headers=as_ana).status_code for _ in range(3)]

    assert said == [200, 200, 429]


def test_a_token_is_made_shown_once_listed_and_revoked(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(filled_app, "a.torres")
    page = client.get("/security").text
    form = {"csrf_token": csrf_of(page), "label": "ci <1>", "scopes": "rollouts:read", "days": "7"}

    made = client.post("/security/tokens", data=form).text
    token = re.search(r'value="(ole_[A-Za-z0-9_-]{43})"', made)
    assert token is not None
    headers = {"Authorization": f"Bearer {token[1]}"}
    used = filled_app.test_client().get("/api/v1/me", headers=headers)
    listed = client.get("/security").text
    revoke = re.search(r'action="(/security/tokens/[0-9a-f]+/revoke)"', listed)
    assert revoke is not None
    client.post(revoke[1], data={"csrf_token": form["csrf_token"]})
    after = filled_app.test_client().get("/api/v1/me", headers=headers)

    assert used.get_json()["scopes"] == ["rollouts:read"]
    assert "ci &lt;1&gt;" in listed
    assert token[1] not in listed
    assert f"{token[1][:8]}…" in listed
    assert (used.status_code, after.status_code) == (200, 401)


def test_a_token_with_rights_that_its_maker_lacks_is_refused_and_what_was_typed_stays(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(filled_app, "v.dvorak")
    token = csrf_of(client.get("/security").text)

    answer = client.post(
        "/security/tokens",
        data={"csrf_token": token, "label": "mine", "scopes": "accounts:write", "days": "7"},
    )

    assert answer.status_code == 400
    assert 'value="mine"' in answer.text


def test_one_browser_signs_the_others_out(filled_app: Flask, signed_in: SignIn) -> None:
    first = signed_in(filled_app, "a.torres")
    with filled_app.app_context():
        link = service.create_link("a.torres", actor="system:test", now=now_utc())
        db.session.remove()
    second = filled_app.test_client()
    use_link(second, link)
    page = second.get("/security").text

    second.post("/security/sessions/end", data={"csrf_token": csrf_of(page)})

    assert page.count("this browser") == 1
    assert first.get("/fleet").status_code == 302
    assert second.get("/fleet").status_code == 200
