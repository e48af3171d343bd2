"""Every process is killed during a real rollout, and on both databases nothing disagrees."""

from dataclasses import replace
from pathlib import Path

import pytest
from oleada_lab.chaos.run import Plan, run

from tests.support.processes import own_ports, processes_of

ON_SQLITE = Plan(
    kills=6,
    seed=23,
    boxes=3,
    only=("worker", "scheduler", "broker", "agent", "box"),
    limit_s=360,
)
ON_POSTGRESQL = Plan(kills=8, seed=14, boxes=3, database="postgresql", limit_s=360)
"""One kill of each victim there is."""


@pytest.mark.real
@pytest.mark.timeout(540)
@pytest.mark.parametrize("plan", [ON_SQLITE, ON_POSTGRESQL], ids=lambda plan: plan.database)
def test_a_rollout_in_which_everything_dies_ends_as_planned(plan: Plan, tmp_path: Path) -> None:
    found = run(tmp_path, replace(plan, settings=own_ports()), lambda _line: None)

    assert found["disagreements"] == []
    assert found["verdicts_expected"] == {"updated": plan.boxes - 1, "rolled_back": 1}
    assert found["verdicts_counted"] == found["verdicts_expected"]
    assert (found["rollouts"], found["kills"]) == (1, plan.kills)
    assert len(found["kills_by_process"]) == len(plan.only or range(plan.kills))
    assert found["broker"]["forgot"] == 1 <= found["broker"]["refilled"]
    assert processes_of(tmp_path) == []
