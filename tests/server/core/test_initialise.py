"""A data directory made ready: what somebody has done to it never stops the server's start."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from flask import Flask
from oleada_server import config as settings
from oleada_server import initialise
from oleada_server.accounts import service as accounts
from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.client import NoServerError, connect, read_login
from oleada_server.clock import now_utc
from oleada_server.config import BadSettingError
from oleada_server.db import db
from oleada_server.secret import secret_key
from oleada_server.system import facts


@pytest.fixture
def ready(tmp_path: Path) -> Flask:
    """The app of a directory that was made ready once."""
    app = create_app(settings.load(tmp_path / "oleada", {}), WITHOUT_PAGES)
    initialise.initialise(app, now_utc())
    return app


def _again(app: Flask) -> dict[str, str]:
    """Make it ready again, as each start does; return the login that is left."""
    initialise.initialise(app, now_utc())
    return read_login(app.extensions["oleada_config"].data_dir)


def test_a_good_login_is_kept(ready: Flask) -> None:
    before = read_login(ready.extensions["oleada_config"].data_dir)

    assert _again(ready) == before


@pytest.mark.parametrize("name", ["door.pem", "door.key", "oleada-server.key"])
def test_a_certificate_of_ours_whose_file_is_damaged_is_made_anew(ready: Flask, name: str) -> None:
    path = ready.extensions["oleada_config"].pki_dir / name
    path.write_bytes(b"")
    assert facts.certificates(path.parent), "a page that looks meanwhile is told"

    _again(ready)

    certificate = x509.load_pem_x509_certificate(path.with_suffix(".pem").read_bytes())
    key = load_pem_private_key(path.with_suffix(".key").read_bytes(), None)
    assert key.public_key() == certificate.public_key()


def test_a_secret_that_was_cut_short_is_made_anew(ready: Flask) -> None:
    """An empty key would sign whatever anybody has signed with an empty key."""
    config = ready.extensions["oleada_config"]
    (config.keys_dir / "secret_key").write_bytes(b"")

    assert len(secret_key(config)) == 32
    assert secret_key(config) == secret_key(config)


def test_a_damaged_login_is_made_anew(ready: Flask) -> None:
    path = ready.extensions["oleada_config"].data_dir / "cli.json"
    path.write_text("{")

    assert _again(ready)["token"].startswith("ole_")


def test_a_local_user_that_was_shut_out_stays_out_and_the_server_starts(ready: Flask) -> None:
    with ready.app_context():
        accounts.disable_user("local", actor="system:test", now=now_utc())
        db.session.remove()

    assert _again(ready)["token"] == ""
    with pytest.raises(NoServerError, match="set OLEADA_URL and OLEADA_TOKEN"):
        connect({"OLEADA_DATA_DIR": str(ready.extensions["oleada_config"].data_dir)})


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_an_address_that_is_not_of_this_machine_is_not_called_taken(host: str) -> None:
    with pytest.raises(BadSettingError, match="Nothing can listen on port 8080"):
        initialise.is_free(host, 8080)
