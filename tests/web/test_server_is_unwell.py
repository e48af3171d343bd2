"""What pages and programs are told while the server itself is not well."""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server import db as database
from oleada_server.accounts.models import Session
from oleada_server.clock import now_utc
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.initialise import make_certificates
from oleada_server.system import service
from oleada_server.system.models import ProcessBeat
from oleada_server.web import system_strip
from sqlalchemy import update

from tests.support.fleet import add_device
from tests.web.forms import use_link

BOX = "VX417Q3K0928"


@contextmanager
def _busy(config: Config) -> Iterator[None]:
    """Let another program hold the database for as long as the block lasts."""
    hog = sqlite3.connect(config.data_dir / "oleada.db", isolation_level=None)
    try:
        hog.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        hog.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that says at once that it is busy."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 20)
    monkeypatch.setattr(system_strip, "FRESH_S", 0.0)


def test_a_busy_database_is_a_page_in_words_and_then_all_is_well(
    impatient: None, empty_app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    config: Config = empty_app.extensions["oleada_config"]
    client = empty_app.test_client()
    token = empty_app.extensions["test_tokens"]["a.torres"]
    caplog.set_level(logging.WARNING)

    with _busy(config):
        answers = [use_link(client, token) for _ in range(3)]

    for answer in answers:
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "5"
        assert "The database does not answer" in answer.text
        assert "Boxes go on as they are" in answer.text
        assert "Traceback" not in answer.text
    assert use_link(client, token).status_code == 303, "the link was not used up"
    assert client.get("/devices").status_code == 200
    told = [r.getMessage() for r in caplog.records if r.name == "oleada_server.spells"]
    assert len(told) == 2, told
    assert "does not answer" in told[0]
    assert "works again" in told[1]


@pytest.fixture
def reader(
    impatient: None, empty_app: Flask, signed_in: Callable[[Flask, str], FlaskClient]
) -> FlaskClient:
    """Somebody who is signed in, with a strip that is looked at for each page."""
    return signed_in(empty_app, "a.torres")


def _text(client: FlaskClient, path: str) -> str:
    """Return the page at *path*, with plain blanks."""
    return client.get(path).text.replace("\u00a0", " ")


def test_a_page_is_read_though_the_use_of_the_session_can_not_be_noted(
    empty_app: Flask, reader: FlaskClient
) -> None:
    with empty_app.app_context():
        db.session.execute(update(Session).values(last_used_at=now_utc() - timedelta(minutes=9)))
        db.session.commit()
        db.session.remove()

    with _busy(empty_app.extensions["oleada_config"]):
        assert reader.get("/help").status_code == 200


def test_pages_say_nothing_of_a_server_that_is_well(reader: FlaskClient) -> None:
    assert "panel notice" not in _text(reader, "/help")


def test_pages_say_which_process_is_silent(empty_app: Flask, reader: FlaskClient) -> None:
    with empty_app.app_context():
        service.beat("worker 1 on here", service.WORKER, {"broker": True})
        earlier = now_utc() - timedelta(minutes=4)
        db.session.execute(update(ProcessBeat).values(heard_at=earlier, said_at=earlier))
        db.session.commit()
        db.session.remove()

    page = _text(reader, "/help")

    assert "The worker is silent for 4 min" in page
    assert "waits in the broker" in page


def test_pages_say_which_certificate_ends(empty_app: Flask, reader: FlaskClient) -> None:
    config: Config = empty_app.extensions["oleada_config"]
    make_certificates(config, now_utc() - timedelta(days=820))
    reader.set_cookie("oleada_language", "es")

    page = _text(reader, "/help")

    assert "Certificate door ends soon" in page or "El certificado door caduca pronto" in page
    assert _text(reader, "/help").count("service-ca") == 0


def test_a_stranger_is_told_nothing(impatient: None, empty_app: Flask) -> None:
    make_certificates(empty_app.extensions["oleada_config"], now_utc() - timedelta(days=900))

    assert "door" not in empty_app.test_client().get("/sign-in").text


@pytest.mark.parametrize(("ahead_s", "word"), [(300, "ahead"), (-300, "behind")])
def test_a_box_whose_clock_is_off_says_so_on_its_page(
    empty_app: Flask, reader: FlaskClient, ahead_s: int, word: str
) -> None:
    with empty_app.app_context():
        add_device(BOX, clock_ahead_s=ahead_s, last_seen_at=now_utc())
        db.session.remove()

    assert f"The clock of this box is 5 min {word}." in _text(reader, f"/devices/{BOX}")


def test_a_box_whose_disk_is_full_says_so_on_its_page(
    empty_app: Flask, reader: FlaskClient
) -> None:
    with empty_app.app_context():
        add_device(BOX, health={"X_OLEADA_FreeBytes": 4_096}, last_seen_at=now_utc())
        db.session.remove()

    assert "The disk of this box is full: 4.1" in _text(reader, f"/devices/{BOX}")
