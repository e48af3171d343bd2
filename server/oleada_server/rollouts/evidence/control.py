"""Updated boxes beside boxes of the same hours that were not: is something more frequent?

Events are bad device-hours (a crash, an unexpected restart, darkness, a key figure out of
its limits; of each kind at most one for each box and hour). If nothing has changed, an
event falls on an updated box with the updated boxes' part of the exposure, whatever the
hour does to both; so no daily rhythm can fool it, which a comparison with last week could
(Turner, Ly & Grünwald 2024, arXiv 2106.02693).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from oleada_server.rollouts.evidence.eprocess import NoSuchCountError, log_mean

RATIOS: Final = (1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""So many times the tolerated rate are the alternatives, each with equal weight."""


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of both arms, in device-hours, each from 0; bad ones are among them.

    *kind* is what made them bad; each kind that is watched has an hour for every hour.
    """

    updated: int
    updated_bad: int
    control: int
    control_bad: int
    kind: str = ""

    def __post_init__(self) -> None:
        if not (0 <= self.updated_bad <= self.updated and 0 <= self.control_bad <= self.control):
            raise NoSuchCountError(f"no hour can have been like {self}")


def log_e(hours: Sequence[Hour], tolerated: float = 1.0) -> float:
    """Return ln E that updated boxes have more than *tolerated* times the control's rate.

    An hour in which one of the arms had no box says nothing.

    Args:
        hours: In any order; the sum does not know it.
        tolerated: From 1; so many times the control's rate is nobody's worry.

    Raises:
        NoSuchCountError: *tolerated* is less than 1.
    """
    if not tolerated >= 1:
        raise NoSuchCountError(f"a tolerance of {tolerated} is less than once the usual rate")
    heard = [hour for hour in hours if hour.updated and hour.control]
    return log_mean([_log_ratio(heard, ratio, tolerated) for ratio in RATIOS])


@lru_cache(maxsize=64)
def log_e_of_kinds(hours: tuple[Hour, ...], tolerated: float) -> float:
    """Return ln of the mean E of the kinds in *hours*; 0.0 of no hours.

    Kinds are apart because a common one, such as plugs that are pulled at night, would
    drown a rare one, such as restarts.
    """
    kinds = sorted({hour.kind for hour in hours})
    apart = [log_e([hour for hour in hours if hour.kind == kind], tolerated) for kind in kinds]
    return log_mean(apart) if apart else 0.0


@dataclass(frozen=True, slots=True)
class OfKind:
    """All hours of one kind: *hour* is their sum, *log_e* ln E that updated ones are worse."""

    hour: Hour
    log_e: float


def by_kind(hours: Sequence[Hour], tolerated: float) -> tuple[OfKind, ...]:
    """Return what *hours* come to for each kind, the one that speaks most against first."""
    found = []
    for kind in sorted({hour.kind for hour in hours}):
        mine = [hour for hour in hours if hour.kind == kind]
        whole = Hour(
            sum(hour.updated for hour in mine),
            sum(hour.updated_bad for hour in mine),
            sum(hour.control for hour in mine),
            sum(hour.control_bad for hour in mine),
            kind,
        )
        found.append(OfKind(whole, log_e(mine, tolerated)))
    return tuple(sorted(found, key=lambda one: -one.log_e))


def _log_ratio(hours: Sequence[Hour], ratio: float, tolerated: float) -> float:
    total = 0.0
    for hour in hours:
        theta = hour.updated * tolerated / (hour.updated * tolerated + hour.control)
        # q/theta = r/(1 - theta + r*theta); (1-q)/(1-theta) is that divided by r.
        spread = math.log1p((ratio - 1) * theta)
        events = hour.updated_bad + hour.control_bad
        total += hour.updated_bad * math.log(ratio) - events * spread
    return total
