"""Oleada bends, says so and recovers: real processes, outages of a second or two.

The long forms are ``oleada-lab outage``.
"""

from pathlib import Path

import pytest
from oleada_lab.outages import run
from oleada_lab.outages.claims import Claims

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
OUTAGE_S = 1.0
SHORT = ("database", "server-disk", "broker-disk", "server-certificates", "box-certificate")
"""What needs no update of a box; the others cost minutes, and their parts have tests."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder that the database's user may walk through."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    return tmp_path


def test_it_bends_says_so_and_recovers_by_itself(home: Path) -> None:
    found = run.run(home, SHORT, OUTAGE_S, "postgresql", print)

    assert set(found) == set(SHORT)
    assert [row for rows in found.values() for row in rows if not row["holds"]] == []
    assert min(len(rows) for rows in found.values()) >= 4, "each has something to show"


def test_a_claim_that_never_comes_true_is_told() -> None:
    claims = Claims()

    claims.become("the moon is of cheese", lambda: False, limit_s=0.3)
    claims.become("water is wet", lambda: "wet")

    assert claims.broken == ["the moon is of cheese: False"]
