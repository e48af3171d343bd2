"""The commands of the how-to pages about backup and upgrade, as they are typed."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from oleada_server import config as settings
from oleada_server import schema
from oleada_server.backup import sealed
from oleada_server.cli import main

from tests.backup.places import opened, server

PAGES = Path(__file__).resolve().parents[2] / "docs" / "how-to"
BY_ITSELF = "oleada up"
"""Runs until Ctrl-C; test_worst_day.py starts a restored server with it."""


@pytest.fixture
def folder(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An operator's folder with a server in var/oleada and a passphrase beside it."""
    monkeypatch.setattr(sealed, "SCRYPT_N", 2)
    monkeypatch.delenv("OLEADA_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    config = settings.load(tmp_path / "var" / "oleada", {})
    config.data_dir.mkdir(parents=True)
    (config.data_dir / "oleada.db").write_bytes(sqlite_template.read_bytes())
    (tmp_path / "var" / "passphrase").write_text("a horse, a battery and a staple\n")
    with server(config):
        pass
    return tmp_path


def _commands(page: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (PAGES / page).read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def _type(line: str) -> str:
    words = shlex.split(line)
    if words[0] != "oleada":
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout
    found = CliRunner().invoke(main, words[1:])
    assert found.exit_code == 0, f"{line}: {found.output}"
    return found.output


def test_the_commands_of_back_up_lead_from_a_server_to_a_server(folder: Path) -> None:
    commands = _commands("back-up.md")
    assert commands[-1] == BY_ITSELF

    said = [_type(line) for line in commands[:-1]]

    assert sum("is whole" in text for text in said) == 2
    assert "is restored" in said[-1]
    assert (folder / "var" / "oleada-lost" / "oleada.db").exists()
    with opened(settings.load(folder / "var" / "oleada", {})):
        schema.check_current()


def test_the_commands_of_upgrade_bring_an_older_database_up(folder: Path) -> None:
    with opened(settings.load(folder / "var" / "oleada", {})):
        schema.downgrade("0002")

    said = [_type(line) for line in _commands("upgrade.md")]

    assert "schema 0002" in said[0]
    assert said[-1] == f"database {schema.head()}, code {schema.head()}\n"
