"""A download that is cut again and again: little comes twice, and the deployment ends well."""

import json

import pytest
from oleada_agent import download
from oleada_agent.download import FETCHED_AGAIN_BYTES_MAX
from oleada_lab import cli
from oleada_lab.sweep.resume import run_resume


@pytest.mark.parametrize("seed", [1, 2])
def test_a_cut_costs_a_mebibyte_at_most_and_never_the_deployment(seed: int) -> None:
    found = run_resume(20_000_000, 12, seed)

    assert found.findings == []
    assert found.cuts == 12
    assert 0 < max(found.again_bytes) <= FETCHED_AGAIN_BYTES_MAX
    assert found.fetched_bytes <= 20_000_000 + 12 * FETCHED_AGAIN_BYTES_MAX


def test_checkpoints_that_come_too_late_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "CHECKPOINT_BYTES", 4 * FETCHED_AGAIN_BYTES_MAX)
    monkeypatch.setattr(download, "CHECKPOINT_MS", 10_000)

    found = run_resume(20_000_000, 12, 1)

    assert not found.met
    assert max(found.again_bytes) > FETCHED_AGAIN_BYTES_MAX


def test_the_command_says_what_came_twice(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sweep", "resume", "--json", "--bytes", "4000000", "--cuts", "3"]

    assert cli.main(words) == 0

    figures = json.loads(capsys.readouterr().out)
    assert figures["met"]
    assert figures["cuts"] == 3
    assert {"fetched_bytes", "again_bytes_max", "again_bytes_limit", "seed", "commit"} <= set(
        figures
    )
