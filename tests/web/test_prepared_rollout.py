"""A rollout whose boxes are still being written down says so, and how far it is."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.rollouts import freezing, preparing

from tests.server.rollouts.fleet import NOON, a_fleet, a_plan, a_release, started


def test_its_page_says_how_many_of_its_boxes_are_written_down(
    empty_app: Flask,
    signed_in: Callable[[Flask], FlaskClient],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(freezing, "PART_BOXES", 4)
    with empty_app.app_context():
        a_fleet(10)
        a_release()
        rollout_id = started(a_plan())
    client = signed_in(empty_app)

    page = client.get(f"/rollouts/R-{rollout_id}").get_data(as_text=True)

    assert "It is being prepared: 4 of 10 boxes are written down." in page
    with empty_app.app_context():
        preparing.tick(NOON)
    page = client.get(f"/rollouts/R-{rollout_id}").get_data(as_text=True)
    assert "being prepared" not in page
