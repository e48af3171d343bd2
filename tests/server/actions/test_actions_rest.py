"""Actions over REST and the command line: factory reset, rights of each risk, uploads' bounds."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from flask import Flask, g
from flask.testing import FlaskClient
from oleada_server.accounts import second_person, tokens
from oleada_server.accounts import service as accounts
from oleada_server.accounts.models import AskedDeed, Role
from oleada_server.actions import api, rules, service, tries
from oleada_server.actions.cli import argument_of, device_group
from oleada_server.actions.models import ActionFile, ActionOrder
from oleada_server.app import create_door
from oleada_server.clock import now_utc
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.enrolment import pki
from oleada_server.enrolment.peer import Peer
from oleada_wire.actions import FILE_BYTES_MAX, Risk
from sqlalchemy import select
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

from tests.server.actions.orders import BOX, a_box, a_person, a_wish, ordered, queued

PATH = f"/api/v1/devices/{BOX}/actions"
Bearer = Callable[..., dict[str, str]]
Type = Callable[..., Result]


@pytest.fixture
def rest(sqlite_app: Flask) -> FlaskClient:
    return sqlite_app.test_client()


@pytest.fixture
def bearer(sqlite_app: Flask) -> Bearer:
    """Return a function that gives the headers of a person of a role, with scopes."""

    def make(role: Role, *scopes: str, name: str = "") -> dict[str, str]:
        who, now = name or str(role), now_utc()
        accounts.add_user(who, full_name="N", role=role, actor="system:test", now=now)
        token = tokens.create_token(who, "t", scopes, actor="system:test", now=now)
        db.session.remove()
        return {"Authorization": f"Bearer {token}"}

    return make


def a_reset(**arguments: str) -> dict[str, Any]:
    return {"action": "factory_reset", "reason": "moved out", "arguments": arguments}


@pytest.mark.parametrize("risk", Risk)
def test_a_token_does_actions_of_its_own_risk_alone(
    rest: FlaskClient, bearer: Bearer, risk: Risk
) -> None:
    a_box()
    action = next(
        one for one in rules.BY_PEOPLE
        if one.risk is risk and all(each.default is not None for each in one.arguments)
    )  # fmt: skip
    wanted = {"action": action.name, "reason": "x", "consent": "viewer"}
    mine = {"actions:read", rules.SCOPES[risk]}
    others = {"actions:read", *rules.SCOPES.values()} - {rules.SCOPES[risk]} | {"actions:read"}

    def asked(role: Role, *scopes: str) -> TestResponse:
        g.pop("identity", None)  # the context of the test is that of each request
        named = f"{role}-{len(scopes)}"
        return rest.post(PATH, json=wanted, headers=bearer(role, *scopes, name=named))

    with_it = asked(Role.ADMIN, *mine)
    without = asked(Role.ADMIN, *others)
    too_low = asked(Role.VIEWER, "devices:read")

    fresh = {"second-factor-missing"} if risk is Risk.DESTROYS else set()
    assert with_it.status_code == 202 or with_it.get_json()["code"] in fresh
    assert without.status_code == (202 if risk is Risk.READ else 403)
    assert too_low.status_code == 403


def test_a_reset_over_rest_waits_for_another_person_or_takes_the_pin(
    rest: FlaskClient, bearer: Bearer
) -> None:
    a_box()
    mine = bearer(Role.OPERATOR, "actions:read", "actions:destroy")

    waits = rest.post(PATH, json=a_reset(), headers=mine)
    at_once = rest.post(PATH, json=a_reset(pin="4711"), headers=mine)

    assert waits.get_json() == {"asked": db.session.scalars(select(AskedDeed.id)).one()}
    assert at_once.get_json()["consent"] == "pin"
    assert "4711" not in at_once.text
    assert [one.verb for one in queued()] == ["factory_reset"]


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"arguments": {"pin": "12ab"}}, 400, "bad-action"),
        ({"arguments": {"pin": 4711}}, 400, "bad-action"),
        ({"arguments": {"pin": "123456789"}}, 400, "bad-action"),
        ({"reason": " "}, 400, "bad-action"),
        ({"arguments": {"code": "1"}}, 400, "bad-action"),
    ],
)
def test_each_refusal_of_a_reset_says_why_and_sends_nothing(
    rest: FlaskClient, bearer: Bearer, changes: dict[str, Any], status: int, code: str
) -> None:
    a_box()
    mine = bearer(Role.OPERATOR, "actions:read", "actions:destroy")

    answer = rest.post(PATH, json={**a_reset(), **changes}, headers=mine)

    assert (answer.status_code, answer.get_json()["code"]) == (status, code)
    assert queued() == []


def test_pins_are_counted_over_rest_too_and_two_people_are_not(
    rest: FlaskClient, bearer: Bearer
) -> None:
    a_box()
    mine = bearer(Role.OPERATOR, "actions:read", "actions:destroy")
    tried = [rest.post(PATH, json=a_reset(pin=f"000{n}"), headers=mine) for n in range(4)]

    assert [one.status_code for one in tried] == [202] * tries.TRIES_MAX + [429]
    assert tried[-1].get_json()["code"] == "pin-tries"
    assert "asked" in rest.post(PATH, json=a_reset(), headers=mine).get_json()
    assert len(queued()) == tries.TRIES_MAX


@pytest.mark.usefixtures("sqlite_app")
def test_who_may_not_confirm_a_reset_does_not() -> None:
    a_box()
    now, elena = now_utc(), a_person("elena", Role.OPERATOR)
    accounts.add_user("elena", full_name="E", role=Role.OPERATOR, actor="system:test", now=now)
    number = service.order(a_wish("factory_reset"), elena, now)
    assert isinstance(number, int)

    with pytest.raises(Exception, match="operator"):
        second_person.decide(number, a_person("sam"), confirm=True, now=now_utc())
    declined = a_person("omar", Role.OPERATOR)
    second_person.decide(number, declined, confirm=False, now=now_utc())

    assert queued() == []
    assert db.session.scalars(select(ActionOrder)).all() == []


@pytest.mark.parametrize(
    ("text", "action", "value"),
    [
        ("lines=40", "log_pull", 40),
        ("as_file=true", "log_pull", True),
        ("channel=101", "tune", "101"),
        ("value=007", "config_set", "007"),
        ("lines=many", "log_pull", "many"),
        ("host=10.0.0.1", "ip_ping", "10.0.0.1"),
        ("x=1", "no_such_action", "1"),
    ],
)
def test_what_is_typed_is_of_the_kind_that_the_action_wants(
    text: str, action: str, value: object
) -> None:
    assert argument_of(text, action)[1] == value
    assert type(argument_of(text, action)[1]) is type(value)


def test_a_pin_does_not_stand_on_a_command_line() -> None:
    with pytest.raises(click.BadParameter, match="use --pin"):
        argument_of("pin=4711", "factory_reset")


@pytest.fixture
def type_(sqlite_app: Flask, bearer: Bearer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Type]:
    """Return a function that runs ``oleada device …`` against a server on loopback."""
    server = make_server("127.0.0.1", 0, sqlite_app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    mine = bearer(Role.OPERATOR, "actions:read", "actions:destroy", "devices:read")
    monkeypatch.setenv("OLEADA_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OLEADA_TOKEN", mine["Authorization"].removeprefix("Bearer "))

    def run(*words: str, typed: str = "") -> Result:
        db.session.rollback()
        return CliRunner().invoke(device_group, words, input=typed)

    yield run
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_reset_from_the_command_line_asks_for_the_pin_and_never_says_it(type_: Type) -> None:
    a_box()
    words = ("act", BOX, "factory_reset", "--reason", "moved out")

    waits = type_(*words)
    done = type_(*words, "--pin", typed="4711\n")

    assert "It waits for a second person: oleada asked confirm 1" in waits.output
    assert "factory_reset: waiting" in done.output
    assert "4711" not in done.output
    assert queued()[0].arguments["pin"] == "4711"


@pytest.fixture
def door(sqlite_config: Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlaskClient]:
    """The device door, with a box whose certificate TLS has proved."""
    pki.make_authority(sqlite_config.pki_dir, "device-ca", now_utc())
    pki.make_authority(sqlite_config.pki_dir, "service-ca", now_utc())
    app = create_door(sqlite_config)
    began = datetime(2026, 1, 1, tzinfo=UTC)
    peer = Peer(BOX, "1", began, began + timedelta(days=9000))
    monkeypatch.setattr(api, "peer_of_request", lambda: peer)
    with app.app_context():
        yield app.test_client()
        db.session.remove()
        db.engine.dispose()


def test_an_upload_says_how_long_it_is_and_is_not_longer_than_a_file_may_be(
    door: FlaskClient,
) -> None:
    a_box()
    now = now_utc()
    made = ordered("log_pull")
    made.asked_at, made.expires_at = now, now + timedelta(minutes=2)
    db.session.commit()
    path = f"/device/v1/uploads/{made.id}/log.txt"

    unsaid = door.put(path, data=b"x", headers={"Transfer-Encoding": "chunked"})
    long = {"CONTENT_LENGTH": str(FILE_BYTES_MAX + 1)}
    too_long = door.put(path, data=b"x", environ_overrides=long)
    there = list(db.session.scalars(select(ActionFile)))
    whole = door.put(path, data=b"a line\n")

    assert [unsaid.status_code, too_long.status_code] == [413, 413]
    assert too_long.get_json()["code"] == "upload-too-large"
    assert there == []
    assert (whole.status_code, whole.get_json()["size_bytes"]) == (201, 7)
