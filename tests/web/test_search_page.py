"""One box to find a box, a release or a rollout; a single hit opens at once."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.db import db
from oleada_server.devices.models import Device
from sqlalchemy import update

SignIn = Callable[..., FlaskClient]


@pytest.fixture
def device_id(filled_app: Flask) -> str:
    """A box with a serial, a MAC and an end that no other has."""
    found: str = filled_app.extensions["test_sample"].device_ids[10]
    with filled_app.app_context():
        values = {"serial": "SN-LOB-0147", "mac": "AA:BB:CC:00:11:22"}
        db.session.execute(update(Device).where(Device.id == found).values(values))
        db.session.commit()
        db.session.remove()
    return found


@pytest.mark.parametrize(
    "typed",
    ["SN-LOB-0147", "snlob0147", "sn1ob o147", "SN-1OB-O147", "aa:bb:cc:00:11:22", "AABBCC001122",
     "aa-bb-cc-00-11-22", "0147"],
)  # fmt: skip
def test_a_box_opens_by_its_serial_and_mac_however_they_are_typed(
    filled_app: Flask, signed_in: SignIn, device_id: str, typed: str
) -> None:
    answer = signed_in(filled_app).get("/search", query_string={"q": typed})

    assert (answer.status_code, answer.headers["Location"]) == (303, f"/devices/{device_id}")


def test_a_box_opens_by_the_last_four_of_its_id(filled_app: Flask, signed_in: SignIn) -> None:
    found = filled_app.extensions["test_sample"].device_ids[30]

    answer = signed_in(filled_app).get("/search", query_string={"q": found[-4:].lower()})

    assert answer.headers["Location"] == f"/devices/{found}"


@pytest.mark.parametrize(
    ("typed", "leads_to"),
    [
        ("R-2", "/rollouts/R-2"),
        ("r 2", "/rollouts/R-2"),
        ("r2", "/rollouts/R-2"),
        ("5.8.2", "/releases/VX-410/5.8.2"),
        ("vx-240 5.7.9", "/releases/VX-240/5.7.9"),
        ("VX-240/5.7.9", "/releases/VX-240/5.7.9"),
    ],
)
def test_a_rollout_opens_by_its_number_and_a_release_by_its_version(
    filled_app: Flask, signed_in: SignIn, typed: str, leads_to: str
) -> None:
    answer = signed_in(filled_app).get("/search", query_string={"q": typed})

    assert (answer.status_code, answer.headers["Location"]) == (303, leads_to)


def test_several_hits_are_a_short_list(filled_app: Flask, signed_in: SignIn) -> None:
    page = signed_in(filled_app).get("/search?q=VX41").text

    assert page.count('<li><a href="/devices/') == 10
    assert "There are more; write more of it." in page


@pytest.mark.parametrize("typed", ["", "no such thing", "R-99999999999", "R-404", "%", "__", "\\"])
def test_nothing_found_says_what_can_be_found(
    filled_app: Flask, signed_in: SignIn, typed: str
) -> None:
    answer = signed_in(filled_app).get("/search", query_string={"q": typed})

    assert answer.status_code == 200
    assert "What can be found here" in answer.text
