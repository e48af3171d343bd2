"""Is it one box, or many that have something in common? Pure counting.

A group (region, channel, firmware) is in trouble when at least three of its boxes show the
sign, five times more often than the others do, and when chance alone would put so many of
those that show it into the group less than once in a hundred times: one unlucky home is no
outage, a sign that everybody shows says nothing about the group, and that six homes which
complain all run what two thirds of the fleet run says nothing either.
"""

from dataclasses import dataclass
from math import comb
from typing import Final

BOXES_MIN: Final = 3
TIMES_MIN: Final = 5.0
CHANCE_MAX: Final = 0.01
COUNTED_MAX: Final = 200
"""More boxes that show a sign than this are judged as so many, in the same shares."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many of *boxes* show a sign, and how many of the *others*, outside of the group."""

    shows: int
    boxes: int
    others_show: int
    others: int

    def __post_init__(self) -> None:
        """Refuse what can not be counted."""
        if not 0 <= self.shows <= self.boxes or not 0 <= self.others_show <= self.others:
            raise ValueError(f"{self} counts more boxes that show it than there are")


def is_concentrated(count: Count) -> bool | None:
    """Return whether the group of *count* is in trouble; None if too few boxes can tell.

    One half is added to both counts of the others, so that "none of ten" is not zero.
    """
    if count.boxes < BOXES_MIN or count.others < BOXES_MIN:
        return None
    elsewhere = (count.others_show + 0.5) / (count.others + 1)
    is_often = count.shows >= BOXES_MIN and count.shows / count.boxes >= TIMES_MIN * elsewhere
    return is_often and by_chance(count) < CHANCE_MAX


def by_chance(count: Count) -> float:
    """Return how likely at least so many of all that show it are in the group by chance.

    The binomial tail with the group's share of all boxes.
    """
    whole = count.shows + count.others_show
    within = count.shows
    if whole > COUNTED_MAX:
        whole, within = COUNTED_MAX, count.shows * COUNTED_MAX // whole
    share = count.boxes / (count.boxes + count.others)
    return sum(
        comb(whole, k) * share**k * (1 - share) ** (whole - k) for k in range(within, whole + 1)
    )
