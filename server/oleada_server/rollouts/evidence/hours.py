"""One hour of boxes of a rollout, those that were updated beside those that wait, in whole numbers.

Pure: facts of single boxes in, counts by stratum and kind out. A box that had the same trouble
since the day before the rollout began is not watched for it: a box that crashes or falls silent
each day says so once, whichever release it runs. So no box is heard twice, and one alone can
not halt a rollout.

Boxes of one version before are compared inside their region, because a wave may be a region;
where one of the two has no box the others say nothing. Of each region so many of both sides
count that all have the same share of updated ones: a region that goes dark says nothing then.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from oleada_server.rollouts.evidence.control import Hour

DARK: Final = "dark"
OFTEN: Final = 2
"""A box that spoke so often in the hour before is missed when it says nothing in this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxHour:
    """One box in one hour.

    Attributes:
        stratum: What it ran before, as a number.
        region: Where it stands; None if that is not known.
        is_updated: It runs the release; else it waits for it.
        spoke_before: How often it spoke in the hour before.
        spoke: In this hour.
        is_habit: It says nothing at this time on most days.
        troubles: Kinds that went wrong in this hour.
        lately: Kinds that went wrong since the day before the rollout began, before this hour.
        mute_of: Kinds that it could not have told: it does not report their figure.
        late: Kinds of which was heard too late for their hour.
    """

    stratum: int
    region: str | None
    is_updated: bool
    spoke_before: int = 0
    spoke: bool = False
    is_habit: bool = False
    troubles: frozenset[str] = frozenset()
    lately: frozenset[str] = frozenset()
    mute_of: frozenset[str] = frozenset()
    late: tuple[str, ...] = ()

    def is_watched(self, kind: str) -> bool:
        """Return whether the hour of the box counts for *kind*."""
        if kind in self.lately:
            return False
        if kind == DARK:
            return self.spoke_before >= OFTEN and (self.spoke or not self.is_habit)
        is_there = self.spoke or bool(self.troubles)
        return is_there and (kind in self.troubles or kind not in self.mute_of)

    def is_bad(self, kind: str) -> bool:
        """Return whether it is a bad one."""
        return not self.spoke if kind == DARK else kind in self.troubles


@dataclass(frozen=True, slots=True)
class Counted:
    """What one hour of one kind comes to in one stratum; *late* troubles are in no hour."""

    stratum: int
    hour: Hour
    late: int


def count(boxes: Iterable[BoxHour], kinds: Iterable[str]) -> list[Counted]:
    """Return the hour of *boxes* for each stratum and kind of which both sides have boxes.

    While nobody at all was heard, nobody is dark: that says something of the server alone.
    """
    every = list(boxes)
    watched = [kind for kind in kinds if kind != DARK or any(box.spoke for box in every)]
    found = []
    for stratum in sorted({box.stratum for box in every}):
        mine = [box for box in every if box.stratum == stratum]
        for kind in watched:
            updated, waiting = _comparable([box for box in mine if box.is_watched(kind)])
            if updated and waiting:
                hour = Hour(
                    len(updated), sum(box.is_bad(kind) for box in updated),
                    len(waiting), sum(box.is_bad(kind) for box in waiting), kind,
                )  # fmt: skip
                found.append(Counted(stratum, hour, sum(box.late.count(kind) for box in mine)))
    return found


_Sides = tuple[list[BoxHour], list[BoxHour]]


def _comparable(boxes: Iterable[BoxHour]) -> _Sides:
    """Return the updated and the waiting ones of *boxes* that are compared.

    Of regions in which there are both, and so many of each that their shares are the same
    everywhere: the share of that region with which most can be told.
    """
    by_region: defaultdict[str | None, _Sides] = defaultdict(lambda: ([], []))
    for box in boxes:
        by_region[box.region][0 if box.is_updated else 1].append(box)
    regions = [one for one in by_region.values() if all(one)]
    if len(regions) <= 1:
        return regions[0] if regions else ([], [])
    shares = sorted({(len(updated), len(waiting)) for updated, waiting in regions})
    return max((_evened(regions, share) for share in shares), key=_weight)


def _evened(regions: Iterable[_Sides], share: tuple[int, int]) -> _Sides:
    """Return boxes of *regions*, of each as many as there are at *share*, updated to waiting."""
    every: _Sides = ([], [])
    for updated, waiting in regions:
        most = (
            min(len(updated), len(waiting) * share[0] // share[1]),
            min(len(waiting), len(updated) * share[1] // share[0]),
        )
        if all(most):
            every[0].extend(_spread(updated, most[0]))
            every[1].extend(_spread(waiting, most[1]))
    return every


def _weight(sides: _Sides) -> float:
    """Return how much can be told from so many boxes; the fewer of one side, the less."""
    updated, waiting = map(len, sides)
    return updated * waiting / max(updated + waiting, 1)


def _spread(boxes: Sequence[BoxHour], most: int) -> list[BoxHour]:
    """Return *most* of *boxes*, evenly apart: whatever became of them."""
    return [boxes[at * len(boxes) // most] for at in range(most)]
