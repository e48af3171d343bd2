"""A run on a toy: what the toy's tests check is killed, what they forget survives."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from oleada_lab.cli import main
from oleada_lab.mutation import kept, plan, survivors

TOY = '''
"""A toy."""

LIMIT: int = 3


def is_full(number: int) -> bool:
    """Return whether *number* reaches the limit."""
    return number >= LIMIT


def last(words: list[str]) -> str:
    """Return the last word."""
    found = ""
    while words:
        found = words.pop(0)
    return found


def greet(name: str, loud: bool = False) -> str:
    """Return a greeting."""
    text = "hello " + name
    if loud:
        text = text.upper()
    return text
'''
TESTS = """
from toy_house import greet, is_full, last


def test_full_begins_at_the_limit() -> None:
    assert is_full(3)
    assert not is_full(2)


def test_the_last_word() -> None:
    assert last(["a", "b"]) == "b"
    assert last([]) == ""


def test_a_greeting() -> None:
    assert greet("box") == "hello box"
"""
PLAN = """
patience_s = 1
[[module]]
file = "toy_house.py"
module = "toy_house"
tests = ["test_toy.py"]
"""
FORGOTTEN = """
[[survivor]]
file = "toy_house.py"
function = "greet"
operator = "removed statement"
diff = "- text = text.upper()\\n+ pass"
why = "nobody greets loudly"
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module, its tests and a plan; no survivor is explained."""
    texts = {"toy_house.py": TOY, "test_toy.py": TESTS, "plan.toml": PLAN, "explained.toml": ""}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def run(
    toy: Path, capsys: pytest.CaptureFixture[str], *more: str | Path
) -> tuple[int, dict[str, Any]]:
    """Run the command on the toy; return its status and what it printed."""
    words = ["--plan", toy / "plan.toml", "--explained", toy / "explained.toml", "--root", toy]
    words += more
    status = main(["mutation", "--json", *map(str, words)])
    return status, json.loads(capsys.readouterr().out)


def test_faults_that_the_tests_check_are_killed_and_one_that_they_forget_is_found(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, result = run(toy, capsys)

    found = result["modules"]["toy_house.py"]
    assert [(one["at"], one["operator"]) for one in found["survivors"]] == [
        ("toy_house.py:24", "removed statement")
    ]
    assert found["killed"] == found["mutants"] - 1
    assert found["timeouts"] >= 1, "without an end, the loop would hold the run for ever"
    assert status == 1
    assert result["wrong"] == ["toy_house.py:24: removed statement is not explained"]


def test_a_survivor_that_is_explained_is_no_gap_and_one_that_is_killed_needs_no_words(
    toy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = FORGOTTEN.replace("removed statement", "return None").replace(
        "- text = text.upper()\\n+ pass", "- return text\\n+ return None"
    )
    (toy / "explained.toml").write_text(FORGOTTEN + killed)

    status, result = run(toy, capsys, "--keep", toy / "kept")

    assert status == 1
    assert result["wrong"] == ["toy_house.py: greet: return None: a test kills it"]
    assert result["explained"] == 1

    (toy / "explained.toml").write_text(FORGOTTEN)
    # Nobody judges a second time what was kept: there is no Python to do it.
    monkeypatch.setattr(sys, "executable", str(toy / "no-python"))
    assert run(toy, capsys, "--keep", toy / "kept")[0] == 0

    monkeypatch.setattr(survivors, "SHARE_KILLED_MIN", 0.99)
    status, result = run(toy, capsys, "--keep", toy / "kept")
    assert status == 1
    assert "fewer than 99%" in result["wrong"][0]


def test_what_is_kept_counts_for_the_same_bytes_only(tmp_path: Path, toy: Path) -> None:
    found = plan.load(toy / "plan.toml")
    digested = kept.digest(toy, found, [])
    kept.store(tmp_path / "kept", "toy_house", digested, {"verdicts": [], "names": []})

    assert kept.load(tmp_path / "kept", "toy_house", digested) == {"verdicts": [], "names": []}
    (toy / "test_toy.py").write_text(TESTS + "# one word more\n")
    another = kept.digest(toy, found, [])
    assert kept.load(tmp_path / "kept", "toy_house", another) is None
    (tmp_path / "kept" / "toy_house.json").write_text("{")
    assert kept.load(tmp_path / "kept", "toy_house", digested) is None


def test_tests_that_fail_without_any_fault_are_no_judges(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (toy / "test_toy.py").write_text(TESTS + "\n\ndef test_no() -> None:\n    assert False\n")
    words = ["--plan", toy / "plan.toml", "--explained", toy / "explained.toml", "--root", toy]

    status = main(["mutation", *map(str, words)])

    assert status == 1
    assert "fail without any fault" in capsys.readouterr().err


def test_the_run_imports_nothing_of_the_code_that_it_mutates() -> None:
    script = (
        "import sys, oleada_lab.mutation.__main__;"
        "print(sorted(name for name in sys.modules if name.startswith('oleada_')"
        " and not name.startswith('oleada_lab')))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )

    assert done.stdout == "[]\n"
