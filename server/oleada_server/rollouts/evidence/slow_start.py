"""How many boxes may be at work at one time: a few, and one more for each that proved good."""

import math
from typing import Final

DOUBTFUL: Final = math.log(10)
"""From E = 10 on, a trickle goes on until the evidence decides."""
TRICKLE: Final = 5


def room(
    start_boxes: int,
    in_flight_max: int,
    *,
    good: int,
    kept_by_bad: int = 0,
    log_e: float = 0.0,
    asks: bool = False,
) -> int:
    """Return how many boxes may hold a lease, or be in a trial that is not old enough.

    So a release that silently kills every box costs at most *start_boxes*.

    Args:
        start_boxes: Before any box has proved good.
        in_flight_max: However many have.
        good: Boxes whose trial is old enough and that are good.
        kept_by_bad: Bad ends since the newest good one: their place is not given away yet.
        log_e: ln E against the release.
        asks: A person has to look first: nobody begins.
    """
    if asks:
        return 0
    wide = min(start_boxes + good, in_flight_max)
    if log_e >= DOUBTFUL:
        wide = min(wide, TRICKLE)
    return left(wide, kept_by_bad)


def left(wide: int, kept_by_bad: int) -> int:
    """Return what bad ends leave of *wide* places: one at least, else nothing would decide."""
    return max(wide - kept_by_bad, 1) if wide else 0
