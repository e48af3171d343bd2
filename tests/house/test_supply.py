"""What we did not write comes pinned, with its hashes, and little of it reaches a box."""

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements" / "dev.lock").read_text()
PINNED = re.compile(
    r"^([a-z0-9][a-z0-9._-]*)(?:\[[a-z0-9,-]+\])?==(\S+)(.*(?:\n +.*)*)", re.MULTILINE
)
OWN = {"oleada_agent", "oleada_wire"}
ON_A_BOX = {"cryptography", "paho"}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_package_of_the_lock_has_one_version_and_its_hashes() -> None:
    found = {normalised(name): rest for name, _, rest in PINNED.findall(LOCK)}
    lines = [line for line in LOCK.splitlines() if line and not line.startswith((" ", "#"))]

    assert len(found) > 50
    assert len(lines) == len(found)
    assert [name for name, rest in found.items() if "--hash=sha256:" not in rest] == []


def test_all_that_is_asked_for_stands_in_the_lock() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    asked = [*project["dependencies"], *(line for extra in extras for line in extra)]
    names = {normalised(re.split(r"[<>=\[~! ]", line)[0]) for line in asked} - {"oleada"}

    assert names - {normalised(name) for name, _, _ in PINNED.findall(LOCK)} == set()


def test_nothing_is_installed_whose_hash_is_not_in_the_lock() -> None:
    setup = (ROOT / "tools" / "setup").read_text().replace("\\\n", " ")
    installs = [line for line in setup.splitlines() if "pip install" in line]

    assert installs
    for line in installs:
        assert "--require-hashes -r requirements/dev.lock" in line or "--no-deps" in line


def test_a_box_loads_the_standard_library_and_two_packages() -> None:
    names: list[str] = []
    for package in OWN:
        for path in (ROOT / "agent" / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    names += [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names.append(node.module or "")
    imported = {name.partition(".")[0] for name in names}

    assert imported - set(sys.stdlib_module_names) - OWN == ON_A_BOX
