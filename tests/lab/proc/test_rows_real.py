"""Most rows of the fault taxonomy are played with real processes too; the page says which."""

import re
from pathlib import Path

from oleada_lab.fault_kinds import KINDS
from oleada_lab.proc.strikes import STRIKE
from oleada_lab.scenario import load

ROOT = Path(__file__).parents[3]
SCENARIOS = ROOT / "lab" / "scenarios"
PAGE = (ROOT / "docs" / "reference" / "scenarios.md").read_text()
SHARE_MIN = 0.6
"""Of the rows; the goal of the lab's design, 5."""
ROWS = (
    *(f"p{number}" for number in range(1, 4)),
    *(f"d{number}" for number in range(1, 7)),
    *(f"u{number}" for number in range(1, 5)),
    *(f"c{number}" for number in range(1, 3)),
    *(f"b{number}" for number in range(1, 4)),
    *(f"n{number}" for number in range(1, 8)),
    "v1",
    *(f"f{number}" for number in range(1, 6)),
)


def rows_at(level: str) -> set[str]:
    """Return the rows that a story with *level* shows."""
    found: set[str] = set()
    for path in SCENARIOS.glob("*.toml"):
        story = load(path)
        if level in story.level:
            found |= {path.name.partition("_")[0], *story.rows}
    return found & set(ROWS)


def test_most_rows_are_played_with_real_processes() -> None:
    real = rows_at("proc")

    assert len(real) / len(ROWS) >= SHARE_MIN, f"only {sorted(real)} of {len(ROWS)}"


def test_a_row_that_is_not_real_says_why() -> None:
    missing = set(ROWS) - rows_at("proc")
    table = PAGE.partition("## Real processes")[2].partition("\n## ")[0]
    said = {row.lower() for row in re.findall(r"^\| ([A-Z]\d) \|", table, re.M)}

    assert said == missing


def test_the_page_says_at_which_level_each_story_is_played() -> None:
    listed = re.findall(r"^\| `([a-z0-9_]+)` \| .+ \| (.+) \|$", PAGE.split("## Keys")[0], re.M)
    found = {path.stem: ", ".join(load(path).level) for path in SCENARIOS.glob("*.toml")}

    assert dict(listed) == found


def test_every_kind_that_strikes_a_box_has_a_real_hand() -> None:
    assert set(STRIKE) == {name for name, kind in KINDS.items() if kind.on == "box"}
