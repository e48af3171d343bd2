"""A release that silences nobody is halted no more often than was planned, however boxes go dark.

Fleets ramp up as a rollout does: few begin, and one more for each box that proved good. As
many boxes go dark in their trial as beside them, and nothing else is wrong. What each of them
counts as, and when, is what the server's own pure cores say.
"""

import math
import random
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import pytest
from oleada_server.rollouts.evidence import judge, slow_start, trials
from oleada_server.rollouts.evidence.counts import Counted, Counts, Part
from oleada_server.rollouts.evidence.judge import Evidence, Terms
from oleada_server.rollouts.plan_box import Moved
from oleada_server.rollouts.states import BoxState
from oleada_wire.words import RETRYABLE, Reason

from tests.server.rollouts.fleet import MINUTE, NOON

RUNS: Final = 150
BOXES: Final = 1200
MINUTES: Final = 400
RIPE_AFTER: Final = 30 * MINUTE
DARK: Final = 0.03
"""Of boxes in their trial, and of those beside: exactly what is accepted."""
TERMS: Final = Terms(start_boxes=20, in_flight_max=500)
HALTS_MAX: Final = 7
"""More false halts of 150 at one percent each come once in a thousand times."""


@dataclass(frozen=True)
class Ending:
    """How boxes of one kind end: *after* minutes they do, and *state* is what they are then."""

    after: int
    state: BoxState
    reason: Reason | None = None

    def stands_for(self, armed_at: datetime, ripe_at: datetime, now: datetime) -> Counted | None:
        """Return what such a box counts as at *now*, when it ends."""
        if self.state is BoxState.SILENT:
            return trials.of_silence(armed_at, ripe_at, now)
        again = self.reason in RETRYABLE
        moved = Moved(BoxState.QUEUED if again else self.state, 9, self.reason, assign_again=again)
        return trials.standing(moved, Counted.OPEN)


UPDATED: Final = Ending(5, BoxState.UPDATED)
LOST_POWER: Final = Ending(4, BoxState.ROLLED_BACK, Reason.POWER_CUT_IN_TRIAL)
WENT_BACK: Final = Ending(8, BoxState.ROLLED_BACK, Reason.NO_SERVER_CONTACT)
SAID_NOTHING: Final = Ending(10, BoxState.SILENT)
"""The patience of the plan is shorter than the trial."""


class Fleet:
    """One rollout to boxes of one version; time goes by minutes."""

    def __init__(self, seed: int, shares: Mapping[Ending, float]) -> None:
        self.dice, self.shares = random.Random(seed), shares
        self.counts = Counts(dict.fromkeys(range(1, 1000), (DARK, 0.0)))
        self.begun = self.good = self.at_work = 0
        self.due: defaultdict[int, list[tuple[int, Ending, int]]] = defaultdict(list)

    def is_halted(self) -> bool:
        """Let it ramp up; return whether the evidence ever halts it."""
        for minute in range(MINUTES):
            was_dark = [self._judge(minute, *ended) for ended in self.due.pop(minute, ())]
            # Only what speaks against the release can halt it.
            if any(was_dark) and judge.judge(self._evidence()).halts_all:
                return True
            free = slow_start.room(TERMS.start_boxes, TERMS.in_flight_max, good=self.good)
            self._begin(minute, min(free - self.at_work, BOXES - self.begun))
        return False

    def _begin(self, minute: int, boxes: int) -> None:
        if boxes <= 0:
            return
        self.counts.add(1, None, None, Counted.OPEN, boxes)
        self.begun, self.at_work = self.begun + boxes, self.at_work + boxes
        rest, left = 1.0, boxes
        for ending, share in self.shares.items():
            ended = sum(self.dice.random() < share / rest for _ in range(left))
            rest, left = rest - share, left - ended
            self.due[minute + ending.after].append((minute, ending, ended))
        self.due[minute + UPDATED.after].append((minute, UPDATED, left))

    def _judge(self, minute: int, began: int, ending: Ending, boxes: int) -> bool:
        """Count *boxes*, or put them off; return whether they were dark."""
        armed_at, now = NOON + began * MINUTE, NOON + minute * MINUTE
        ripe_at = armed_at + RIPE_AFTER
        if minute == began + ending.after:
            now_is = ending.stands_for(armed_at, ripe_at, now)
        else:
            now_is = trials.ripe(ending.state, ending.reason, ripe_at, now)
        if now_is is None:
            self.due[minute + 1].append((began, ending, boxes))
            return False
        look = minute * MINUTE // RIPE_AFTER + 1
        self.counts.add(1, look, Counted.OPEN, now_is, boxes)
        self.at_work -= boxes
        self.good += boxes if now_is is Counted.GOOD else 0
        return now_is is Counted.SILENT and boxes > 0

    def _evidence(self) -> Evidence:
        return Evidence(TERMS, self.counts.strata([Part(1, "1.0.0", BOXES)]))


def test_the_runs_are_enough_to_tell() -> None:
    alpha = TERMS.alpha
    few = (math.comb(RUNS, n) * alpha**n * (1 - alpha) ** (RUNS - n) for n in range(HALTS_MAX + 1))

    assert 1 - sum(few) < 0.001


@pytest.mark.parametrize(
    "shares",
    [{WENT_BACK: DARK}, {SAID_NOTHING: DARK}, {LOST_POWER: 0.5, WENT_BACK: DARK}],
    ids=["they go back", "they say nothing", "half of all lose power"],
)
def test_who_goes_dark_as_often_as_beside_halts_no_more_rollouts_than_planned(
    shares: Mapping[Ending, float],
) -> None:
    halted = [seed for seed in range(RUNS) if Fleet(seed, shares).is_halted()]

    assert len(halted) <= HALTS_MAX, halted


@pytest.mark.parametrize("cut_share", [0.0, 0.5])
def test_a_release_that_makes_more_dark_than_beside_is_halted(cut_share: float) -> None:
    shares = {LOST_POWER: cut_share, WENT_BACK: 4 * DARK}

    assert sum(Fleet(seed, shares).is_halted() for seed in range(20)) >= 18
