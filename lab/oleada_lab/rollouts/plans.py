"""Rollouts in which something beside the usual evidence decides: limits, people, versions before.

They are small, and are there so that every comparison of the decision core decides about
some box of the table (``signs.py`` turns them round one by one).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from oleada_server.rollouts.evidence.judge import Terms
from oleada_server.rollouts.plan import Limits

from oleada_lab.rollouts.fleet import Fate, Fleet, Later
from oleada_lab.rollouts.ours import LIMITS, Ended, Planned, Planner

HALF_AN_HOUR: Final = timedelta(minutes=30)
ALONE: Final = Planned(
    shares=(0.1, 1.0),
    limits=Limits(0.9, 0.05, 0.06, 50, HALF_AN_HOUR),
    terms=None,
    in_flight_max=120,
)
"""Limits and nothing else, as somebody may plan it."""
GOOD, DARK = Fate(failed=0.005, dark=0.02), 0.02
FEW: Final = Planned(shares=(0.3, 1.0), terms=Terms(in_flight_max=100))
"""So few boxes that nobody is left to be watched beside them."""


@dataclass(frozen=True, slots=True)
class Story:
    """One row: *parts* are fates by their share of the boxes, one for each version before."""

    planned: Planned
    parts: tuple[tuple[float, Fate], ...] = ((1.0, GOOD),)
    boxes: int = 1200

    def play(self, seed: int) -> Ended:
        """Play it once."""
        fleets = [
            Fleet(round(share * self.boxes), fate, seed + 1000 * part)
            for part, (share, fate) in enumerate(self.parts)
        ]
        return Planner(fleets, self.planned).play()


def _one(fate: Fate) -> tuple[tuple[float, Fate], ...]:
    return ((1.0, fate),)


STORIES: Final[Mapping[str, Story]] = {
    "limits alone, good": Story(ALONE),
    "limits alone, 12 % fail": Story(ALONE, _one(Fate(failed=0.12, dark=DARK))),
    "limits alone, 5 % fail": Story(ALONE, _one(Fate(failed=0.05, dark=DARK))),
    "limits alone, 20 % fall silent": Story(ALONE, _one(Fate(killed=0.20))),
    "limits alone, a person accepts": Story(
        replace(ALONE, accepts=True), _one(Fate(killed=0.10, dark=0.0))
    ),
    "limits alone, all of a tiny wave fail": Story(ALONE, _one(Fate(failed=1.0)), boxes=60),
    "begins later and is paused": Story(
        replace(FEW, starts=90, paused=(150, 400), limits=replace(LIMITS, soak=HALF_AN_HOUR))
    ),
    "fails while it is paused": Story(
        replace(FEW, paused=(5, 600)), _one(Fate(failed=0.5, dark=DARK))
    ),
    "nobody beside, all fall silent": Story(FEW, _one(Fate(killed=1.0)), boxes=150),
    "nobody beside, some fall silent": Story(FEW, _one(Fate(killed=0.15)), boxes=150),
    "nobody beside, a person accepts": Story(
        replace(FEW, accepts=True), _one(Fate(killed=0.15)), boxes=150
    ),
    "one version of three breaks": Story(
        Planned(), ((0.2, Fate(failed=0.4)), (0.5, GOOD), (0.3, GOOD)), boxes=4000
    ),
    "the commonest version breaks": Story(
        Planned(), ((0.8, Fate(failed=0.4)), (0.2, GOOD)), boxes=4000
    ),
    "a little harm in each of eight": Story(
        Planned(), ((0.125, Fate(failed=0.06)),) * 8, boxes=4000
    ),
    "one version breaks, nobody is left": Story(
        replace(FEW, shares=(0.2, 1.0)), ((0.3, Fate(killed=0.6)), (0.7, GOOD)), boxes=900
    ),
    "a third goes dark for ordinary reasons": Story(
        Planned(), _one(Fate(dark=0.33)), boxes=4000
    ),
    "bad from the first minute, by the hour": Story(
        Planned((0.2, 0.8, 1.0), limits=replace(LIMITS, soak=timedelta(hours=12)),
                watches_hours=True),
        _one(Fate(failed=0.004, later=Later("slow", 0.02, 0.02))),
        boxes=2000,
    ),
}  # fmt: skip
