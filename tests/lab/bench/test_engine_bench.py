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
        "preview_s", "dry_run_s", "start_s", "start_request_s", "first_tick_s", "newcomers_s"
    }  # fmt: skip
    assert 0 < found["issued_per_tick"] <= engine.ISSUED_PER_TICK
    assert set(found["of_goal"]) == set(found["goals"])


def test_one_figure_beyond_its_goal_is_a_goal_that_is_not_met() -> None:
    beside = {engine._cpu_name(name): 0.5 * s for name, s in engine.GOALS.items()}
    fine = {**engine.GOALS, **beside, "grown_bytes_in_all": 0}

    assert engine.judged(fine)["met"]
    assert set(beside) >= {"start_cpu_s", "tick_idle_cpu_s_max", "verdict_to_halt_cpu_s"}
    for name, goal in engine.GOALS.items():
        slow = engine.judged({**fine, name: 1.01 * goal})
        assert (slow["met"], slow["met_by_cpu"]) == (False, True)
