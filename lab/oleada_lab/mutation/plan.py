"""What is mutated, and which tests judge it: read from a TOML file.

``[[module]]`` has ``file``, ``module`` (its import name), ``tests`` (files) and, where
needed, ``annotations`` (names of module-level type aliases that only annotations use: a
fault in one is the type checker's to find). ``preload`` names what is imported once for
all children; ``marks`` is what pytest's ``-m`` is given; a mutant gets ``patience_s`` of
processor time beyond what the tests need.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from oleada_lab.errors import MutationError
from oleada_lab.mutation.mutants import Mutant


@dataclass(frozen=True, slots=True)
class Target:
    """One module: where it is, and the test files that may judge it."""

    file: str
    module: str
    tests: tuple[str, ...]
    annotations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole run."""

    targets: tuple[Target, ...]
    preload: tuple[str, ...] = ()
    marks: str = ""
    patience_s: int = 10


def load(path: Path, only: Sequence[str] = ()) -> Plan:
    """Return the plan in *path*, of modules whose name contains one of *only*; all without.

    Raises:
        MutationError: it is not one, or *only* leaves nothing.
    """
    try:
        value: dict[str, Any] = tomllib.loads(path.read_text())
        targets = tuple(
            Target(
                one["file"],
                one["module"],
                tuple(one["tests"]),
                tuple(one.get("annotations", ())),
            )
            for one in value["module"]
            if not only or any(word in one["module"] for word in only)
        )
        found = Plan(
            targets,
            tuple(value.get("preload", ())),
            value.get("marks", ""),
            int(value.get("patience_s", 10)),
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise MutationError(f"{path} is no plan of a mutation run: {error!r}.") from error
    if not targets:
        raise MutationError(f"{path} has no module whose name contains one of {list(only)}.")
    return found


def read_sources(root: Path, plan: Plan) -> dict[str, str]:
    """Return the text of each file of *plan*; it may change on the disk during a long run.

    Raises:
        MutationError: one can not be read.
    """
    try:
        return {target.file: (root / target.file).read_text() for target in plan.targets}
    except OSError as error:
        raise MutationError(f"{error.filename} can not be read: {error.strerror}.") from error


def sampled(found: dict[str, list[Mutant]], size: int | None, seed: int) -> list[Mutant]:
    """Return *size* mutants, as evenly over the modules as their numbers allow; all for None."""
    if size is None:
        return [one for group in found.values() for one in group]
    dice = Random(seed)
    shuffled = {name: dice.sample(group, len(group)) for name, group in found.items()}
    chosen: list[Mutant] = []
    while len(chosen) < size and any(shuffled.values()):
        for group in shuffled.values():
            if group and len(chosen) < size:
                chosen.append(group.pop())
    return sorted(chosen, key=lambda one: (one.file, one.line, one.node, one.variant))
