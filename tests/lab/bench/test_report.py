"""Numbers of a measurement, and what is kept with them."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from oleada_lab.bench.report import quantile, store
from oleada_lab.cli import main


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1.0), (0.5, 50.0), (0.99, 99.0), (0.991, 100.0), (1.0, 100.0)]
)
def test_a_quantile_is_a_value_that_was_measured(share: float, expected: float) -> None:
    values = [float(number) for number in range(100, 0, -1)]

    assert quantile(values, share) == expected


def test_the_quantile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        quantile([], 0.5)


def test_a_result_is_kept_with_commit_seed_machine_and_command(tmp_path: Path) -> None:
    at = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)

    path = store({"part": {"p50_s": 0.2}}, tmp_path, at, 7, ["oleada-lab", "bench"])

    kept = json.loads(path.read_text())
    assert path.parent == tmp_path
    assert kept["results"] == {"part": {"p50_s": 0.2}}
    assert (kept["seed"], kept["command"]) == (7, ["oleada-lab", "bench"])
    assert len(kept["commit"]) == 40
    assert kept["machine"]["cores"] >= 1


def test_what_is_printed_for_programs_is_what_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["bench", "--only", "signing", "--assignments", "16", "--json", "--out", str(tmp_path)]

    assert main(asked) == 0

    (kept,) = tmp_path.iterdir()
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(kept.read_text())
    assert {"commit", "seed", "machine", "command", "results"} <= set(printed)
