"""The page of a rollout says honestly that approvers must sign, who is missing, what to type."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server import config as settings
from oleada_server.clock import now_utc
from oleada_server.db import db
from oleada_server.releases import service as releases
from oleada_server.rollouts import service
from oleada_store import waves
from oleada_wire.envelope import KeySigner

from tests.support.releases import WAVE_KEYS, Signers, hold_ceremony

SignIn = Callable[[Flask, str], FlaskClient]
ANA = "user:a.torres"
MODEL = "VX-410"


@pytest.fixture
def people(filled_app: Flask) -> Signers:
    """The people whose signatures the filled console wants from now on."""
    with filled_app.app_context():
        found = hold_ceremony(settings.current().keys_dir, now_utc(), waves_by_people=True)
        releases.install_trust(found.files, ANA, now_utc())
        db.session.remove()
    return found


def signed(app: Flask, people: Signers, rollout_id: int, *names: str) -> None:
    with app.app_context():
        request = service.request_of(rollout_id)
        for name in names:
            request = waves.sign(request, KeySigner.of(people.secret[name]))
        service.add_signatures(rollout_id, request, actor="user:e.prieto", now=now_utc())
        db.session.remove()


def page(client: FlaskClient, path: str) -> str:
    return client.get(path).get_data(as_text=True)


def test_new_keys_ask_for_signatures_on_every_wave_and_the_page_says_so(
    filled_app: Flask, people: Signers, signed_in: SignIn
) -> None:
    client = signed_in(filled_app, "a.torres")

    shown = page(client, "/rollouts/R-2")

    assert "Waves of R-2 wait for the signatures of approvers" in shown
    assert "0 of 2 signatures" in shown
    assert "oleada rollout sign R-2.waves.json --key KEY.pem" in shown

    signed(filled_app, people, 2, WAVE_KEYS[0])
    assert "1 of 2 signatures" in page(client, "/rollouts/R-2")

    signed(filled_app, people, 2, WAVE_KEYS[2])
    assert "wait for the signatures" not in page(client, "/rollouts/R-2")


def test_a_rollout_that_can_not_open_its_first_wave_is_under_needs_you(
    filled_app: Flask, people: Signers, signed_in: SignIn
) -> None:
    with filled_app.app_context():
        service.start(3, actor=ANA, now=now_utc())
        db.session.remove()
    client = signed_in(filled_app, "a.torres")

    assert "Wave 1 of R-3 waits for signatures" in page(client, "/rollouts")
    shown = page(client, "/rollouts/R-3")
    assert "Wave 1 opens when approvers have signed it." in shown
    assert "stands still until they have signed" in shown

    signed(filled_app, people, 3, *WAVE_KEYS[:2])
    assert "Wave 1 of R-3 waits for signatures" not in page(client, "/rollouts")
    assert "Wave 1 opens when approvers have signed it." not in page(client, "/rollouts/R-3")
