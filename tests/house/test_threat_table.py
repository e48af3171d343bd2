"""The threat table of docs/explanation/trust.md names tests that are there, row by row."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "explanation" / "trust.md").read_text()
ROWS = re.findall(r"^\| (\d+) \|(.+)\|$", PAGE, re.MULTILINE)
NAMED = re.compile(r"`(tests/[a-z0-9_/]+\.py)::(test_[a-z0-9_]+)`")


def test_every_row_is_there_once_and_in_order() -> None:
    assert [int(number) for number, _ in ROWS] == list(range(1, 31))


@pytest.mark.parametrize(("number", "row"), ROWS, ids=[number for number, _ in ROWS])
def test_a_row_names_a_test_that_is_there_or_says_when_one_comes(number: str, row: str) -> None:
    proof = row.rsplit("|", 1)[1]
    named = NAMED.findall(proof)

    for path, name in named:
        source = (ROOT / path).read_text() if (ROOT / path).exists() else ""
        assert f"def {name}(" in source, f"row {number}: {path}::{name} is not there"
    assert named or "open, comes with" in proof, f"row {number} has neither proof nor promise"
    assert proof.count("::") == len(named), f"row {number} names a test in another spelling"


def test_the_page_counts_the_attacks_as_they_are() -> None:
    source = (ROOT / "tests" / "support" / "attacks.py").read_text()
    attacks = re.findall(r"^    Attack\((\w+), \"", source, re.MULTILINE)

    assert len(set(attacks)) == len(attacks)
    assert f"tries {len(attacks)} ways" in PAGE
