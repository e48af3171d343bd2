"""Who may begin rollouts lets them leave a box alone on its page, for a reason and a while."""

import re
from collections.abc import Callable
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.audit import service as audit
from oleada_server.clock import now_utc
from oleada_server.db import db
from oleada_server.rollouts import left_alone
from werkzeug.test import TestResponse

from tests.web.forms import csrf_of
from tests.web.test_revoke_page import a_box

SignIn = Callable[..., FlaskClient]
PRAGUE = ZoneInfo("Europe/Prague")


def notes(app: Flask, device_id: str) -> list[tuple[str, str, str]]:
    """Return (kind, ref, who) of each note that holds now."""
    with app.app_context():
        found = [(o.kind, o.ref, o.noted_by) for o in left_alone.of(device_id, now_utc())]
        db.session.remove()
    return found


def typed(hours: float) -> str:
    """Return the time in so many hours as a clock in Prague shows it, to the minute."""
    return f"{(now_utc() + timedelta(hours=hours)).astimezone(PRAGUE):%Y-%m-%dT%H:%M}"


def send(client: FlaskClient, device_id: str, **form: str) -> TestResponse:
    page = f"/devices/{device_id}"
    token = csrf_of(client.get(page).text)
    data = {"csrf_token": token, "because": "recording", "until": typed(2), "ref": "the final",
            **form}  # fmt: skip
    return client.post(f"{page}/left-alone", data=data)


def test_a_box_is_left_alone_from_its_page_and_no_more_when_it_is_over(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client, (device_id, _) = signed_in(filled_app, "a.torres"), a_box(filled_app)

    done = send(client, device_id)

    assert done.status_code == 303
    assert notes(filled_app, device_id) == [("recording", "the final", "user:a.torres")]
    page = client.get(f"/devices/{device_id}").text
    wanted = re.sub(r"<[^>]+>", " ", page[page.index('id="p-wanted"') :])
    assert re.search(r"Left alone\s+it records, until \w+ \d+ \w+, \d\d:\d\d\s+the final", wanted)
    over = client.post(
        f"/devices/{device_id}/left-alone/lift",
        data={"csrf_token": csrf_of(page), "because": "recording"},
    )
    assert over.status_code == 303
    assert notes(filled_app, device_id) == []
    with filled_app.app_context():
        said = [(e.action, e.reason) for e in audit.events_about(f"device:{device_id}")[:2]]
        db.session.remove()
    assert said == [
        ("device.leave_alone_no_more", None), ("device.leave_alone", "the final"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"ref": " "}, "Write what is recorded"),
        ({"ref": "x" * 81}, "At most 80 characters"),
        ({"because": "a-whim"}, "Choose why"),
        ({"until": ""}, "Write the day and the time"),
        ({"until": "9999-12-31T23:59"}, "within 1 day."),
        ({"until": "0001-01-01T00:00"}, "Write the day and the time"),
        ({"until": typed(-1)}, "Write a time to come"),
        ({"until": typed(25)}, "within 1 day."),
        ({"because": "critical-case", "until": typed(15 * 24)}, "within 14 days"),
    ],
)
def test_what_can_not_be_is_refused_and_stays_typed(
    filled_app: Flask, signed_in: SignIn, form: dict[str, str], says: str
) -> None:
    client, (device_id, _) = signed_in(filled_app, "a.torres"), a_box(filled_app)

    refused = send(client, device_id, **form)

    assert refused.status_code == 400
    assert says in refused.text
    assert f'value="{form.get("ref", "the final").strip()}"' in refused.text
    assert notes(filled_app, device_id) == []


def test_who_may_not_begin_rollouts_sees_the_note_and_no_form(
    filled_app: Flask, signed_in: SignIn
) -> None:
    device_id, _ = a_box(filled_app)
    send(signed_in(filled_app, "a.torres"), device_id)

    page = signed_in(filled_app, "v.dvorak").get(f"/devices/{device_id}").text

    assert "the final" in page
    assert "left-alone" not in page
