import re
from pathlib import Path

from oleada_lab.check.watch import NAMES

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "invariants.md"


def test_the_page_lists_every_invariant_in_its_order() -> None:
    assert tuple(re.findall(r"^\| ([SL]\d+) ", PAGE.read_text(), re.M)) == NAMES
