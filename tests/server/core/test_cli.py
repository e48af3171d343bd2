"""The command line: help without the server's packages, errors as one sentence."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from oleada_server.cli import COMMANDS, main
from oleada_server.client import NoServerError, connect, path_of, read_login, write_login
from oleada_server.errors import ServerError


def test_help_names_every_command_and_imports_no_server() -> None:
    said = _said_without_a_server("--help")

    assert all(f"  {name} " in said for name in COMMANDS)


@pytest.mark.parametrize("group", ["group", "release", "rollout"])
def test_a_command_that_asks_a_server_is_no_server_itself(group: str) -> None:
    assert _said_without_a_server(group, "--help").startswith("Usage:")


def _said_without_a_server(*words: str) -> str:
    program = (
        "import sys; from oleada_server.cli import main\n"
        f"try: main({list(words)})\n"
        "except SystemExit: pass\n"
        "assert not {'flask', 'sqlalchemy', 'paho'} & set(sys.modules), 'a server was imported'"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_there_and_explains_itself(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])

    assert result.exit_code == 0, result.output
    assert result.output.startswith("Usage:")


def test_an_error_of_ours_is_one_sentence_and_exit_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLEADA_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("OLEADA_URL", raising=False)

    result = CliRunner().invoke(main, ["device", "list"])

    assert result.exit_code == 1
    assert result.output.startswith("Error: No server to ask: set OLEADA_URL")


def test_a_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    client = connect({"OLEADA_URL": "http://127.0.0.1:9", "OLEADA_TOKEN": "x"})

    with pytest.raises(NoServerError, match=r"127\.0\.0\.1:9 does not answer"):
        client.get("/api/v1/devices")


def test_the_login_of_this_machine_is_for_its_owner_alone(tmp_path: Path) -> None:
    write_login(tmp_path, "http://127.0.0.1:1", "secret")

    assert (tmp_path / "cli.json").stat().st_mode & 0o777 == 0o600
    assert read_login(tmp_path) == json.loads((tmp_path / "cli.json").read_text())
    assert connect({"OLEADA_DATA_DIR": str(tmp_path)}).token == "secret"


class _Stranger(BaseHTTPRequestHandler):
    """A web server that is no Oleada: a page for one path, 404 for the others."""

    def do_GET(self) -> None:
        """Answer a page."""
        self.send_response(200 if self.path.endswith("/page") else 404)
        self.end_headers()
        self.wfile.write(b"<html>hello</html>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def stranger() -> Iterator[str]:
    """The address of a web server that is no Oleada."""
    server = HTTPServer(("127.0.0.1", 0), _Stranger)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("path", ["/page", "/api/v1/devices"])
def test_a_server_that_is_no_oleada_is_named_without_its_page(stranger: str, path: str) -> None:
    client = connect({"OLEADA_URL": stranger, "OLEADA_TOKEN": "x"})

    with pytest.raises(ServerError, match="check OLEADA_URL") as refused:
        client.get(path)

    assert "html" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["http://[", "http://", "http://:80", "http://127.0.0.1:0", "http://127.0.0.1:port"]
)
def test_an_address_that_is_none_is_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(NoServerError, match="correct OLEADA_URL"):
        connect({"OLEADA_URL": url, "OLEADA_TOKEN": "x"})


def test_a_host_that_no_name_server_can_be_asked_for_does_not_answer() -> None:
    client = connect({"OLEADA_URL": "http://exa..mple", "OLEADA_TOKEN": "x"})

    with pytest.raises(NoServerError, match="does not answer"):
        client.get("/api/v1/devices")


@pytest.mark.parametrize("token", ["a\nb", "a b", "é"])
def test_a_token_that_no_header_carries_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(NoServerError, match="correct OLEADA_TOKEN") as refused:
        connect({"OLEADA_URL": "http://127.0.0.1:9", "OLEADA_TOKEN": token})

    assert token not in str(refused.value)


def test_what_a_person_types_stays_one_part_of_an_address() -> None:
    assert path_of("R-7", "start") == "/R-7/start"
    assert path_of("a b/../c?d", "☃") == "/a%20b%2F..%2Fc%3Fd/%E2%98%83"
    assert path_of("\udcff") == "/%3F"


@pytest.mark.parametrize("text", ["{", "[]", '{"url": 5}', "\udcff"])
def test_a_damaged_login_says_how_to_get_a_new_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "cli.json").write_bytes(text.encode(errors="surrogateescape"))

    with pytest.raises(NoServerError, match="run `oleada init`"):
        connect({"OLEADA_DATA_DIR": str(tmp_path)})
    connect({"OLEADA_DATA_DIR": str(tmp_path), "OLEADA_URL": "http://a", "OLEADA_TOKEN": "x"})


@pytest.mark.parametrize("command", [["up"], ["init"], ["user", "list"], ["db", "current"]])
def test_a_data_directory_that_can_not_be_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("OLEADA_DATA_DIR", str(tmp_path / "a file"))

    result = CliRunner().invoke(main, command)

    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert "a file" in result.output
    assert "OLEADA_DATA_DIR" in result.output


def test_a_database_that_is_not_made_ready_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLEADA_DATA_DIR", str(tmp_path))

    listed = CliRunner().invoke(main, ["user", "list"])
    door = CliRunner().invoke(main, ["door"])
    unknown = CliRunner().invoke(main, ["db", "upgrade", "zzz"])

    assert listed.output.startswith("Error: The database can not be used: no such table")
    assert "run `oleada init` first" in door.output
    assert unknown.output.startswith("Error: Can't locate revision identified by 'zzz'")
    assert [one.exit_code for one in (listed, door, unknown)] == [1, 1, 1]


def test_a_database_that_does_not_answer_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLEADA_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("OLEADA_DATABASE_URL", "postgresql+psycopg://ana:hush@127.0.0.1:9/oleada")

    result = CliRunner().invoke(main, ["db", "current"])

    assert result.exit_code == 1
    assert result.output.startswith("Error: The database can not be used: connection failed")
    assert "hush" not in result.output
