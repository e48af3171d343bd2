"""The whole numbers that are judged, folded from the log of outcomes row by row.

Pure: the ledger folds rows of the database, the lab rows in memory, and both get the same
strata from the same changes.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from oleada_server.rollouts.evidence import judge
from oleada_server.rollouts.evidence.eprocess import NoSuchCountError
from oleada_server.rollouts.evidence.judge import Matured, Stratum

NO_LOOK: Final = 0
"""Stands for the look of boxes that were judged while nobody was watched beside them."""
Darkness = Mapping[int, tuple[float, float]]
"""By look, the most and the least that goes dark anyway; see :func:`darkness`."""
_States = defaultdict[int, defaultdict[str, int]]


class Counted(StrEnum):
    """What one attempt of a box stands for; only the first three can still change.

    An open attempt has begun and says nothing yet. It turns good when its trial is old
    enough and it is healthy, bad when it failed, silent when its trial is old enough and
    it said nothing. Void is what says nothing about the release.
    """

    OPEN = "open"
    SILENT = "silent"
    GOOD = "good"
    BAD = "bad"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Part:
    """The boxes of a rollout that ran one version before; the log calls them *number*."""

    number: int
    version: str
    boxes: int
    is_halted: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """One look at boxes that wait; *dark* of *boxes* are gone, None where it is void.

    *number* is from 1 and rises with time. A look that is not closed is still counting.
    """

    number: int
    boxes: int
    dark: int | None
    is_closed: bool

    def __post_init__(self) -> None:
        if self.dark is not None and not 0 <= self.dark <= self.boxes:
            raise NoSuchCountError(f"{self.dark} of {self.boxes} boxes beside can not be dark")


class Counts:
    """How many boxes have each state: the log, folded row by row.

    Attributes:
        darkness: What goes dark anyway, as far as it is known; may be set anew.
    """

    def __init__(self, darkness: Darkness) -> None:
        self.darkness = darkness
        self._whole = _no_looks()
        self._looked: dict[int, _States] = defaultdict(_no_looks)

    def add(self, part: int, look: int | None, was: str | None, now_is: str, boxes: int) -> None:
        """Add that *boxes* of a part changed from *was* to *now_is*, judged in *look*."""
        for state, number in ((was, -boxes), (now_is, boxes)):
            if state is not None:
                self._whole[part][state] += number
                self._looked[part][look or NO_LOOK][state] += number

    def strata(self, parts: Iterable[Part]) -> tuple[Stratum, ...]:
        """Return the strata of a rollout with what was added so far, in the order of *parts*."""
        return tuple(self._stratum(part) for part in parts)

    def _stratum(self, part: Part) -> Stratum:
        watched, alone, alone_silent = [], 0, 0
        for look, states in sorted(self._looked[part.number].items()):
            silent = states[Counted.SILENT]
            boxes = silent + states[Counted.GOOD] + states[Counted.BAD]
            if look != NO_LOOK:  # who lost power in its trial has said so: it is not dark
                boxes += states[Counted.VOID]
            if look not in self.darkness:
                alone, alone_silent = alone + boxes, alone_silent + silent
            else:
                watched.append(Matured(boxes, silent, *self.darkness[look]))
        whole = self._whole[part.number]
        bad, silent, good = whole[Counted.BAD], whole[Counted.SILENT], whole[Counted.GOOD]
        return Stratum(
            name=part.version,
            boxes=part.boxes,
            begun=whole[Counted.OPEN] + bad + silent + good,
            bad=bad,
            silent=silent,
            good=good,
            looks=tuple(watched),
            alone=alone,
            alone_silent=alone_silent,
            is_halted=part.is_halted,
        )


def _no_looks() -> _States:
    return defaultdict(lambda: defaultdict(int))


def darkness(looks: Iterable[Look], accepted_share: float) -> dict[int, tuple[float, float]]:
    """Return the most and the least that goes dark anyway, by look; void ones are left out.

    A trial reaches back into the look before, so the wider of both counts. A look that is
    still open counts with what went dark in it so far, for the most alone.

    Args:
        looks: In the order of time.
    """
    shares: dict[int, tuple[float, float]] = {}
    before = (0.0, 1.0)
    for one in looks:
        here = (0.0, 1.0)
        if one.dark is not None:
            most = judge.dark_share(one.boxes, one.dark, accepted_share)
            here = (most, judge.dark_least(one.boxes, one.dark) if one.is_closed else 1.0)
            least = min(here[1], before[1])
            shares[one.number] = (max(most, before[0]), least if least < 1 else 0.0)
        before = here
    return shares
