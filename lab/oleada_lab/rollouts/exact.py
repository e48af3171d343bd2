"""What is decided at the last bit: ln E, or a proof, is just what it has to be, or just not.

No fleet comes there. So a number that is free, a chance or a count, is sought at which the
whole core changes its mind; the edge of a comparison that is turned changes it one bit off.
"""

import math
from collections.abc import Callable
from typing import Final

from oleada_server.rollouts.evidence import bounds, control, counts, judge, maturity, slow_start
from oleada_server.rollouts.evidence.control import Hour
from oleada_server.rollouts.evidence.counts import Counted, Counts, Look, Part
from oleada_server.rollouts.evidence.judge import Evidence, Stratum, Terms

SOME_BAD: Final = Stratum("1", 1000, begun=100, bad=3, good=50)
MUTE: Final = Stratum("1", 1000, begun=40, good=30, silent=10, alone=40, alone_silent=10)
PROVED: Final = Stratum("1", 1000, begun=1000, good=1000)
HOURS: Final = (Hour(1000, 30, 1000, 10, "crash"),)
EDGES: Final = (
    Hour(100, 7, 50, 1, "dark"), Hour(0, 0, 50, 3, "dark"), Hour(70, 5, 0, 0, "dark"),
    Hour(10, 2, 90, 0, "crash"),
)  # fmt: skip
MANY: Final = 10**18


def _least(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Return the least float from *low* to *high* for which *holds*; it does for all above."""
    while low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _least_whole(holds: Callable[[int], bool], low: int, high: int) -> int:
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _halts(alpha: float) -> bool:
    return judge.judge(Evidence(Terms(alpha=alpha), (SOME_BAD,))).halts_all


def _halts_beside(alpha: float) -> bool:
    return judge.judge(Evidence(Terms(alpha=alpha), (PROVED,), hours=HOURS)).halts_all


def _asks(alpha: float) -> bool:
    return judge.judge(Evidence(Terms(alpha=alpha), (MUTE,))).asks


def _smells(beside: int) -> bool:
    hours = (Hour(MANY, 2, beside, 0, "crash"),)
    return not judge.is_proven(Evidence(Terms(alpha=0.0001), (PROVED,), hours=hours))


def _is_fine(accepted: float) -> bool:
    terms = Terms(accepted_share=accepted, bad_share_max=0.5)
    return judge.is_ruled_out(Evidence(terms, (Stratum("1", 1000, 200, bad=2, good=198),)))


def _proves(doubt: float) -> bool:
    return bounds.is_below(1, 60, 0.1, doubt)


def _is_met(doubt: float) -> bool:
    return bounds.share_at_most(1, 2, doubt) <= 0.75


# Sought while the core is whole, once for all.
ALPHA: Final = _least(_halts, 0.0001, 0.9)
ALPHA_BESIDE: Final = _least(_halts_beside, 0.0001, 0.9)
ALPHA_ALONE: Final = _least(_asks, 0.000001, 0.9)
BESIDE: Final = _least_whole(_smells, 1, MANY * 1000)
ACCEPTED: Final = _least(_is_fine, 0.0001, 0.4)
JUST_DOUBTFUL: Final = math.nextafter(ACCEPTED, 0)
DOUBT: Final = _least(_proves, 0.0001, 0.9)
DOUBT_MET: Final = _least(_is_met, 0.1, 0.9)


def play() -> dict[str, object]:
    """Return what the core says of each."""
    return {
        "E is just the wall": _halts(ALPHA),
        "E beside is just the wall": _halts_beside(ALPHA_BESIDE),
        "E of silence alone is just the wall": _asks(ALPHA_ALONE),
        "hours are just doubtful": [_smells(one) for one in (BESIDE - 1, BESIDE)],
        "trials are just doubtful": [_is_fine(one) for one in (JUST_DOUBTFUL, ACCEPTED)],
        "just proved": _proves(DOUBT),
        "a bound that is met at once": bounds.share_at_most(1, 2, DOUBT_MET),
        "one good box proves": judge.sample_needed(Terms(bad_share_max=0.5, doubt=0.5)),
        "half of what goes on halts": _halting_half(),
        "proofs of 5 %": [_proof(bad) for bad in range(6)],
        "most are bad": bounds.is_below(2000, 2500, 0.02, 0.05),
        "room is just doubtful": slow_start.room(20, 2000, good=100, log_e=slow_start.DOUBTFUL),
        "the first look is not closed": counts.darkness([Look(1, 500, 3, is_closed=False)], 0.005),
        "who lost power was heard": _heard(),
        "of nobody": judge.dark_share(0, 0, 0.005),
        "as bad as beside": control.log_e(EDGES),
        "kinds apart": control.log_e_of_kinds(EDGES, judge.TOLERATED),
        "worst kind first": [one.hour for one in control.by_kind(EDGES, judge.TOLERATED)],
        "ages": [maturity.age(range(1000, 1000 + boxes)).seconds for boxes in (1, 7, 200, 201)],
    }


def _halting_half() -> tuple[bool, tuple[str, ...]]:
    fine, broken = Stratum("1", 100, 100, good=100), Stratum("2", 100, 100, bad=100)
    found = judge.judge(Evidence(Terms(), (fine, broken)))
    return found.halts_all, found.halting


def _heard() -> tuple[int, int]:
    """Return how many boxes are judged in a look, and how many in none."""
    found = Counts({1: (0.05, 0.0)})
    found.add(1, None, None, Counted.OPEN, 5)
    for look, now_is, boxes in ((1, "silent", 1), (1, "void", 2), (None, "void", 1)):
        found.add(1, look, Counted.OPEN, now_is, boxes)
    (stratum,) = found.strata([Part(1, "1", 9)])
    return stratum.looks[0].boxes, stratum.alone


def _proof(bad: int) -> int:
    """Return how many trials prove less than 5 % with so many *bad*."""
    found = 1
    while not bounds.is_below(bad, found, 0.05, 0.05) and found < 1000:
        found += 1
    return found
