"""What is mutated, and which tests judge it: read from a TOML file.

``[[module]]`` has ``file``, ``module`` (its import name), ``tests`` (files) and, where
needed, ``annotations`` (names of module-level type aliases that only annotations use: a
fault in one is the type checker's to find). ``preload`` names what is imported once for
all children; ``marks`` is what pytest's ``-m`` is given; a mutant gets ``patience_s`` of
processor time beyond what the tests need.
"""

import tomllib
from collections.abc import Mapping, Sequence
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
    """Return the plan in *path*, of the modules that *only* asks for; all without.

    Args:
        only: Names of modules, or parts that stand in several names.

    Raises:
        MutationError: it is not one, or *only* leaves nothing.
    """
    try:
        value: dict[str, Any] = tomllib.loads(path.read_text())
        names = [one["module"] for one in value["module"]]
        targets = tuple(
            Target(
                one["file"],
                one["module"],
                tuple(one["tests"]),
                tuple(one.get("annotations", ())),
            )
            for one in value["module"]
            if _is_asked_for(one["module"], names, only)
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


def portions(numbers: Mapping[str, int], size: int | None) -> dict[str, int]:
    """Return how many of each module's mutants *size* covers, as evenly as their *numbers* allow.

    All of them for None.
    """
    if size is None:
        return dict(numbers)
    found = dict.fromkeys(numbers, 0)
    while sum(found.values()) < min(size, sum(numbers.values())):
        for name, number in numbers.items():
            if found[name] < number and sum(found.values()) < size:
                found[name] += 1
    return found


def sampled(found: list[Mutant], size: int, seed: int) -> list[Mutant]:
    """Return *size* of the mutants of one module, in the order of their lines."""
    chosen = Random(seed).sample(found, size)
    return sorted(chosen, key=lambda one: (one.line, one.node, one.variant))


def _is_asked_for(name: str, names: Sequence[str], only: Sequence[str]) -> bool:
    """Return whether one word of *only* is *name*, or a part of it and no whole name."""
    return not only or any(word == name or (word in name and word not in names) for word in only)
