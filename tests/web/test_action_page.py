"""An action with arguments by its form; a factory reset by two people or by the PIN."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.accounts import kept
from oleada_server.accounts.models import AskedDeed, Role, Session
from oleada_server.actions import rules, tries
from oleada_server.actions.models import ActionOrder
from oleada_server.audit.models import AuditEvent
from oleada_server.clock import now_utc
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.messaging.models import OutboxMessage
from sqlalchemy import delete, select, update
from werkzeug.test import TestResponse

from tests.web.forms import csrf_of
from tests.web.test_diagnosis_page import a_box, orders, support
from tests.web.test_second_factor import enrol

SignIn = Callable[..., FlaskClient]
PIN = "90817263"


def send(client: FlaskClient, box: str, action: str, **data: Any) -> TestResponse:
    token = csrf_of(client.get("/settings").text)
    said = {"csrf_token": token, "reason": "asked on the phone", **data}
    return client.post(f"/devices/{box}/do/{action}", data=said)


def end_of_serial(app: Flask, box: str) -> str:
    with app.app_context():
        found = db.session.get_one(Device, box).serial[-4:]
        db.session.remove()
    return found


def reset(app: Flask, client: FlaskClient, box: str, **data: Any) -> TestResponse:
    return send(client, box, "factory_reset", confirm=end_of_serial(app, box), **data)


def answer_all(app: Flask, **columns: Any) -> None:
    with app.app_context():
        db.session.execute(update(ActionOrder).values(columns))
        db.session.commit()
        db.session.remove()


def test_every_argument_of_every_action_has_a_field_with_its_limits(filled_app: Flask) -> None:
    box, client = a_box(filled_app), support(filled_app, Role.OPERATOR)
    wrong = []

    for action in rules.BY_PEOPLE:
        page = client.get(f"/devices/{box}/do/{action.name}").text
        for one in action.arguments:
            found = re.search(rf'<(?:input|select)[^>]*name="a-{one.name}"[^>]*>', page)
            field = found[0] if found else ""
            limits = {int: f'min="{one.least}" max="{one.most}"', str: f'maxlength="{one.most}"'}
            wanted = "<select" if one.words else limits.get(one.kind, 'type="checkbox"')
            if wanted not in field:
                wrong.append((action.name, one.name, field))

    assert wrong == []


def test_what_is_typed_becomes_the_arguments_and_the_rest_its_defaults(filled_app: Flask) -> None:
    box, client = a_box(filled_app), support(filled_app)

    answer = send(
        client, box, "log_pull", **{"a-lines": "40", "a-as_file": "1", "symptom": "drm-error"}
    )

    assert answer.headers["Location"] == f"/devices/{box}?symptom=drm-error"
    with filled_app.app_context():
        made = db.session.scalars(select(ActionOrder)).one()
        said = db.session.scalars(select(AuditEvent).where(AuditEvent.action == "device.act")).one()
        assert made.arguments == {"file": "", "lines": 40, "since_s": 0, "as_file": True}
        assert (said.actor, said.reason) == ("user:desk", "asked on the phone")
        db.session.remove()


@pytest.mark.parametrize(
    ("action", "field", "typed", "why"),
    [
        ("log_pull", "lines", "5001", "5001 is not 1 to 5000."),
        ("log_pull", "lines", "many", "int was expected."),
        ("log_pull", "lines", "9" * 30, "int was expected."),
        ("tune", "channel", "", "it is missing."),
        ("ip_ping", "host", "a b", "it must match"),
        ("hdmi_mode", "mode", "4320p", "one of auto,"),
    ],
)
def test_what_is_refused_is_said_at_its_field_and_stays_typed(
    filled_app: Flask, action: str, field: str, typed: str, why: str
) -> None:
    box, client = a_box(filled_app), support(filled_app)

    answer = send(client, box, action, consent="viewer", **{f"a-{field}": typed})

    assert answer.status_code == 400
    said = re.search(rf'id="a-{field}-e" role="alert">(.*?)</p>', answer.text, re.DOTALL)
    assert said
    assert why in said[1]
    assert f'value="{typed}"' in answer.text or action == "hdmi_mode"
    assert 'value="asked on the phone"' in answer.text
    assert orders(filled_app) == []


def test_a_missing_consent_and_a_missing_reason_are_said_on_the_form(filled_app: Flask) -> None:
    box, client = a_box(filled_app, health={}), support(filled_app)

    unasked = send(client, box, "tune", **{"a-channel": "uno"})
    no_reason = send(client, box, "tune", consent="viewer", reason=" ", **{"a-channel": "uno"})

    assert (unasked.status_code, no_reason.status_code) == (409, 400)
    assert "Somebody may be watching." in unasked.text
    assert 'value="uno"' in unasked.text
    assert "A reason has 1 to 200 printable characters" in no_reason.text
    assert orders(filled_app) == []


def test_a_form_says_before_it_is_sent_what_stands_in_its_way(filled_app: Flask) -> None:
    denied = a_box(filled_app, denied_actions=["log_pull"])
    client = support(filled_app)

    assert "its own settings say so" in client.get(f"/devices/{denied}/do/log_pull").text
    assert "one needs the role Operator" in client.get(f"/devices/{denied}/do/factory_reset").text
    assert client.get(f"/devices/{denied}/do/no_such").status_code == 409


def test_a_factory_reset_without_a_pin_waits_for_somebody_else(
    filled_app: Flask, signed_in: SignIn
) -> None:
    box, ana, elena = a_box(filled_app), signed_in(filled_app), signed_in(filled_app, "e.prieto")

    asked = reset(filled_app, ana, box)

    assert asked.status_code == 303
    assert orders(filled_app) == []
    with filled_app.app_context():
        number = db.session.scalars(select(AskedDeed.id)).one()
        db.session.remove()
    token = csrf_of(ana.get("/settings").text)
    own = ana.post(f"/asked/{number}/confirm", data={"csrf_token": token})
    assert own.status_code == 403
    assert orders(filled_app) == []
    token = csrf_of(elena.get("/settings").text)
    done = elena.post(f"/asked/{number}/confirm", data={"csrf_token": token})
    assert done.status_code == 303
    assert orders(filled_app) == ["factory_reset"]


def test_a_factory_reset_with_the_pin_is_done_at_once_and_the_pin_is_kept_nowhere(
    filled_app: Flask, signed_in: SignIn, caplog: pytest.LogCaptureFixture
) -> None:
    box, client = a_box(filled_app), signed_in(filled_app)

    answer = reset(filled_app, client, box, **{"a-pin": PIN})

    assert answer.status_code == 303
    assert orders(filled_app) == ["factory_reset"]
    with filled_app.app_context():
        db.session.execute(delete(OutboxMessage))  # the broker has it
        rows = [dict(row._mapping) for table in db.metadata.sorted_tables
                for row in db.session.execute(table.select())]  # fmt: skip
        db.session.remove()
    assert PIN not in json.dumps(rows, default=repr)
    assert PIN not in caplog.text
    assert PIN not in client.get(f"/devices/{box}").text


def test_a_pin_is_not_shown_again_when_a_form_is_refused(
    filled_app: Flask, signed_in: SignIn
) -> None:
    box, client = a_box(filled_app), signed_in(filled_app)

    wrong = send(client, box, "factory_reset", confirm="nope", **{"a-pin": PIN})

    assert wrong.status_code == 400
    assert "to confirm." in wrong.text
    assert PIN not in wrong.text
    assert orders(filled_app) == []


def test_a_pin_is_not_kept_with_a_form_that_outlived_its_session(
    filled_app: Flask, signed_in: SignIn
) -> None:
    box, client = a_box(filled_app), signed_in(filled_app)
    token = csrf_of(client.get("/settings").text)
    with filled_app.app_context():
        db.session.execute(delete(Session))
        db.session.commit()
        db.session.remove()

    typed = {"csrf_token": token, "reason": "moved out", "a-pin": PIN, "confirm": "y"}
    ended = client.post(f"/devices/{box}/do/factory_reset", data=typed)

    sealed = re.search(r'name="kept" value="([^"]+)"', ended.text)
    assert ended.status_code == 401
    assert sealed
    with filled_app.test_request_context("/"):
        found = kept.unseal(sealed[1])
    assert found is not None
    assert dict(found.fields) == {"reason": "moved out", "confirm": "y"}


def test_a_reset_wants_a_second_factor_proved_just_now(
    filled_app: Flask, signed_in: SignIn
) -> None:
    box, client = a_box(filled_app), signed_in(filled_app)
    enrol(filled_app, "a.torres")

    answer = reset(filled_app, client, box, **{"a-pin": PIN})

    assert answer.headers["Location"].startswith(f"/second-factor?next=/devices/{box}/do/")
    assert orders(filled_app) == []
    assert send(client, box, "log_pull").status_code == 303, "and for nothing less"


def test_a_pin_is_tried_three_times_a_day_and_then_two_people_are_needed(
    filled_app: Flask, signed_in: SignIn
) -> None:
    box, client = a_box(filled_app), signed_in(filled_app)
    for n in range(tries.TRIES_MAX):
        assert reset(filled_app, client, box, **{"a-pin": f"000{n}"}).status_code == 303

    unanswered = reset(filled_app, client, box, **{"a-pin": "0009"})
    answer_all(filled_app, status="Refused", error="wrong-pin", ended_at=now_utc())
    wrong = reset(filled_app, client, box, **{"a-pin": "0009"})
    together = reset(filled_app, client, box)
    answer_all(filled_app, asked_at=now_utc() - tries.WITHIN - timedelta(minutes=1))
    next_day = reset(filled_app, client, box, **{"a-pin": "0009"})

    assert (unanswered.status_code, wrong.status_code) == (429, 429)
    assert "Too many wrong PINs today." in wrong.text
    assert (together.status_code, next_day.status_code) == (303, 303)
    assert orders(filled_app) == ["factory_reset"] * (tries.TRIES_MAX + 1)


def test_a_pin_that_was_right_counts_against_nobody(filled_app: Flask, signed_in: SignIn) -> None:
    box, client = a_box(filled_app), signed_in(filled_app)
    for n in range(tries.TRIES_MAX + 1):
        assert reset(filled_app, client, box, **{"a-pin": f"000{n}"}).status_code == 303
        answer_all(filled_app, status="Complete", error=None, ended_at=now_utc())


@pytest.mark.parametrize("role", [Role.SUPPORT, Role.AUDITOR, Role.DEVICE_CA_ADMIN])
def test_nobody_below_an_operator_resets_a_box(filled_app: Flask, role: Role) -> None:
    box, client = a_box(filled_app), support(filled_app, role)

    assert reset(filled_app, client, box, **{"a-pin": PIN}).status_code == 403
    assert orders(filled_app) == []
