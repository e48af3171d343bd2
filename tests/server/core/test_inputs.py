"""What no view should have to think of: unstorable text, unreadable JSON, keys nobody made."""

import base64
import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.accounts import service as accounts
from oleada_server.accounts import tokens
from oleada_server.accounts.models import Role
from oleada_server.accounts.rights import SCOPES
from oleada_server.clock import now_utc
from oleada_server.db import db

from tests.server.rollouts.fleet import a_fleet, a_release

NOT_STORABLE = ["\\u0000", "a\\u0000b", "\\ud800"]
PLAN = {
    "hardware_model": "VX-410",
    "version": "1.1.0",
    "waves": [{"name": "everybody", "share_until": 1.0}],
}


@pytest.fixture
def rest(app: Flask) -> FlaskClient:
    """A client that may do everything."""
    now = now_utc()
    accounts.add_user("ana", full_name="Ana", role=Role.ADMIN, actor="system:test", now=now)
    token = tokens.create_token("ana", "test", SCOPES, actor="system:test", now=now)
    db.session.remove()
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return client


def _refusal(answer: Any) -> str:
    """Return the sentence of a refusal, which must be one that was meant."""
    found = answer.get_json()
    assert answer.status_code in {400, 404, 422}, answer.text
    return str(found["detail"])


@pytest.mark.parametrize("text", NOT_STORABLE)
@pytest.mark.parametrize("path", ["claims", "rollouts/preview", "rollouts/R-1/pause"])
def test_text_that_no_database_stores_is_refused_with_a_sentence(
    rest: FlaskClient, path: str, text: str
) -> None:
    body = (
        f'{{"serial": "S1", "hardware_model": "VX-410", "region": "{text}", "waves": ["{text}"]}}'
    )

    answer = rest.post(f"/api/v1/{path}", data=body, content_type="application/json")

    assert "can not be stored" in _refusal(answer)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/devices?text=a%00b",
        "/api/v1/devices?model=%00",
        "/api/v1/devices/a%00b",
        "/api/v1/releases?hardware_model=%00",
        "/api/v1/releases/VX-410/%00",
        "/artifacts/%00",
    ],
)
def test_nul_in_an_address_is_refused_with_a_sentence(rest: FlaskClient, path: str) -> None:
    assert "can not be stored" in _refusal(rest.get(path))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'{"reason":' * 50_000, "nested too deeply"),
        (b'{"reason": ' + b"1" * 5000 + b"}", "thousands of digits"),
        (b'{"reason":', "Invalid JSON"),
        (b'{"reason": "\xff"}', "Invalid JSON"),
    ],
)
def test_json_that_can_not_be_read_is_refused_with_a_sentence(
    rest: FlaskClient, body: bytes, why: str
) -> None:
    answer = rest.post("/api/v1/rollouts/R-1/pause", data=body, content_type="application/json")

    assert why in _refusal(answer)


def test_a_refusal_names_each_field_in_its_sentence(rest: FlaskClient) -> None:
    plan = PLAN | {"lease_s": "long", "waves": [{"name": "all", "share_until": "most"}]}

    detail = _refusal(rest.post("/api/v1/rollouts", json=plan))

    assert "lease_s: Not a valid integer." in detail
    assert "waves.0.share_until: Not a valid number." in detail


@pytest.mark.parametrize("wave", [2**31, 2**63, 2**64, -1])
def test_a_wave_that_no_database_can_compare_is_refused(rest: FlaskClient, wave: int) -> None:
    assert "wave" in _refusal(rest.get(f"/api/v1/devices?wave={wave}"))


@pytest.mark.parametrize("sort", ["id", "seen", "-seen", "version"])
@pytest.mark.parametrize(
    "last",
    [
        ["2026-01-01", "VX"],
        ["2026-01-01T00:00:00", "VX"],
        ["0001-01-01T00:00:00+23:59", "VX"],
        ["9999-12-31T23:59:59-23:59", "VX"],
        ["a\x00", "VX"],
        ["\ud800", "VX"],
        ["2026-01-01T00:00:00+00:00", "V\x00"],
        ["2026-01-01T00:00:00+00:00", "\ud800"],
        [5, 5],
    ],
)
def test_a_page_key_that_nobody_made_never_stops_the_list(
    rest: FlaskClient, sort: str, last: list[Any]
) -> None:
    key = base64.urlsafe_b64encode(json.dumps([sort, *last]).encode()).decode().rstrip("=")

    answer = rest.get(f"/api/v1/devices?sort={sort}&after={key}")

    assert answer.status_code == 200 or "page key is damaged" in _refusal(answer)


def test_a_page_key_of_brackets_is_damaged(rest: FlaskClient) -> None:
    key = base64.urlsafe_b64encode(b"[" * 1500).decode().rstrip("=")

    assert "page key is damaged" in _refusal(rest.get(f"/api/v1/devices?after={key}"))


@pytest.mark.parametrize(
    "start_at", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59Z"]
)
def test_a_start_that_no_calendar_shows_is_refused(rest: FlaskClient, start_at: str) -> None:
    a_fleet(1)
    a_release()

    detail = _refusal(rest.post("/api/v1/rollouts", json=PLAN | {"start_at": start_at}))

    assert "2000 to 2199" in detail


@pytest.mark.parametrize("path", ["VX-410/☃", "vx/1.0.0.img", "VX-410/aa.1.0", "☃/aa.1.0.0.img"])
def test_an_image_name_that_is_none_is_not_found(rest: FlaskClient, path: str) -> None:
    assert "No image has this name." in _refusal(rest.get(f"/tuf/targets/{path}"))
