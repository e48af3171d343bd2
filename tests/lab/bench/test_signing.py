"""The bench of signatures counts what it says, and a million stays within its minute."""

import pytest
from oleada_lab.bench import signing


def test_a_rate_is_what_was_counted() -> None:
    found = signing.measure(500)

    assert found["assignments"] == 500
    assert found["per_s_a_core"] > 0
    assert found["met"] is (found["million_cpu_s"] <= signing.LIMIT_S)
    assert found["merkle"]["hashes_a_proof"] == 9


def test_one_quick_part_does_not_hide_slow_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "_parts", lambda count, act: [10e-6, 200e-6])

    found = signing.measure(2)

    assert (found["million_cpu_s"], found["million_cpu_s_at_best"]) == (105.0, 10.0)
    assert found["met"] is False
