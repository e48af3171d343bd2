"""The rules of the house that a tool can hold: sizes, words, imports, reasons."""

import ast
import re
import subprocess
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.support.source_trees import statements

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("agent", "firmware_store", "server", "lab")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

LONG_ON_PURPOSE = {
    # One table: the whole protocol is one match statement that is read from top to bottom.
    "agent/oleada_agent/machine.py",
}
EMPTY_WORDS = {"manager", "helper", "helpers", "utils", "util", "data", "misc", "common"}
CORES = (
    "agent/oleada_agent/machine.py",
    "server/oleada_server/rollouts/plan.py",
    "server/oleada_server/rollouts/plan_box.py",
)
CORE_IMPORTS = {
    "__future__", "collections", "dataclasses", "datetime", "enum", "fractions", "functools",
    "math", "typing", "zoneinfo", "oleada_wire", "oleada_agent",
}  # fmt: skip
PURE_MODULES = {
    "oleada_server.rollouts.evidence", "oleada_server.rollouts.evidence.judge",
    "oleada_server.rollouts.plan", "oleada_server.rollouts.states",
}  # fmt: skip


def _tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    return [ROOT / name for name in listed if (ROOT / name).is_file()]


def _sources() -> list[Path]:
    return [path for path in _tracked("*.py") if "migrations" not in path.parts]


@dataclass(frozen=True, slots=True)
class Function:
    """Where a function stands: its first line, from 1, and its last."""

    name: str
    first: int
    last: int


@cache
def _functions(path: Path) -> list[Function]:
    return [
        Function(node.name, node.lineno, node.end_lineno or node.lineno)
        for node in statements(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_source_file_is_longer_than_a_newcomer_can_hold() -> None:
    long = {
        _name(path): lines
        for path in _sources()
        if (lines := len(path.read_text().splitlines())) > FILE_LINES_MAX
        and _name(path) not in LONG_ON_PURPOSE
    }

    assert long == {}


def test_no_function_is_longer_than_a_screen() -> None:
    long = {
        f"{_name(path)}:{found.name}": size
        for path in _sources()
        for found in _functions(path)
        if (size := found.last - found.first + 1) > FUNCTION_LINES_MAX
        and _name(path) not in LONG_ON_PURPOSE
    }

    assert long == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = [_name(path) for path in _sources() if path.stem in EMPTY_WORDS]

    assert empty == []


@pytest.mark.parametrize("core", CORES)
def test_a_decision_core_imports_nothing_that_acts(core: str) -> None:
    tree = ast.parse((ROOT / core).read_text())

    imported = {
        alias.name if isinstance(node, ast.Import) else node.module or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }

    assert {name.split(".")[0] for name in imported - PURE_MODULES} <= CORE_IMPORTS


def test_every_silenced_rule_says_why() -> None:
    silent = [
        f"{_name(path)}:{number}"
        for path in _sources()
        if path.is_relative_to(ROOT) and "tests" not in path.parts
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"#\s*noqa(?!: [A-Z0-9, ]+)", line)
    ]

    assert silent == []


def test_every_test_can_fail() -> None:
    proof = re.compile(r"\bassert\b|raises\(|expect\(|\bcheck_|\bverify_")
    hollow = [
        f"{_name(path)}:{found.name}"
        for path in _tracked("tests/*.py", "tests/**/*.py")
        if (lines := path.read_text().split("\n"))
        for found in _functions(path)
        if found.name.startswith("test_")
        and not proof.search("\n".join(lines[found.first - 1 : found.last]))
    ]

    assert hollow == []


def test_no_test_sleeps() -> None:
    sleepers = [
        _name(path)
        for path in _tracked("tests/*.py", "tests/**/*.py")
        if re.search(r"\btime\.sleep\(", path.read_text()) and path != Path(__file__)
    ]

    assert sleepers == []


def test_nothing_is_left_unfinished() -> None:
    words = re.compile(
        "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3 + r"\b", "Not" + "Implemented"])
    )
    unfinished = [
        f"{_name(path)}:{number}"
        for path in _sources()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if words.search(line)
    ]

    assert unfinished == []


def test_no_text_names_a_path_of_somebodys_machine() -> None:
    private = re.compile(r"(?<![\w./-])/(?:work|root|home/[a-z]+)/\w")
    named = [
        _name(path)
        for path in _tracked("*.py", "*.md", "*.toml", "*.html", "*.sh", "Makefile", "tools/*")
        if private.search(path.read_text(errors="replace")) and path != Path(__file__)
    ]

    assert named == []


def test_a_plain_install_pulls_what_a_box_needs_and_nothing_more() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    names = {re.split(r"[<>=\[]", line)[0] for line in project["dependencies"]}

    assert names == {"cryptography", "paho-mqtt"}


def test_every_command_of_make_help_says_what_it_does() -> None:
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip

    for target in ("help", "setup", "run", "test", "lint", "fix", "lab", "bench"):
        assert re.search(rf"make {target} +\w+", listed), target


def test_every_decision_record_is_one_page() -> None:
    records = _tracked("docs/adr/*.md")

    assert len(records) >= 5
    assert {_name(path): n for path in records if (n := len(path.read_text().split())) > 500} == {}
