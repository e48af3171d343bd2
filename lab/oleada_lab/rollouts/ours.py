"""The shipped planner over a fleet: what it decides, and what that costs.

Every decision is ``plan.decide`` of the server; here is only what rows would say to it.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from oleada_server.rollouts import plan
from oleada_server.rollouts.evidence import judge, maturity
from oleada_server.rollouts.evidence.judge import Evidence, Matured, Stratum, Terms
from oleada_server.rollouts.plan import Limits, RolloutFacts, Tally, WaveFacts
from oleada_server.rollouts.states import RolloutState, WaveState

from oleada_lab.rollouts.fleet import DELAYS, Batch, Fleet

WATCHED_MAX: Final = 2500
ONLINE: Final = 0.7
BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
MINUTES_MAX: Final = 14 * 24 * 60
SHARES: Final = (0.05, 0.95, 1.0)
"""A first wave, nearly everybody, and the boxes that are held back for comparison."""
LIMITS: Final = Limits(0.9, 1.0, 1.0, 1, timedelta(0))
"""Nothing but the evidence is to decide: no limit is ever broken."""


def ripe_after_min() -> int:
    """Return how old a trial is when it counts, as the server learns it from past reports."""
    past = [minutes * 60 for minutes, share in DELAYS for _ in range(round(share * 2000))]
    return -(-int(maturity.age(past).total_seconds()) // 60)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a rollout went.

    Attributes:
        harmed: Boxes that the release killed, or made fail.
        begun: Boxes that began.
        minutes: Until it ended.
        how: ``halted``, ``held`` (a person is asked), or ``finished``.
    """

    harmed: int
    begun: int
    minutes: int
    how: str


@dataclass(slots=True)
class _Wave:
    boxes: int
    state: WaveState = WaveState.WAITING
    begun: int = 0
    good: int = 0
    bad: int = 0
    silent: int = 0
    soak_from: datetime | None = None
    held_for: str | None = None

    def tally(self) -> Tally:
        ended = self.good + self.bad + self.silent
        return Tally(self.boxes - ended, self.good, self.bad, self.silent)


@dataclass(slots=True)
class _Look:
    boxes: int = 0
    dark: int = 0
    trials: int = 0
    silent: int = 0
    known: tuple[float, float] | None = None


@dataclass(slots=True)
class _Due:
    """What happens in one minute, by (wave, look in which it was silent before)."""

    ripe_good: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    mute: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    failed: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    late: list[tuple[int, int, int]] = field(default_factory=list)


