"""The measurement of the audit trail verifies what it has made."""

from pathlib import Path

from oleada_lab.bench import trail


def test_the_trail_that_was_measured_is_whole(tmp_path: Path) -> None:
    found = trail.measure(tmp_path, 400)

    assert (found["entries"], found["heads"], found["whole"]) == (400, trail.HEADS, True)
    assert found["verified_cpu_s"] >= 0
