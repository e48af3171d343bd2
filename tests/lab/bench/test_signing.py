"""The bench of signatures counts what it says, and a million stays within its minute."""

from oleada_lab.bench import signing


def test_a_rate_is_what_was_counted() -> None:
    found = signing.measure(500)

    assert found["assignments"] == 500
    assert found["per_s_a_core"] > 0
    assert found["met"] is (found["million_cpu_s"] <= signing.LIMIT_S)
    assert found["merkle"]["hashes_a_proof"] == 9
