"""Exact bounds for a share that was seen in a sample (Clopper & Pearson 1934), without SciPy."""

import math
from functools import lru_cache
from typing import Final

HALVINGS: Final = 40
"""Bisections of 0 to 1: the bound is exact to a trillionth."""
NEGLIGIBLE: Final = 45.0
"""Terms smaller than e**-45 of the largest add nothing that a float could show."""


def is_below(bad: int, trials: int, share: float, doubt: float) -> bool:
    """Return whether *bad* of *trials* prove, but for a chance of *doubt*, less than *share*.

    With none bad that takes ln(doubt) / ln(1 - share) trials: 59 for 5 %, 299 for 1 %,
    at a doubt of 5 %.
    """
    return trials > 0 and _log_at_most(bad, trials, share) <= math.log(doubt)


def sample_for(share: float, doubt: float) -> int:
    """Return how many trials without a bad one prove less than *share*."""
    found = math.ceil(math.log(doubt) / math.log1p(-share) - 1e-9)
    return max(found, 1)


@lru_cache(maxsize=4096)
def share_at_most(bad: int, trials: int, doubt: float) -> float:
    """Return the share that is not exceeded but for a chance of *doubt*; 1.0 of no trials."""
    if bad >= trials:
        return 1.0
    low, high, wanted = bad / trials, 1.0, math.log(doubt)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _log_at_most(bad, trials, middle) > wanted:
            low = middle
        else:
            high = middle
    return high


def _log_at_most(bad: int, trials: int, share: float) -> float:
    """Return ln P(at most *bad* of *trials*) when each is bad with chance *share*, 0 < share < 1.

    Summed downwards from *bad*: below the mean the terms shrink, above it the sum is near 1.
    """
    if bad >= trials:
        return 0.0
    odds, rest = math.log(share), math.log1p(-share)
    whole = math.lgamma(trials + 1)

    def term(count: int) -> float:
        ways = whole - math.lgamma(count + 1) - math.lgamma(trials - count + 1)
        return ways + count * odds + (trials - count) * rest

    start = min(bad, math.floor(trials * share))
    top = term(start)
    total = 0.0
    for way in (range(start, bad + 1), range(start - 1, -1, -1)):
        for count in way:
            one = term(count) - top
            if one < -NEGLIGIBLE:
                break
            total += math.exp(one)
    return min(top + math.log(total), 0.0)
