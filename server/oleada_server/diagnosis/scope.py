"""Is it one box, or many that have something in common? Pure counting.

A group (region, channel, firmware) is in trouble when at least three of its boxes show the
sign, and five times more often than the others do: one unlucky home is no outage, and a
sign that everybody shows says nothing about the group.
"""

from dataclasses import dataclass
from typing import Final

BOXES_MIN: Final = 3
TIMES_MIN: Final = 5.0


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
    return count.shows >= BOXES_MIN and count.shows / count.boxes >= TIMES_MIN * elsewhere
