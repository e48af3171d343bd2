"""Bugs that nobody chose: drawn with a seed from the mutants of the decision cores.

Only faults of behaviour are drawn: a statement or a case that is gone, a condition that
is turned round. A number that is one more changes nothing that a story could show.
Which mutants a seed draws depends on each one's own name, so that a change of the code
leaves the other ones drawn as they were.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from oleada_lab.errors import MutantError
from oleada_lab.mutation.mutants import Mutant, mutants

SOURCES: Final[Mapping[str, int]] = {
    "agent/oleada_agent/machine.py": 4,
    "agent/oleada_agent/machine_moves.py": 3,
    "agent/oleada_agent/journal.py": 3,
    "agent/oleada_agent/slots.py": 3,
    "server/oleada_server/rollouts/plan.py": 3,
}
"""How many bugs are drawn from which file."""
ONLY_READ: Final = frozenset({"Journal.peek"})
"""Functions that tell a person something, and that no update runs."""
OPERATORS: Final = frozenset({
    "boolean", "comparison", "negated condition", "removed case", "removed statement",
    "sign removed",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Drawn:
    """One bug: its name, and the mutant."""

    name: str
    mutant: Mutant


def draw(root: Path, seed: int) -> list[Drawn]:
    """Return the bugs that *seed* draws from the sources under *root*.

    Raises:
        MutantError: a source can not be read.
    """
    found = []
    for file, size in SOURCES.items():
        try:
            source = (root / file).read_text()
        except OSError as error:
            raise MutantError(f"{file} can not be read: {error.strerror}.") from error
        ranked = sorted(
            (one for one in mutants(source, file) if _is_behaviour(one)),
            key=lambda one: _rank(one, seed),
        )
        found += [Drawn(_named(one, seed), one) for one in ranked[:size]]
    return found


def _is_behaviour(mutant: Mutant) -> bool:
    is_run = bool(mutant.function) and mutant.function not in ONLY_READ
    return is_run and mutant.operator in OPERATORS and not _is_of_an_edge(mutant)


def _is_of_an_edge(mutant: Mutant) -> bool:
    """Return whether ``<`` becomes ``<=`` or the like: a number that is one more, again."""
    gone, came = mutant.diff.split("\n+", 1)
    return mutant.operator == "comparison" and any(
        gone.count(sign) != came.count(sign) for sign in ("<=", ">=")
    )


def _rank(mutant: Mutant, seed: int) -> str:
    return hashlib.sha256(repr((seed, mutant.name)).encode()).hexdigest()


def _named(mutant: Mutant, seed: int) -> str:
    stem = Path(mutant.file).stem.replace("_", "-")
    words = re.sub(r"[^a-z]+", "-", f"{mutant.function} {mutant.operator}".lower()).strip("-")
    return f"drawn-{stem}-{words}-{_rank(mutant, seed)[:6]}"
