"""``oleada-lab chaos`` refuses what it can not do before it starts anything."""

from pathlib import Path

import pytest
from oleada_lab.cli import main


@pytest.mark.parametrize("only", ["printer", "postgresql", "web,printer"])
def test_a_victim_that_is_not_there_is_named(
    only: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    status = main(["chaos", "--only", only])

    stranger = only.rpartition(",")[2]
    assert status == 1
    assert f"'{stranger}' can not be killed with sqlite" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [("--kills", "0"), ("--devices", "-1"), ("--limit-s", "x")])
def test_a_number_that_means_nothing_is_refused(
    words: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["chaos", *words])

    assert words[0] in capsys.readouterr().err
