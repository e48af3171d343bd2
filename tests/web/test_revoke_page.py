"""A box is revoked from its page, by whom the certificates are entrusted to, for a reason."""

from collections.abc import Callable

from flask import Flask
from flask.testing import FlaskClient
from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.devices.models import Device
from sqlalchemy import select

from tests.web.forms import csrf_of

SignIn = Callable[..., FlaskClient]


def a_box(app: Flask) -> tuple[str, str]:
    """Return id and serial of a box of the sample."""
    with app.app_context():
        found = db.session.execute(select(Device.id, Device.serial).limit(1)).one()
        db.session.remove()
    return found[0], found[1]


def revoked_at(app: Flask, device_id: str) -> object:
    with app.app_context():
        found = db.session.get_one(Device, device_id).revoked_at
        db.session.remove()
    return found


def test_a_box_is_revoked_for_a_reason_and_with_the_end_of_its_serial_typed(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client, (device_id, serial) = signed_in(filled_app, "m.novak"), a_box(filled_app)
    page, path = f"/devices/{device_id}", f"/devices/{device_id}/revoke"
    assert f'href="{path}"' in client.get(page).text
    token = csrf_of(client.get(path).text)

    lacking = [
        client.post(path, data={"csrf_token": token, **form})
        for form in ({"reason": "", "confirm": serial[-4:]}, {"reason": "kept", "confirm": "no"})
    ]
    before = revoked_at(filled_app, device_id)
    done = client.post(
        path,
        data={"csrf_token": token, "reason": "stolen", "confirm": serial[-4:]},
        follow_redirects=True,
    )

    assert [answer.status_code for answer in lacking] == [400, 400]
    assert 'value="kept"' in lacking[1].text
    assert before is None
    assert "is revoked: nothing it says is heard" in done.text
    assert "is revoked: nothing it says is heard" in done.text
    assert "This box was revoked" in done.text
    assert f'href="{path}"' not in done.text, "once is enough"
    assert "It is revoked already" in client.get(path).text
    with filled_app.app_context():
        event = audit.events_about(f"device:{device_id}")[0]
        assert (event.action, event.actor, event.reason) == (
            "device.revoke", "user:m.novak", "stolen",
        )  # fmt: skip
        db.session.remove()


def test_who_may_only_look_is_offered_nothing(filled_app: Flask, signed_in: SignIn) -> None:
    device_id, _ = a_box(filled_app)

    page = signed_in(filled_app, "v.dvorak").get(f"/devices/{device_id}").text

    assert "/revoke" not in page
