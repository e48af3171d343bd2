"""When a box's silence begins to speak: after the time in which boxes used to report."""

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

QUANTILE: Final = 0.995
AGE_MIN: Final = timedelta(minutes=15)
"""However fast boxes were so far: a trial has a restart and a health check in it."""
AGE_MAX: Final = timedelta(days=1)


def age(delays_s: Sequence[int]) -> timedelta:
    """Return how old a trial is when it is judged, from the *delays_s* of past verdicts.

    That is the time within which 99.5 % of them came, at least 15 minutes and at most a
    day; of fewer than 200 the longest.
    """
    if not delays_s:
        return AGE_MIN
    rank = max(math.ceil(len(delays_s) * QUANTILE), 1)
    found = timedelta(seconds=sorted(delays_s)[rank - 1])
    return min(max(found, AGE_MIN), AGE_MAX)
