"""A part that can not be read: it says so with the code of the log, and the page stays."""

import logging
import re
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.app import create_app
from oleada_server.clock import now_utc
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.live import service as live
from oleada_server.web.parts import Parts
from sqlalchemy import text

from tests.web.console import served
from tests.web.forms import use_link
from tests.web.sample import Sample, add_people, fill
from tests.web.streams import Reader

SignedIn = Callable[..., FlaskClient]


@pytest.fixture
def app_on_both(database_config: Config) -> Iterator[Flask]:
    """The filled app on SQLite and on PostgreSQL, which ends a transaction that failed."""
    app = create_app(database_config)
    with app.app_context():
        app.extensions["test_tokens"] = add_people(now_utc())
        app.extensions["test_sample"] = fill(now_utc(), boxes=40)
        db.session.remove()
    yield app
    with app.app_context():
        db.engine.dispose()


def take_away(app: Flask, table: str) -> None:
    """Let the database have no *table*, as after a file that was damaged or half restored."""
    with app.app_context():
        db.session.execute(text(f"ALTER TABLE {table} RENAME TO {table}_away"))
        db.session.commit()


def give_back(app: Flask, table: str) -> None:
    with app.app_context():
        db.session.execute(text(f"ALTER TABLE {table}_away RENAME TO {table}"))
        db.session.commit()


def panel(html: str, name: str) -> str:
    """Return the text of part *name* of a page."""
    found = re.search(rf'<section[^>]* id="p-{name}".*?</section>', html, re.DOTALL)
    assert found, f"the page has no part {name}"
    return " ".join(re.sub(r"<[^>]+>", " ", found[0]).split())


def code_in(said: str) -> str:
    found = re.search(r"Error ([0-9a-f]{16}), written to the log", said)
    assert found, said
    return found[1]


def test_a_timeline_that_can_not_be_read_leaves_the_rest_of_the_box(
    app_on_both: Flask, signed_in: SignedIn, caplog: pytest.LogCaptureFixture
) -> None:
    sample: Sample = app_on_both.extensions["test_sample"]
    client = signed_in(app_on_both)
    take_away(app_on_both, "health_sample")

    with caplog.at_level(logging.ERROR):
        answer = client.get(f"/devices/{sample.device_ids[6]}")

    assert answer.status_code == 200
    said = panel(answer.text, "timeline")
    assert said.startswith("Timeline could not be read The rest of the page is current.")
    assert code_in(said) == answer.headers["X-Request-Id"]
    assert [code_in(said) in one.message for one in caplog.records] == [True, True]
    assert all("health_sample" in (one.exc_text or "") for one in caplog.records)
    assert "What may be behind it could not be read" in panel(answer.text, "causes")
    assert "Behind: 5.8.2 is published" in panel(answer.text, "verdict")
    assert "HDCP 2.2 check timed out" in panel(answer.text, "log")
    assert "Newest published 5.8.2" in panel(answer.text, "wanted")
    assert "Nothing yet" in panel(answer.text, "activity")


def test_what_builds_on_a_part_that_can_not_be_read_says_so_too(
    filled_app: Flask, signed_in: SignedIn
) -> None:
    client = signed_in(filled_app)
    take_away(filled_app, "box_in_wave")

    page = client.get("/fleet").text

    codes = {code_in(panel(page, name)) for name in ("figures", "rollouts", "needs")}
    assert len(codes) == 1
    assert "Some of this page could not be read." in page
    assert "VX-410" in panel(page, "firmware")


def test_a_page_that_fails_whole_says_under_which_code_the_log_has_the_reason(
    filled_app: Flask, signed_in: SignedIn, caplog: pytest.LogCaptureFixture
) -> None:
    client = signed_in(filled_app)
    take_away(filled_app, "device")

    with caplog.at_level(logging.ERROR):
        answer = client.get("/devices")

    assert answer.status_code == 500
    assert code_in(answer.text) == answer.headers["X-Request-Id"]
    assert "Exception on /devices [GET]" in caplog.text


def test_a_part_comes_back_by_itself_when_it_can_be_read_again(filled_app: Flask) -> None:
    client = filled_app.test_client()
    use_link(client, filled_app.extensions["test_tokens"]["a.torres"])
    secret = client.get_cookie("oleada_session")
    assert secret is not None
    take_away(filled_app, "hardware_model")

    with served(filled_app) as address, Reader(address, "/live/fleet", secret.value, "0") as page:
        broken = page.next_news()
        give_back(filled_app, "hardware_model")
        with filled_app.app_context():
            live.touch("devices", now_utc())
            db.session.commit()
        mended = page.next_news()

    assert "Firmware by model could not be read" in broken.text
    assert "could not be read" not in mended.text
    assert "VX-410" in mended.text


def test_a_mistake_of_ours_is_not_hidden_as_a_part_that_failed() -> None:
    def mistaken() -> dict[str, object]:
        return {"share": 1 / 0}

    with pytest.raises(ZeroDivisionError):
        Parts("fleet/parts", {}).read(("days",), mistaken)
