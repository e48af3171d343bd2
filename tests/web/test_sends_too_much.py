"""A box that sends more than its quota: its page says so, in every language, and no other does."""

from collections.abc import Callable
from datetime import timedelta

from flask import Flask
from flask.testing import FlaskClient
from oleada_server.clock import now_utc
from oleada_server.db import db
from oleada_server.messaging import excess

from tests.support.fleet import add_device

BOX, OTHER = "VX417Q3K0928", "VX41ZZZZ0001"


def test_the_page_of_a_box_that_sends_too_much_says_so_for_an_hour(
    empty_app: Flask, signed_in: Callable[[Flask, str], FlaskClient]
) -> None:
    with empty_app.app_context():
        for device_id in (BOX, OTHER):
            add_device(device_id, last_seen_at=now_utc())
        excess.record_excess({BOX: 9123}, now_utc())
        excess.record_excess({OTHER: 5}, now_utc() - timedelta(hours=2))
        db.session.commit()
        db.session.remove()
    reader = signed_in(empty_app, "a.torres")

    page = reader.get(f"/devices/{BOX}").text

    assert "This box sends too much: 9,123 messages since" in page
    assert "began to keep less than this box sends" in page
    assert "sends too much" not in reader.get(f"/devices/{OTHER}").text
