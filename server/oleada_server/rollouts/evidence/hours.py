"""One hour of boxes of a rollout, those that were updated beside those that wait, in whole numbers.

Pure: facts of single boxes in, counts by stratum and kind out. An hour counts once for each box
and kind. A box that had the same trouble on the day before is not watched for it: a box that
always crashes says so once a day, whichever release it runs, and not every hour. Darkness is
that a box which spoke falls silent, so a dark box is dark once.

Boxes of one version before are compared inside their region, because a wave may be a region;
where one of the two has no box the others say nothing.
"""

from collections import defaultdict
from collections.abc import Iterable
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
        lately: Kinds that went wrong in the day before it.
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
        if kind == DARK:
            return self.spoke_before >= OFTEN and (self.spoke or not self.is_habit)
        is_there = self.spoke or bool(self.troubles)
        return (
            is_there
            and kind not in self.lately
            and (kind in self.troubles or kind not in self.mute_of)
        )

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
        mine = _comparable([box for box in every if box.stratum == stratum])
        for kind in watched:
            updated = [box for box in mine if box.is_updated and box.is_watched(kind)]
            waiting = [box for box in mine if not box.is_updated and box.is_watched(kind)]
            if updated and waiting:
                hour = Hour(
                    len(updated), sum(box.is_bad(kind) for box in updated),
                    len(waiting), sum(box.is_bad(kind) for box in waiting), kind,
                )  # fmt: skip
                found.append(Counted(stratum, hour, sum(box.late.count(kind) for box in mine)))
    return found


def _comparable(boxes: list[BoxHour]) -> list[BoxHour]:
    """Return boxes of regions in which there are both updated ones and others."""
    sides: defaultdict[str | None, set[bool]] = defaultdict(set)
    for box in boxes:
        sides[box.region].add(box.is_updated)
    return [box for box in boxes if len(sides[box.region]) == 2]
