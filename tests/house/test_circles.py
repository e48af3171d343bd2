"""No module imports one that imports it, directly or round about, types and functions included."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.source_trees import statements

ROOT = Path(__file__).parents[2]
PACKAGES = ("agent/oleada_wire", "agent/oleada_agent", "firmware_store/oleada_store",
            "server/oleada_server", "lab/oleada_lab")  # fmt: skip
ONE_WORD_BACK = {
    # a release that is taken back stops its rollouts, which are built on releases
    ("oleada_server.releases.service", "oleada_server.rollouts.service"),
    # the stage of real processes hands itself to what strikes it, which names its type alone
    ("oleada_lab.proc.plant", "oleada_lab.proc.stage"),
    ("oleada_lab.proc.strikes", "oleada_lab.proc.stage"),
    ("oleada_lab.proc.strikes_server", "oleada_lab.proc.stage"),
}


def modules(package: Path) -> dict[str, ast.Module]:
    """Return every module of *package*, read, by its dotted name."""
    found = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = ast.parse(path.read_text())
    return found


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield what *tree* imports anywhere: modules, and names that may be modules."""
    for node in statements(tree):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{one.name}" for one in node.names)


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Return the modules of one circle of *graph*, in order; empty when there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_has_a_circle_of_imports(package: str) -> None:
    trees = modules(ROOT / package)
    packages = {name for name in trees if any(other.startswith(f"{name}.") for other in trees)}
    graph = {
        name: {
            other
            for other in imported(tree)
            if other in trees and other not in packages | {name}
            and (name, other) not in ONE_WORD_BACK
        }
        for name, tree in trees.items()
    }  # fmt: skip

    assert circle(graph) == []


def test_a_circle_is_found_and_named() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "c", "b", "a"]
