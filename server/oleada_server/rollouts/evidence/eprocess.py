"""How strongly whole numbers speak against a release: an e-process for a share of bad boxes.

While the true share is at most the accepted one, the chance that E ever reaches 1/alpha is
at most alpha, however often it is looked at and with no end fixed in advance (Ville 1939;
for mixtures and counts: Lindon & Malek 2022, arXiv 2011.03567). E is computed in natural
logarithms, from the counts alone, so that anyone can recompute it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

ODDS: Final = (1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""So many times the accepted odds are the alternatives that E mixes, each with equal weight."""


class NoSuchCountError(ValueError):
    """Counts or a share that nothing in the world can have."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Trials under one accepted share.

    Attributes:
        trials: From 0.
        bad: Of the trials; those whose end is not known yet are taken for good.
        accepted: The share, more than 0 and less than 1, up to which nothing is wrong.
    """

    trials: int
    bad: int
    accepted: float

    def __post_init__(self) -> None:
        if not 0 <= self.bad <= self.trials:
            raise NoSuchCountError(f"{self.bad} of {self.trials} can not be bad")
        if not 0 < self.accepted < 1:
            raise NoSuchCountError(f"an accepted share of {self.accepted} is not between 0 and 1")


def log_e(cells: Sequence[Cell]) -> float:
    """Return ln E of *cells*, which share one alternative at a time; 0.0 of none.

    Every cell may have an accepted share of its own, fixed before its trials ended.
    """
    return log_mean([_log_ratio(cells, odds) for odds in ODDS])


def log_mean(logs: Sequence[float]) -> float:
    """Return ln of the mean of the numbers whose logarithms are *logs*; at least one."""
    top = max(logs)
    return top + math.log(math.fsum(math.exp(one - top) for one in logs) / len(logs))


def _log_ratio(cells: Sequence[Cell], odds: float) -> float:
    # With o = p0/(1-p0) and p = g*o/(1+g*o): p/p0 = g/(1-p0+g*p0), (1-p)/(1-p0) = that / g.
    bad = sum(cell.bad for cell in cells)
    spread = sum(cell.trials * math.log1p((odds - 1) * cell.accepted) for cell in cells)
    return bad * math.log(odds) - spread