class Planner:
    """One rollout of the shipped planner to *fleet* under *terms*."""

    def __init__(self, fleet: Fleet, terms: Terms) -> None:
        self._fleet, self._terms = fleet, terms
        self._ripe_after = ripe_after_min()
        edges = [0, *(round(share * fleet.boxes) for share in SHARES)]
        self._waves = [_Wave(b - a) for a, b in pairwise(edges)]
        self._looks: list[_Look] = []
        self._due: dict[int, _Due] = defaultdict(_Due)
        self._begun = self._good = self._bad = self._silent = 0
        self._kept = self._harmed = 0
        self._state = RolloutState.RUNNING

    def play(self) -> Ended:
        """Play until the rollout ends, or a person would have to look."""
        for minute in range(MINUTES_MAX):
            if minute % self._ripe_after == 0:
                self._look(minute)
            self._happen(minute)
            evidence = self._evidence(minute)
            if (ended := self._decide(evidence, minute)) is not None:
                return ended
            self._start(judge.judge(evidence).room, minute)
        raise AssertionError("a rollout that neither ends nor asks")

    def _look(self, minute: int) -> None:
        waiting = sum(w.boxes for w in self._waves if w.state is WaveState.WAITING)
        boxes = min(int(waiting * ONLINE), WATCHED_MAX) if minute or waiting else 0
        if boxes < judge.CONTROL_MIN:
            boxes = 0
        self._looks.append(_Look(boxes, self._fleet.dark_of(boxes)))

    def _happen(self, minute: int) -> None:
        due = self._due.pop(minute, None)
        if due is None:
            return
        look = self._looks[-1]
        for wave, boxes in due.ripe_good.items():
            self._waves[wave].good += boxes
            self._good, look.trials = self._good + boxes, look.trials + boxes
            self._kept = 0
        for wave, index, boxes in due.late:  # said nothing in time, and was good after all
            self._waves[wave].silent -= boxes
            self._waves[wave].good += boxes
            self._silent, self._good = self._silent - boxes, self._good + boxes
            self._looks[index].silent -= boxes
            self._kept = 0
        for wave, boxes in due.failed.items():
            self._waves[wave].bad += boxes
            self._bad, look.trials = self._bad + boxes, look.trials + boxes
            self._kept += boxes
        for wave, boxes in due.mute.items():
            self._waves[wave].silent += boxes
            self._silent, look.trials = self._silent + boxes, look.trials + boxes
            look.silent += boxes
            self._kept += boxes

    def _start(self, room: int, minute: int) -> None:
        in_flight = self._begun - self._good - self._bad - self._silent
        for index, wave in enumerate(self._waves):
            if wave.state is WaveState.WAITING:
                return
            boxes = min(max(room - in_flight, 0), wave.boxes - wave.begun)
            if not boxes:
                continue
            wave.begun += boxes
            self._begun, in_flight = self._begun + boxes, in_flight + boxes
            self._plan(self._fleet.begin(boxes), index, minute)

    def _plan(self, batch: Batch, wave: int, minute: int) -> None:
        self._harmed += batch.harmed
        ripe_at = minute + self._ripe_after
        look = ripe_at // self._ripe_after
        late = 0
        for delay, boxes in batch.good:
            if delay <= self._ripe_after:
                self._due[ripe_at].ripe_good[wave] += boxes
            else:
                late += boxes
                self._due[minute + delay].late.append((wave, look, boxes))
        for delay, boxes in batch.failed:
            self._due[min(minute + delay, ripe_at)].failed[wave] += boxes
        if batch.mute + late:
            self._due[ripe_at].mute[wave] += batch.mute + late

    def _decide(self, evidence: Evidence, minute: int) -> Ended | None:
        now = BEGIN + timedelta(minutes=minute)
        while True:
            match plan.decide(self._facts(evidence), now):
                case plan.Wait():
                    is_held = any(wave.state is WaveState.HELD for wave in self._waves)
                    # No late report can lift the hold any more: a person has to.
                    return self._ended("held", minute) if is_held and not self._due else None
                case plan.Finish():
                    return self._ended("finished", minute)
                case plan.Halt():
                    return self._ended("halted", minute)
                case plan.HaltStrata():  # a fleet of one version halts as a whole
                    return self._ended("halted in part", minute)
                case decision:
                    self._store(decision, now)

    def _store(
        self,
        decision: plan.OpenWave | plan.StartSoak | plan.PassWave | plan.HoldWave,
        now: datetime,
    ) -> None:
        wave = self._waves[decision.position - 1]
        wave.held_for = None
        match decision:
            case plan.OpenWave():
                wave.state = WaveState.OPEN
            case plan.StartSoak():
                wave.state, wave.soak_from = WaveState.SOAKING, now
            case plan.PassWave():
                wave.state = WaveState.PASSED
            case plan.HoldWave():
                wave.state, wave.soak_from = WaveState.HELD, None
                wave.held_for = decision.reason

    def _ended(self, how: str, minute: int) -> Ended:
        return Ended(self._harmed, self._begun, minute, how)

    def _facts(self, evidence: Evidence) -> RolloutFacts:
        waves = tuple(
            WaveFacts(at, wave.state, wave.tally(), LIMITS, wave.soak_from, wave.held_for)
            for at, wave in enumerate(self._waves, start=1)
        )
        return RolloutFacts(self._state, waves, evidence=evidence)

    def _most(self, boxes: int, dark: int) -> float:
        return judge.dark_share(boxes, dark, self._terms.accepted_share)

    def _closed(self, look: _Look) -> tuple[float, float]:
        if look.known is None:
            least = judge.dark_least(look.boxes, look.dark)
            look.known = (self._most(look.boxes, look.dark), least)
        return look.known

    def _evidence(self, minute: int) -> Evidence:
        watched: list[Matured] = []
        alone = alone_silent = 0
        before = (0.0, 1.0)
        elapsed = (minute % self._ripe_after) / self._ripe_after
        for index, look in enumerate(self._looks):
            here = (0.0, 1.0)
            if look.boxes:
                if index < len(self._looks) - 1:
                    here = self._closed(look)
                else:
                    dark = int(look.dark * elapsed)
                    here = (self._most(look.boxes, dark), 1.0)
                most, least = max(here[0], before[0]), min(here[1], before[1])
                least = least if least < 1 else 0.0
                if look.trials:
                    watched.append(Matured(look.trials, look.silent, most, least))
            else:
                alone, alone_silent = alone + look.trials, alone_silent + look.silent
            before = here
        stratum = Stratum(
            "1.0.0", self._fleet.boxes, self._begun, self._bad, self._silent, self._good,
            tuple(watched), alone, alone_silent,
        )  # fmt: skip
        return Evidence(self._terms, (stratum,), kept_by_bad=self._kept)
