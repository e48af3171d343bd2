"""``oleada-lab run --level proc``: what is named, and what is refused before anything starts."""

from pathlib import Path

import pytest
from oleada_lab import cli

ROOT = Path(__file__).parents[3]


def test_a_story_without_the_level_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    story = ROOT / "lab" / "scenarios" / "good_release.toml"

    assert cli.main(["run", str(story), "--level", "proc"]) == 1
    assert "good_release.toml has no level proc" in capsys.readouterr().err


def test_nothing_named_is_no_run_of_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert cli.main(["run", "--level", "proc", "--all"]) == 1
    assert "No scenario is named" in capsys.readouterr().err


def test_a_failure_has_the_exit_code_of_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    story = ROOT / "tests" / "lab" / "proc" / "short.toml"
    run = {
        "scenario": "short", "path": str(story), "seed": 1, "commit": "c", "python": "3.11",
        "scenario_hash": "d" * 64, "wrong": ["dead"], "rollout": "running", "first_bad_step": "",
        "story": [], "drawn": {}, "options": {}, "folder": "/f", "states": {}, "strikes": 1,
        "wall_s": 9.0, "cpu_s": 1.0,
    }  # fmt: skip
    monkeypatch.setattr("oleada_lab.proc.playing.run", lambda wanted, say: run)

    assert cli.main(["run", str(story), "--level", "proc"]) == 1
    said = capsys.readouterr().out
    assert "0 of 1 runs are well" in said
    assert "wrong: dead" in said
