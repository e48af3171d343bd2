"""Users: an administrator adds, links, changes and shuts out; nobody locks everybody out."""

import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.accounts import service
from oleada_server.audit import service as audit
from oleada_server.db import db

from tests.web.forms import csrf_of

SignIn = Callable[..., FlaskClient]


@pytest.fixture
def admin(empty_app: Flask, signed_in: SignIn) -> FlaskClient:
    """A client in which the administrator is signed in."""
    return signed_in(empty_app, "m.novak")


def send(client: FlaskClient, path: str, **form: str) -> tuple[int, str]:
    token = csrf_of(client.get("/users").text)
    answer = client.post(path, data={"csrf_token": token, **form}, follow_redirects=True)
    return answer.status_code, answer.text


def link_in(page: str) -> str:
    found = re.search(r'value="http[^"]*(/sign-in/link/[^"]+)"', page)
    assert found
    return found[1]


def deeds_about(app: Flask, name: str) -> list[tuple[str, str]]:
    with app.app_context():
        found = [(one.actor, one.action) for one in audit.events_about(f"user:{name}")]
        db.session.remove()
    return found


def test_somebody_is_added_gets_a_link_once_and_signs_in(
    empty_app: Flask, admin: FlaskClient
) -> None:
    _, page = send(admin, "/users", full_name="Jana Malá", name="j.mala", role="operator",
                   language="cs", zone="Europe/Prague")  # fmt: skip
    link = link_in(page)
    guest = empty_app.test_client()

    form = guest.get(link).text
    answer = guest.post(link, data={"csrf_token": csrf_of(form)})
    again = guest.get(link)

    assert answer.status_code == 303
    assert "Jana Malá" in form
    assert again.status_code == 410
    assert deeds_about(empty_app, "j.mala") == [
        ("user:m.novak", "user.link"),
        ("user:m.novak", "user.add"),
    ]


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"name": "Not A Name", "role": "viewer"}, "is not small letters"),
        ({"name": "a.torres", "role": "viewer"}, "exists already"),
        ({"name": "x.y", "role": "emperor"}, "is none of"),
        ({"name": "x.y", "role": "viewer", "zone": "Nowhere/Land"}, "is no time zone"),
    ],
)
def test_what_can_not_be_added_says_why(
    admin: FlaskClient, form: dict[str, str], says: str
) -> None:
    status, page = send(admin, "/users", full_name="Kept As Typed", **form)

    assert status in {400, 409}
    assert says in page.replace("&#39;", "'")


def test_what_was_typed_stays_after_a_refusal(admin: FlaskClient) -> None:
    _, page = send(admin, "/users", full_name="Kept As Typed", name="a.torres", role="approver")

    assert 'value="Kept As Typed"' in page
    assert 'value="approver" checked' in page


def test_a_role_holds_from_the_next_request_on(
    empty_app: Flask, admin: FlaskClient, signed_in: SignIn
) -> None:
    viewer = signed_in(empty_app, "v.dvorak")
    before = viewer.get("/users").status_code

    send(admin, "/users/v.dvorak/role", role="admin")

    assert (before, viewer.get("/users").status_code) == (403, 200)
    assert ("user:m.novak", "user.role") in deeds_about(empty_app, "v.dvorak")


def test_who_is_shut_out_is_out_at_once(
    empty_app: Flask, admin: FlaskClient, signed_in: SignIn
) -> None:
    operator = signed_in(empty_app, "a.torres")
    assert operator.get("/fleet").status_code == 200

    wrong, page = send(admin, "/users/a.torres/disable", confirm="somebody")
    still = operator.get("/fleet").status_code
    send(admin, "/users/a.torres/disable", confirm="a.torres")

    assert (wrong, still) == (400, 200)
    assert "Type a.torres to confirm; you wrote “somebody”" in page
    assert operator.get("/fleet").status_code == 302


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/users/m.novak/role", {"role": "viewer"}),
        ("/users/m.novak/disable", {"confirm": "m.novak"}),
    ],
)
def test_the_last_administrator_stays_one(
    empty_app: Flask, admin: FlaskClient, path: str, form: dict[str, str]
) -> None:
    status, page = send(admin, path, **form)

    assert status == 409
    assert "m.novak is the last administrator" in page
    with empty_app.app_context():
        found = service.find_user("m.novak")
        assert (found.role, found.disabled_at) == ("admin", None)
        db.session.remove()


def test_a_second_administrator_lets_the_first_go(admin: FlaskClient) -> None:
    send(admin, "/users/e.prieto/role", role="admin")

    assert send(admin, "/users/m.novak/role", role="viewer")[0] in {200, 403}
    assert admin.get("/users").status_code == 403
