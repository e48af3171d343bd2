"""The table of the documentation is that of the run that is kept; UPDATE_GOLDEN=1 writes it."""

import json
import os
import re
from pathlib import Path

from oleada_lab.rollouts import table

ROOT = Path(__file__).resolve().parents[3]
KEPT = ROOT / "docs" / "evidence" / "rollouts.json"
PAGE = ROOT / "docs" / "explanation" / "evidence.md"
BEGIN, END = "<!-- table -->\n", "<!-- end -->"


def test_the_page_shows_the_run_that_is_kept() -> None:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    written = f"{before}{BEGIN}{table.markdown(json.loads(KEPT.read_text()))}\n{END}{after}"
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(written)

    assert PAGE.read_text() == written


def test_the_run_that_is_kept_is_a_large_one_of_this_table() -> None:
    kept = json.loads(KEPT.read_text())

    assert kept["boxes"] == table.WHOLE.boxes
    assert list(kept["bad"]) == list(table.BAD)
    assert list(kept["good"]) == list(table.GOOD)
    assert list(kept["after"]) == list(table.AFTER)
    assert kept["good"][table.AT_P0]["runs"] >= 2000
    assert kept["good"][table.AT_P0]["halted_share_95"][0] <= 0.01


def test_the_run_that_is_kept_says_how_to_have_it_again() -> None:
    kept = json.loads(KEPT.read_text())

    assert kept["command"][1:3] == ["rollouts", "--whole"]
    assert re.fullmatch("[0-9a-f]{40}", kept["commit"])
    assert kept["changed_files"] == 0
    assert kept["seed"] == 1
    assert kept["machine"]["processor"]
