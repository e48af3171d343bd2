"""Hands each fact to the invariants that hear it, and keeps the first one that is broken."""

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol

from oleada_lab.check import evidence, liveness, safety
from oleada_lab.check.facts import Fact, Settled
from oleada_lab.check.safety import Terms
from oleada_lab.errors import LabError

BROKEN_MAX: Final = 20
"""More broken invariants of one run say nothing new."""


class Invariant(Protocol):
    """One thing that must hold."""

    name: ClassVar[str]
    hears: ClassVar[tuple[type, ...]]

    def see(self, fact: Fact) -> str | None:
        """Return a sentence if *fact* breaks it."""
        ...


@dataclass(frozen=True, slots=True)
class Broken:
    """An invariant that did not hold, and when."""

    at_ms: int
    invariant: str
    what: str


ALL: Final = (*safety.ALL, *evidence.ALL, *liveness.ALL)
NAMES: Final = tuple(one.name for one in ALL)


def chosen(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return the names that *patterns* such as ``S*`` or ``L2`` choose, in their order.

    Raises:
        LabError: a pattern chooses nothing.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        some = [name for name in NAMES if fnmatch.fnmatchcase(name, pattern)]
        if not some:
            raise LabError(f"No invariant is called {pattern!r}; there are {', '.join(NAMES)}.")
        found.update(dict.fromkeys(some))
    return tuple(found)


class Watch:
    """Judges a run while it runs.

    Attributes:
        broken: In the order of time, the first one first; a judge that has spoken goes on.
    """

    def __init__(self, terms: Terms, names: Iterable[str] = NAMES) -> None:
        self.broken: list[Broken] = []
        self._hearers: dict[type, list[Invariant]] = {}
        wanted = set(names)
        for kind in ALL:
            if kind.name in wanted:
                judge: Invariant = kind(terms)
                for fact in kind.hears:
                    self._hearers.setdefault(fact, []).append(judge)

    def see(self, at_ms: int, fact: Fact) -> None:
        """Take *fact*, which became true at *at_ms*."""
        for judge in self._hearers.get(type(fact), ()):
            what = judge.see(fact)
            if what is not None and len(self.broken) < BROKEN_MAX:
                self.broken.append(Broken(at_ms, judge.name, what))

    def settle(self, at_ms: int, end: Settled) -> list[Broken]:
        """Take the end, and return everything that was broken."""
        self.see(at_ms, end)
        return self.broken
