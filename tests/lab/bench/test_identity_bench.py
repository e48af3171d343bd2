"""The figures of identities: a certificate is cheap; the whole is measured by the command."""

from pathlib import Path

from oleada_lab.bench import identity


def test_one_core_issues_more_than_five_hundred_certificates_a_second(tmp_path: Path) -> None:
    found = identity.issuing(tmp_path / "ca", 200)

    assert found["certificates"] == 200
    assert found["certificates_per_core_s"] > identity.GOAL_PER_S
