"""A server with everything in it that a door can be asked for, on SQLite, and a watch over it."""

import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server import config as settings
from oleada_server import translations
from oleada_server.accounts import tokens
from oleada_server.accounts.rights import SCOPES
from oleada_server.app import create_app
from oleada_server.clock import now_utc
from oleada_server.db import db
from oleada_server.enrolment import service as enrolment
from oleada_server.initialise import make_certificates
from oleada_server.releases import service as releases
from oleada_server.rollouts import groups
from oleada_store.keys import make_online_keys

from tests.support.bad_input import Watch, watching
from tests.support.certificates import a_key, a_request
from tests.support.releases import hold_ceremony, some_info
from tests.web.sample import add_people, fill

SERIAL = "SN-DOOR-1"
OFFERED = {"OLEADA_SECOND_FACTOR": "offered", "OLEADA_TOKEN_REQUESTS_PER_MINUTE": "1000000"}
"""People act by their role alone, and nobody asks too often; both have tests of their own."""


@dataclass(frozen=True, slots=True)
class World:
    """A filled server and how to ask it.

    Attributes:
        links: One-time sign-in tokens, by person.
        token: Of an administrator, with every scope.
        bundle: Of a release that is not published yet.
        sha256: Of the image that is published.
        enrol: A request for enrolment that would be granted.
    """

    app: Flask
    watch: Watch
    links: dict[str, str]
    token: str
    bundle: bytes
    sha256: str
    enrol: dict[str, str]

    def rest(self) -> FlaskClient:
        """Return a client of the REST API that may do everything."""
        client = self.app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {self.token}"
        return client

    def files(self) -> set[Path]:
        """Return every file of blobs and metadata."""
        config: settings.Config = self.app.extensions["oleada_config"]
        return {path for top in (config.blobs_dir, config.tuf_dir) for path in top.rglob("*")}


@pytest.fixture(scope="session")
def filled_home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A data directory with people, boxes, rollouts and one real release; made once."""
    translations.compile_all()
    home = tmp_path_factory.mktemp("filled") / "oleada"
    config = settings.load(home, OFFERED)
    make_online_keys(config.keys_dir)
    app = create_app(config)
    now = now_utc()
    with app.app_context():
        make_certificates(config, now)
        db.create_all()
        links = add_people(now)
        fill(now)
        groups.create("staff", note="", rule=None, actor="user:m.novak", now=now)
        signers = hold_ceremony(config.keys_dir, now)
        releases.install_trust(signers.files, "user:m.novak", now)
        first = signers.bundle(
            some_info("6.0.0", security_version=3), b"an image" * 20_000, now=now
        )
        sha256 = releases.publish(io.BytesIO(first), "user:m.novak", now).sha256
        signers.accept(first)
        claim = enrolment.create_claim(
            SERIAL, "VX-410", "Europe/Madrid", None, actor="user:m.novak", now=now
        )
        token = tokens.create_token("m.novak", "doors", SCOPES, actor="system:test", now=now)
        tokens.touch_token(token, now + timedelta(days=1))  # no request has its use to write down
        made: dict[str, object] = {
            "links": links,
            "token": token,
            "bundle": signers.bundle(
                some_info("6.0.1", security_version=3), b"the next" * 1000, now=now
            ),
            "sha256": sha256,
            "enrol": {"token": claim, "serial": SERIAL, "csr_pem": a_request(a_key())},
        }
        db.session.remove()
        db.engine.dispose()
    return home, made


@pytest.fixture(scope="module")
def world(
    filled_home: tuple[Path, dict[str, object]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """The filled server, for one file of tests; each case finds it as it was at first."""
    home = tmp_path_factory.mktemp("doors") / "oleada"
    shutil.copytree(filled_home[0], home)
    app = create_app(settings.load(home, OFFERED))
    with watching(home / "oleada.db") as watch:
        yield World(app, watch, **filled_home[1])  # type: ignore[arg-type]
    with app.app_context():
        db.engine.dispose()
