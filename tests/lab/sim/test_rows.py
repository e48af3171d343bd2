"""Every row of the fault taxonomy that a simulated fleet can show has a story that shows it."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from oleada_lab import stories
from oleada_lab.check.watch import NAMES
from oleada_lab.scenario import ROWS as IN_MEMORY
from oleada_lab.scenario import load

SCENARIOS = Path(__file__).parents[3] / "lab" / "scenarios"
FILES = sorted(path for path in SCENARIOS.glob("*.toml") if re.match(r"[a-z]\d_", path.name))
ROWS = {
    *(f"p{number}" for number in range(1, 4)),
    *(f"d{number}" for number in range(1, 7)),
    *(f"u{number}" for number in range(1, 5)),
    *(f"c{number}" for number in range(1, 3)),
    *(f"b{number}" for number in range(1, 4)),
    *(f"n{number}" for number in range(1, 8)),
    "v1",
    *(f"f{number}" for number in range(1, 6)),
}
UNSERVED = {
    "b2", "c1_clock", "c2", "d1", "d2", "d4", "f2", "f3", "f4", "n2", "n5", "n6", "p3", "u2", "u4",
}  # fmt: skip
"""Beginnings of the stories that are served from rows at each commit: others of their letter
are served by the real services, which cost fifteen times what rows do. ``oleada-lab run --all``
serves every small fleet with them."""


def is_served(name: str) -> bool:
    """Return whether story *name* is served here as its file says."""
    return not name.startswith(tuple(UNSERVED))


def test_every_row_has_a_story() -> None:
    shown = {path.name.partition("_")[0] for path in FILES}
    shown |= {row for path in FILES for row in load(path).rows}

    assert ROWS - shown == set()


def test_the_services_serve_a_story_of_each_letter_of_the_taxonomy() -> None:
    served = {path.name[0] for path in FILES if is_served(path.stem) and load(path).has_services}

    assert served == {row[0] for row in ROWS}
    assert all(any(path.name.startswith(one) for path in FILES) for one in UNSERVED)


@pytest.mark.parametrize("file", [pytest.param(file, id=file.stem) for file in FILES])
def test_a_row_ends_as_its_story_says_and_breaks_nothing(file: Path) -> None:
    found = load(file)

    assert found.name == file.stem
    assert set(found.expect.invariants) == {"S*", "L*"}, f"of {NAMES}"
    told = found if is_served(found.name) else replace(found, server=IN_MEMORY)
    assert stories.play(told).wrong == ()
