import re
from pathlib import Path

from oleada_lab.check.watch import NAMES

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "invariants.md"


def test_the_page_lists_every_invariant_in_its_order() -> None:
    page, _, real = PAGE.read_text().partition("## With real processes")

    assert tuple(re.findall(r"^\| ([SL]\d+) ", page, re.M)) == NAMES
    said = re.findall(r"^\| ((?:[SL]\d+(?:, )?)+) \|", real, re.M)
    assert {name for names in said for name in names.split(", ")} == set(NAMES)
