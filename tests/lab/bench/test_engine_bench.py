"""The engine of rollouts is measured on a real PostgreSQL; a million boxes by the command."""

from pathlib import Path

import pytest
from oleada_lab.bench import engine


@pytest.mark.real
def test_a_start_ticks_and_a_halt_are_measured_in_one_rollout(tmp_path: Path) -> None:
    found = engine.measure(tmp_path, 1000, news=3)

    assert found["boxes_in_waves"] == found["boxes"] == 1000
    assert found["log_rows"] > 1000
    assert 10 <= found["failed_until_halt"] <= 20, "the abort criterion ends it"
    assert found["grown_bytes_in_all"] <= engine.GOAL_GROWTH_BYTES
    assert 0 < found["verdict_to_halt_s"] <= found["verdict_to_boxes_told_s"]
    assert {name for name in found if name.endswith("_s")} >= {
        "preview_s", "start_s", "first_tick_s", "newcomers_s"
    }  # fmt: skip
