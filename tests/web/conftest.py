"""The console on SQLite with a small operator in it, by itself and in a browser."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server import translations
from oleada_server.app import create_app
from oleada_server.config import Config
from oleada_server.db import db
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from tests.server.conftest import (
    config,
    database_config,
    online_keys,
    postgresql_config,
    sqlite_config,
)
from tests.web.console import launched, served
from tests.web.forms import use_link
from tests.web.sample import Sample
from tests.web.stock import Compiled, Stock

__all__ = [
    "config",
    "database_config",
    "online_keys",
    "postgresql_config",
    "sqlite_config",
]


@dataclass(frozen=True, slots=True)
class Console:
    """A filled console: its app, where it is served, what is in it, and ways to sign in."""

    app: Flask
    address: str
    sample: Sample
    tokens: dict[str, str]


@pytest.fixture(scope="session", autouse=True)
def compiled_catalogues() -> None:
    """The catalogues as they are in the source, compiled."""
    translations.compile_all()


@pytest.fixture(scope="session")
def templates() -> Compiled:
    """Where the apps of this process keep their compiled templates."""
    return Compiled()


@pytest.fixture(scope="session")
def stock(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Stock:
    """Databases with people, and with the whole sample, to copy from."""
    return Stock(sqlite_template, tmp_path_factory)


@pytest.fixture
def empty_app(sqlite_config: Config, templates: Compiled, stock: Stock) -> Iterator[Flask]:
    """The app with people and nothing else."""
    tokens = stock.copy_people(sqlite_config)
    app = create_app(sqlite_config)
    app.jinja_env.bytecode_cache = templates
    app.extensions["test_tokens"] = tokens
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def filled_app(empty_app: Flask, sqlite_config: Config, stock: Stock) -> Flask:
    """The app with people, boxes and rollouts."""
    with empty_app.app_context():
        db.session.remove()
        db.engine.dispose()
    tokens, sample = stock.copy_sample(sqlite_config)
    empty_app.extensions |= {"test_tokens": tokens, "test_sample": sample}
    return empty_app


@pytest.fixture
def console(filled_app: Flask) -> Iterator[Console]:
    """The filled console, served on loopback."""
    with served(filled_app) as address:
        yield Console(
            filled_app,
            address,
            filled_app.extensions["test_sample"],
            filled_app.extensions["test_tokens"],
        )


PATIENCE_MS = 60_000
"""A machine with two busy cores needs seconds for what takes an instant on an idle one."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, started once."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        found = launched(playwright)
        yield found
        found.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser that has never been anywhere."""
    found = browser.new_context(viewport={"width": 1440, "height": 900})
    yield found
    found.close()


def let_in(context: BrowserContext, console: Console, name: str) -> None:
    """Sign a person in without a page; test_browser presses the button of the link."""
    client = console.app.test_client()
    answer = use_link(client, console.tokens[name], console.address)
    assert answer.status_code == 303
    for line in answer.headers.getlist("Set-Cookie"):
        for cookie in SimpleCookie(line).values():
            context.add_cookies(
                [{"name": cookie.key, "value": cookie.value, "url": console.address}]
            )


@pytest.fixture
def signed_in() -> Callable[[Flask, str], FlaskClient]:
    """Return a function that gives a client in which a person is signed in."""

    def sign_in(app: Flask, name: str = "a.torres") -> FlaskClient:
        client = app.test_client()
        assert use_link(client, app.extensions["test_tokens"][name]).status_code == 303
        return client

    return sign_in
