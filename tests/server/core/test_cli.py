"""The command line: help without the server's packages, errors as one sentence."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from oleada_server.cli import COMMANDS, main
from oleada_server.client import NoServerError, connect, read_login, write_login


def test_help_names_every_command_and_imports_no_server() -> None:
    program = (
        "import sys; from oleada_server.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'flask', 'sqlalchemy', 'paho'} & set(sys.modules), 'a server was imported'"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert all(f"  {name} " in done.stdout for name in COMMANDS)


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
