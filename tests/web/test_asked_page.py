"""What waits for a second person, in the console and over REST."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.accounts import service, tokens
from oleada_server.accounts.models import Role
from oleada_server.clock import now_utc
from oleada_server.db import db

from tests.web.forms import csrf_of, use_link

SignIn = Callable[..., FlaskClient]


@pytest.fixture
def app_of_two(filled_app: Flask) -> Flask:
    """The filled console with a second administrator, Uwe."""
    with filled_app.app_context():
        service.add_user(
            "uwe", full_name="Uwe <b>", role=Role.ADMIN, actor="system:test", now=now_utc()
        )
        filled_app.extensions["test_tokens"] = {
            **filled_app.extensions["test_tokens"],
            "uwe": service.create_link("uwe", actor="system:test", now=now_utc()),
        }
        db.session.remove()
    return filled_app


def role_of(app: Flask, name: str) -> str:
    with app.app_context():
        found = str(service.find_user(name).role)
        db.session.remove()
    return found


def bearer(app: Flask, name: str, *scopes: str) -> dict[str, str]:
    with app.app_context():
        token = tokens.create_token(name, "t", scopes, actor="system:test", now=now_utc())
        db.session.remove()
    return {"Authorization": f"Bearer {token}"}


def test_one_administrator_asks_and_another_one_confirms(
    app_of_two: Flask, signed_in: SignIn
) -> None:
    first, second = signed_in(app_of_two, "m.novak"), signed_in(app_of_two, "uwe")
    token = csrf_of(first.get("/users/v.dvorak").text)
    form = {"csrf_token": token, "role": "approver", "reason": "stands in for <i>Eva</i>"}

    without = first.post("/users/v.dvorak/role", data={**form, "reason": ""})
    asked = first.post("/users/v.dvorak/role", data=form, follow_redirects=True)
    own = first.get("/asked").text
    refused = first.post("/asked/1/confirm", data={"csrf_token": token})
    page = second.get("/asked").text
    before = role_of(app_of_two, "v.dvorak")
    done = second.post(
        "/asked/1/confirm", data={"csrf_token": csrf_of(page)}, follow_redirects=True
    )

    assert without.status_code == 400
    assert "Say why" in without.text
    assert "It waits for a second person now." in asked.text
    assert "another person has to confirm" in own
    assert "/asked/1/confirm" not in own
    assert refused.status_code == 403
    assert "stands in for &lt;i&gt;Eva&lt;/i&gt;" in page
    assert "v.dvorak becomes" in page
    assert (before, role_of(app_of_two, "v.dvorak")) == ("viewer", "approver")
    assert "Nothing waits for a second person." in done.text


def test_somebody_new_is_a_viewer_until_a_second_person_confirms(
    app_of_two: Flask, signed_in: SignIn
) -> None:
    client = signed_in(app_of_two, "m.novak")
    form = {"csrf_token": csrf_of(client.get("/users").text), "name": "new", "role": "admin",
            "full_name": "New", "reason": ""}  # fmt: skip

    refused = client.post("/users", data=form)
    with app_of_two.app_context():
        names = [user.name for user in service.list_users()]
        db.session.remove()
    added = client.post("/users", data={**form, "reason": "a third one"})

    assert refused.status_code == 400
    assert "new" not in names
    assert "/sign-in/link/" in added.text
    assert role_of(app_of_two, "new") == "viewer"
    assert "new becomes" in client.get("/asked").text


def test_who_may_not_decide_sees_what_waits_and_no_button(
    app_of_two: Flask, signed_in: SignIn
) -> None:
    admin = signed_in(app_of_two, "m.novak")
    token = csrf_of(admin.get("/users").text)
    admin.post("/users/v.dvorak/role",
               data={"csrf_token": token, "role": "approver", "reason": "why"})  # fmt: skip
    viewer = signed_in(app_of_two, "a.torres")

    page = viewer.get("/asked").text
    refused = viewer.post(
        "/asked/1/confirm", data={"csrf_token": csrf_of(viewer.get("/settings").text)}
    )

    assert "v.dvorak becomes" in page
    assert "/asked/1/" not in page
    assert refused.status_code == 403


def test_over_rest_a_token_of_who_asked_confirms_nothing(
    app_of_two: Flask, signed_in: SignIn
) -> None:
    rest = app_of_two.test_client()
    first = bearer(app_of_two, "m.novak", "accounts:read", "accounts:write", "audit:read")
    other_of_first = bearer(app_of_two, "m.novak", "accounts:write", "audit:read")
    narrow = bearer(app_of_two, "uwe", "audit:read", "devices:revoke")
    second = bearer(app_of_two, "uwe", "accounts:write", "audit:read")
    body = {"role": "user-admin", "reason": "a third one"}

    asked = rest.post("/api/v1/users/v.dvorak/role", json=body, headers=first).get_json()["asked"]
    listed = rest.get("/api/v1/asked", headers=second).get_json()["asked"]
    answers = [
        rest.post(f"/api/v1/asked/{asked}/confirm", headers=one)
        for one in (first, other_of_first, narrow, second, second)
    ]
    people = rest.get("/api/v1/users", headers=first).get_json()["users"]

    assert [(one["id"], one["asked_by"], one["scope"]) for one in listed] == [
        (asked, "user:m.novak", "accounts:write")
    ]
    assert [one.status_code for one in answers] == [403, 403, 403, 204, 404]
    assert [one.get_json()["code"] for one in answers[:3]] == [
        "not-yours", "not-yours", "scope-missing",
    ]  # fmt: skip
    assert ("v.dvorak", "user-admin") in {(one["name"], one["role"]) for one in people}


def test_over_rest_many_boxes_take_two(app_of_two: Flask) -> None:
    rest = app_of_two.test_client()
    first = bearer(app_of_two, "m.novak", "devices:revoke", "devices:read")
    second = bearer(app_of_two, "uwe", "devices:revoke", "audit:read")
    found = rest.get("/api/v1/devices?limit=3", headers=first).get_json()["devices"]
    ids = [one["id"] for one in found]

    asked = rest.post(
        "/api/v1/devices/revocations", json={"device_ids": ids, "reason": "a van"}, headers=first
    )
    before = rest.get(f"/api/v1/devices/{ids[0]}", headers=first).get_json()["revoked_at"]
    done = rest.post(f"/api/v1/asked/{asked.get_json()['asked']}/confirm", headers=second)
    after = rest.get(f"/api/v1/devices/{ids[0]}", headers=first).get_json()["revoked_at"]

    assert (asked.status_code, done.status_code) == (202, 204)
    assert before is None
    assert after is not None


def test_a_link_for_somebody_new_still_signs_in(app_of_two: Flask) -> None:
    client = app_of_two.test_client()

    answer = use_link(client, app_of_two.extensions["test_tokens"]["uwe"])

    assert answer.status_code == 303
