"""What a machine can not run is said at the end of the run, never passed over."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import not_run

ROOT = Path(__file__).resolve().parents[3]
CASE = """
import pytest


def test_that_needs_sonar() -> None:
    pytest.skip("not run here: sonar does not work here: there is no water. Type: swim.")
"""


def a_report(longrepr: object) -> pytest.TestReport:
    return pytest.TestReport(
        "test_x", ("x.py", 1, "test_x"), {}, "skipped", longrepr, "call"  # type: ignore[arg-type]
    )  # fmt: skip


def test_each_missing_thing_is_a_line_with_what_it_cost() -> None:
    sonar = a_report(("x.py", 1, "Skipped: not run here: sonar. Type: swim."))
    other = a_report(("x.py", 1, "Skipped: only on Tuesdays"))

    assert not_run.lines([sonar, sonar, other]) == ["sonar. Type: swim. Tests not run: 2."]


def test_the_end_of_the_run_says_it_loudly(tmp_path: Path) -> None:
    (tmp_path / "test_sonar.py").write_text(CASE)
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.conftest"),
        *(str(tmp_path), f"--rootdir={tmp_path}", "-c", str(ROOT / "pyproject.toml")),
    ]

    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout

    assert "NOT RUN ON THIS MACHINE" in said
    assert "sonar does not work here: there is no water. Type: swim. Tests not run: 1." in said
