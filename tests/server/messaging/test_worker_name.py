"""Two workers of one name would turn each other out of the broker for ever."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from flask import Flask
from oleada_server import cli_run
from oleada_server import config as settings
from oleada_server.worker import WorkerNameTakenError, only_one_named, run


def test_a_second_worker_of_one_name_is_refused_with_a_sentence(
    sqlite_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oleada_server.worker.NAME_FREE_S", 0.0)
    config = settings.current()

    with (
        only_one_named("1", config.data_dir / "run", 0.0),
        pytest.raises(WorkerNameTakenError, match="oleada worker --name 2"),
    ):
        run(sqlite_app, config, "1")


def test_a_name_is_free_once_its_worker_has_ended(tmp_path: Path) -> None:
    with only_one_named("1", tmp_path, 0.0), only_one_named("2", tmp_path, 0.0):
        assert len(list(tmp_path.iterdir())) == 2

    with only_one_named("1", tmp_path, 0.0):
        assert len(list(tmp_path.iterdir())) == 2, "the same file again"


def test_a_folder_that_takes_no_file_stops_no_worker(tmp_path: Path) -> None:
    in_the_way = tmp_path / "run"
    in_the_way.write_text("")

    with only_one_named("1", in_the_way, 0.0):
        assert in_the_way.is_file()


@pytest.mark.parametrize("name", ["", "../2", "a b", "n" * 41])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    found = CliRunner().invoke(cli_run.worker, ["--name", name])

    assert found.exit_code == 2
    assert "1 to 40 letters" in found.output
