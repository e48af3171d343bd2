"""The REST doors of devices and enrolment, as programs and boxes meet them."""

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.accounts import service as accounts
from oleada_server.accounts import tokens
from oleada_server.accounts.models import Role
from oleada_server.app import BODY_BYTES_MAX, WITHOUT_PAGES, create_door
from oleada_server.clock import now_utc
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.enrolment import pki
from oleada_server.releases.models import TufFile
from werkzeug.test import TestResponse

from tests.support.certificates import a_key, a_request
from tests.support.fleet import add_device

BOX = "VX417Q3K0928"


def _bearer(role: Role, *scopes: str) -> dict[str, str]:
    now = now_utc()
    accounts.add_user(f"{role}-1", full_name="N", role=role, actor="system:test", now=now)
    token = tokens.create_token(f"{role}-1", "t", scopes, actor="system:test", now=now)
    db.session.remove()
    return {"Authorization": f"Bearer {token}"}


def _json(answer: TestResponse) -> Any:
    return answer.get_json()


@pytest.fixture
def rest(app: Flask) -> FlaskClient:
    return app.test_client()


def test_the_list_has_filters_an_exact_total_and_a_key_for_the_next_page(
    app: Flask, rest: FlaskClient
) -> None:
    for number in range(3):
        add_device(f"VX00000000{number}0", last_seen_at=now_utc() - timedelta(minutes=1))
    add_device("VX99999999Z0", model="VX-240")
    reader = _bearer(Role.VIEWER, "devices:read")

    first = _json(rest.get("/api/v1/devices?model=VX-410&contact=seen&limit=2", headers=reader))
    onward = f"/api/v1/devices?model=VX-410&contact=seen&limit=2&after={first['next_key']}"
    second = _json(rest.get(onward, headers=reader))

    assert (first["total"], second["total"], second["next_key"]) == (3, 3, None)
    found = [device["id"] for device in first["devices"] + second["devices"]]
    assert found == [f"VX00000000{number}0" for number in range(3)]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "contact=never-ever", "rollout=7", "sort=colour", "state=x"]
)
def test_a_filter_that_makes_no_sense_is_a_problem_with_its_name(
    app: Flask, rest: FlaskClient, query: str
) -> None:
    answer = rest.get(f"/api/v1/devices?{query}", headers=_bearer(Role.VIEWER, "devices:read"))

    assert answer.status_code == 422
    assert answer.mimetype == "application/problem+json"
    assert query.partition("=")[0] in str(_json(answer)["errors"])


def test_one_device_is_shown_and_a_wrong_id_is_a_sentence(app: Flask, rest: FlaskClient) -> None:
    add_device(BOX, version="5.8.2")
    reader = _bearer(Role.VIEWER, "devices:read")

    assert _json(rest.get(f"/api/v1/devices/{BOX}", headers=reader))["version"] == "5.8.2"
    missing = rest.get("/api/v1/devices/VX00", headers=reader)
    assert (missing.status_code, _json(missing)["code"]) == (404, "device-not-found")
    assert "VX00" in _json(missing)["detail"]


def test_without_a_token_nothing_is_shown(app: Flask, rest: FlaskClient) -> None:
    assert rest.get("/api/v1/devices").status_code == 401


def test_with_a_token_for_something_else_nothing_is_shown(app: Flask, rest: FlaskClient) -> None:
    other = _bearer(Role.VIEWER, "releases:read")
    assert rest.get("/api/v1/devices", headers=other).status_code == 403
    claim = {"serial": "SN-1", "hardware_model": "VX-410"}
    assert rest.post("/api/v1/claims", json=claim, headers=other).status_code == 403


def test_a_box_enrols_over_rest_with_its_claim(app: Flask, rest: FlaskClient) -> None:
    config: Config = app.extensions["oleada_config"]
    for name in ("device-ca", "service-ca"):
        pki.make_authority(config.pki_dir, name, now_utc())
    operator = _bearer(Role.OPERATOR, "devices:write")
    body = {"serial": "SN-1", "hardware_model": "VX-410", "zone": "Europe/Madrid"}
    claim = rest.post("/api/v1/claims", json=body, headers=operator)
    assert claim.status_code == 201
    asked = {"token": _json(claim)["token"], "serial": "SN-1", "csr_pem": a_request(a_key())}

    too_early = rest.post("/device/v1/enrol", json=asked)
    assert (too_early.status_code, _json(too_early)["code"]) == (409, "trust-missing")
    db.session.add(TufFile(name="root", version=1, body=b'{"signed":1}'))
    db.session.commit()
    answer = rest.post("/device/v1/enrol", json=asked)

    assert answer.status_code == 200
    assert _json(answer)["root_json"] == '{"signed":1}'
    assert _json(answer)["broker"] == {"host": "127.0.0.1", "port": 8883}
    assert _json(answer)["artifacts_url"] == f"{config.door_url}/artifacts"
    assert _json(rest.post("/device/v1/enrol", json=asked)) == _json(answer)
    assert rest.post("/device/v1/enrol", json={**asked, "token": "x"}).status_code == 403


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"token":1}', b"\xff"])
def test_nonsense_at_the_enrolment_door_is_a_problem_not_an_accident(
    app: Flask, rest: FlaskClient, body: bytes
) -> None:
    answer = rest.post("/device/v1/enrol", data=body, content_type="application/json")

    assert 400 <= answer.status_code < 500
    assert answer.mimetype == "application/problem+json"


def test_a_body_without_end_is_not_read(app: Flask, rest: FlaskClient) -> None:
    answer = rest.post(
        "/device/v1/enrol", data=b"x" * (BODY_BYTES_MAX + 1), content_type="application/json"
    )

    assert answer.status_code == 413


def test_the_device_door_answers_nothing_but_boxes(sqlite_config: Config) -> None:
    door = create_door(sqlite_config)
    asked = door.test_client()

    assert asked.get("/healthz").status_code == 200
    for path in ("/", "/sign-in", "/api/v1/devices", "/api/v1/openapi.json", "/static/x.css"):
        assert asked.get(path).status_code == 404, path
    with door.app_context():
        db.engine.dispose()


def test_the_description_of_the_api_names_every_feature(app: Flask, rest: FlaskClient) -> None:
    found = _json(rest.get("/api/v1/openapi.json"))

    assert found["openapi"] == "3.1.0"
    for path in ("/api/v1/devices", "/device/v1/enrol", "/api/v1/releases", "/api/v1/rollouts"):
        assert path in found["paths"]
    assert "oleada_server.web" not in WITHOUT_PAGES
