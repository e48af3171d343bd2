"""Groups of boxes: listed with how many they are, made, changed and removed, each in the trail."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.audit.models import AuditEvent
from oleada_server.db import db
from oleada_server.devices.models import Device
from sqlalchemy import select
from werkzeug.test import TestResponse

from tests.web.forms import csrf_of

SignIn = Callable[..., FlaskClient]


@pytest.fixture
def client(filled_app: Flask, signed_in: SignIn) -> FlaskClient:
    with filled_app.app_context():
        for number, device in enumerate(db.session.scalars(select(Device)).all()):
            device.region = "Brno" if number < 7 else "Praha"
        db.session.commit()
        db.session.remove()
    return signed_in(filled_app)


def send(client: FlaskClient, path: str, page: str, **typed: str) -> TestResponse:
    token = csrf_of(client.get(page).text)
    return client.post(path, data={"csrf_token": token, **typed}, follow_redirects=True)


def deeds(app: Flask) -> list[str]:
    with app.app_context():
        query = select(AuditEvent.action).where(AuditEvent.object_ref == "group:south")
        found = list(db.session.scalars(query.order_by(AuditEvent.id)))
        db.session.remove()
    return found


def test_a_group_by_rule_says_its_rule_in_words_and_counts_whom_it_is_true_of(
    client: FlaskClient,
) -> None:
    page = send(client, "/groups", "/groups", name="south", rule="region=Brno", note="a note").text

    assert "<b>7 boxes</b>: region is Brno." in page
    assert "a note" in page
    listed = client.get("/groups").text
    assert "region is Brno" in listed
    assert "/groups/south" in listed


def test_boxes_are_put_in_and_taken_out_and_the_group_is_removed(
    client: FlaskClient, filled_app: Flask
) -> None:
    one, two = filled_app.extensions["test_sample"].device_ids[:2]
    send(client, "/groups", "/groups", name="south", rule="")

    page = send(client, "/groups/south", "/groups/south", do="add", boxes=f"{one}\n{two.lower()}")
    assert "<b>2 boxes</b>: boxes that are listed." in page.text
    page = send(client, "/groups/south", "/groups/south", do="remove", boxes=one)
    assert "<b>1 box</b>" in page.text
    assert "changed the group" in page.text
    page = send(client, "/groups/south/remove", "/groups/south")

    assert "Group south is removed." in page.text
    assert deeds(filled_app) == ["group.create", "group.change", "group.change", "group.remove"]


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ({"name": "No Name"}, "small letters, digits and dashes"),
        ({"name": "south", "rule": "count=3"}, "A rule names attributes"),
        ({"name": "south", "rule": "colour=red"}, "no attribute of boxes"),
    ],
)
def test_what_can_not_be_a_group_is_refused_and_stays_typed(
    client: FlaskClient, filled_app: Flask, typed: dict[str, str], says: str
) -> None:
    answer = send(client, "/groups", "/groups", **typed)

    assert answer.status_code == 400
    assert says in answer.text
    assert f'value="{typed["name"]}"' in answer.text
    assert deeds(filled_app) == []
    unknown = send(client, "/groups", "/groups", name="south")
    assert unknown.status_code == 200
    wrong = send(client, "/groups/south", "/groups/south", do="add", boxes="VX41ZZZZ9999")
    assert (wrong.status_code, "There is no box" in wrong.text) == (400, True)


def test_who_only_looks_is_offered_nothing(
    client: FlaskClient, filled_app: Flask, signed_in: SignIn
) -> None:
    send(client, "/groups", "/groups", name="south")
    viewer = signed_in(filled_app, "v.dvorak")

    for path in ("/groups", "/groups/south"):
        assert 'method="post" class="body addform"' not in viewer.get(path).text
    assert "Remove the group" not in viewer.get("/groups/south").text
