"""``oleada user``, as the person at the server types it."""

import json

import pytest
from click.testing import CliRunner, Result
from oleada_server.accounts.cli import user_group
from oleada_server.app import create_app
from oleada_server.config import Config
from oleada_server.db import db


@pytest.fixture(autouse=True)
def at_the_server(sqlite_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data directory is named as an operator names it."""
    monkeypatch.setenv("OLEADA_DATA_DIR", str(sqlite_config.data_dir))


def oleada_user(*words: str) -> Result:
    return CliRunner().invoke(user_group, words)


def test_a_new_user_gets_a_link_that_signs_in(sqlite_config: Config) -> None:
    said = oleada_user("add", "ana", "--full-name", "Ana Torres", "--role", "operator")

    link = said.output.strip()
    assert said.exit_code == 0
    assert link.startswith("http://127.0.0.1:8080/sign-in/link/")
    app = create_app(sqlite_config)
    page = app.test_client().get(link.removeprefix("http://127.0.0.1:8080"))
    assert "Sign in as Ana Torres" in page.text
    with app.app_context():
        db.engine.dispose()


def test_the_list_is_for_people_and_for_programs() -> None:
    oleada_user("add", "ana", "--role", "operator")
    oleada_user("disable", "ana")

    plain, spelt = oleada_user("list").output, json.loads(oleada_user("list", "--json").output)

    assert "ana" in plain
    assert "disabled" in plain
    assert spelt == [{"name": "ana", "full_name": "ana", "role": "operator", "disabled": True}]


def test_a_token_is_printed_once_and_can_be_revoked() -> None:
    oleada_user("add", "ana", "--role", "operator")

    token = oleada_user("token", "ana", "--scope", "devices:read").output.strip()

    assert token.startswith("ole_")
    assert oleada_user("revoke", "ana", "--label", "cli").output == "1 revoked\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["link", "nobody"], "There is no user 'nobody'"),
        (["token", "nobody", "--scope", "devices:read"], "There is no user 'nobody'"),
        (["add", "No Good"], "is not small letters"),
    ],
)
def test_a_mistake_is_answered_with_a_sentence(words: list[str], says: str) -> None:
    found = oleada_user(*words)

    assert found.exit_code == 1
    assert says in found.output
