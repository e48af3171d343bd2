"""The table of docs/reference/rollout-capabilities.md names tests that are there, cell by cell."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "rollout-capabilities.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| Capability")
]
NAMED = re.compile(r"`(tests/[a-z0-9_/]+\.py)::(test_[a-z0-9_]+)`")


@pytest.mark.parametrize("row", ROWS, ids=[row[0][:40] for row in ROWS])
def test_each_cell_of_a_capability_names_tests_that_are_there_or_says_what_is_not(
    row: list[str],
) -> None:
    assert len(row) == 5
    for cell in row[1:]:
        named = NAMED.findall(cell)
        for path, name in named:
            file = ROOT / path
            assert file.exists(), f"{row[0]}: {path} is not there"
            assert f"def {name}(" in file.read_text(), f"{row[0]}: {path}::{name} is not there"
        assert cell.count("::") == len(named), f"{row[0]} names a test in another spelling"
        assert named or re.match(r"open|none|not a choice|the |a halt", cell), (row[0], cell)


def test_the_rows_are_there() -> None:
    assert len(ROWS) >= 20
