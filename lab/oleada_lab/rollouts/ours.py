"""The shipped planner over a fleet: what it decides, and what that costs.

Every decision is ``plan.decide`` of the server, on counts that the server's own folds make
(``evidence/counts.py``); here is only what boxes and people would say to it.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from oleada_server.rollouts import plan
from oleada_server.rollouts.evidence import counts, judge, maturity
from oleada_server.rollouts.evidence.control import Hour
from oleada_server.rollouts.evidence.counts import Counted, Counts, Look, Part
from oleada_server.rollouts.evidence.judge import Evidence, Terms
from oleada_server.rollouts.plan import Limits, RolloutFacts
from oleada_server.rollouts.states import RolloutState, WaveState

from oleada_lab.rollouts.fleet import DELAYS, Batch, Fleet
from oleada_lab.rollouts.waves import Wave

WATCHED_MAX: Final = 2500
ONLINE: Final = 0.7
BEGIN: Final = datetime(2026, 1, 1, 8, tzinfo=UTC)
"""Eight in the morning: the first night comes after the first boxes."""
HOUR_MIN: Final = 60
MINUTES_MAX: Final = 7 * 24 * 60
LIMITS: Final = Limits(0.9, 1.0, 1.0, 1, timedelta(0))
"""Nothing but the evidence is to decide: no limit is ever broken."""


def ripe_after_min() -> int:
    """Return how old a trial is when it counts, as the server learns it from past reports."""
    past = [minutes * 60 for minutes, share in DELAYS for _ in range(round(share * 2000))]
    return -(-int(maturity.age(past).total_seconds()) // 60)


@dataclass(frozen=True, slots=True)
class Planned:
    """What somebody plans, and does meanwhile; times in minutes since it was planned.

    Attributes:
        shares: Cumulative, of the waves: a first one, nearly everybody, and the boxes that
            are held back for comparison.
        terms: Of the evidence; None for limits alone.
        starts: When it may begin.
        paused: From when to when a person has it paused.
        accepts: A person lets a wave that is held go on, as it is.
        watches_hours: Of updated boxes, beside those that wait.
    """

    shares: tuple[float, ...] = (0.05, 0.95, 1.0)
    limits: Limits = LIMITS
    terms: Terms | None = field(default_factory=Terms)
    in_flight_max: int = 2000
    starts: int = 0
    paused: tuple[int, int] | None = None
    accepts: bool = False
    watches_hours: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """How a rollout went.

    Attributes:
        harmed: Boxes that the release killed, or made fail; hours that it made bad.
        begun: Boxes that began.
        minutes: Until it ended.
        how: ``halted``, ``held`` (a person is asked), or ``finished``.
        without: Versions before whose boxes were halted alone.
        why: The reason of a halt or a hold.
    """

    harmed: int
    begun: int
    minutes: int
    how: str
    without: tuple[str, ...] = ()
    why: str = ""


@dataclass(slots=True)
class _Due:
    """What happens in one minute, by (wave, version before)."""

    reported: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    ripe: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    mute: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    failed: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    late: list[tuple[int, int, int, int]] = field(default_factory=list)


class Planner:
    """One rollout of the shipped planner to *fleets*, one for each version before."""

    def __init__(self, fleets: Sequence[Fleet], planned: Planned) -> None:
        self._fleets, self._planned = list(fleets), planned
        self._ripe_after = ripe_after_min()
        edges = [0.0, *planned.shares]
        self._waves = [
            Wave([round(b * one.boxes) - round(a * one.boxes) for one in fleets])
            for a, b in pairwise(edges)
        ]
        self._counts = Counts({})
        self._looks: list[Look] = []
        self._hours: list[Hour] = []
        self._due: dict[int, _Due] = defaultdict(_Due)
        self._begun = self._at_work = self._kept = self._harmed = 0
        self._halted: dict[int, str] = {}
        self._accepted_silent = 0
        self._state = RolloutState.SCHEDULED if planned.starts else RolloutState.RUNNING
        self._until: datetime | None = None
        self._seen: tuple[tuple[int, ...], Evidence | None] | None = None

    def play(self) -> Ended:
        """Play until the rollout ends, or a person would have to look."""
        minute = 0
        while minute < MINUTES_MAX:
            if minute % self._ripe_after == 0:
                self._look()
            if minute and minute % HOUR_MIN == 0 and self._planned.watches_hours:
                self._hour(minute)
            self._happen(minute)
            self._pause(minute)
            if (ended := self._decide(minute)) is not None:
                return ended
            if self._state is RolloutState.RUNNING:
                self._start(minute)
            minute = self._next(minute)
        return self._ended("held", minute, "a week, and no end: its hours stay doubtful")

    def _next(self, minute: int) -> int:
        """Return the next minute in which anything can be otherwise than now."""
        edges = [minute + self._ripe_after - minute % self._ripe_after, *self._due]
        edges += self._planned.paused or ()
        if self._planned.watches_hours:
            edges.append(minute + HOUR_MIN - minute % HOUR_MIN)
        if self._until is not None:
            edges.append(-int((BEGIN - self._until).total_seconds() // 60))
        return min(edge for edge in edges if edge > minute)

    # -- what happens ------------------------------------------------------------------

    def _waiting(self) -> int:
        """Return how many boxes of waves that have not opened are connected; a sample."""
        waiting = sum(sum(w.sizes) for w in self._waves if w.state is WaveState.WAITING)
        boxes = min(int(waiting * ONLINE), WATCHED_MAX)
        return boxes if boxes >= judge.CONTROL_MIN else 0

    def _look(self) -> None:
        if self._looks:
            last = self._looks[-1]
            self._looks[-1] = Look(last.number, last.boxes, last.dark, is_closed=True)
            if self._planned.terms is not None:
                self._know(self._looks[-2:], self._planned.terms)
        boxes, number = self._waiting(), len(self._looks) + 1
        dark = self._fleets[-1].dark_of(boxes)
        self._looks.append(Look(number, boxes, dark if boxes else None, is_closed=False))

    def _hour(self, minute: int) -> None:
        good = sum(wave.ripe[part] for wave in self._waves for part in self._going())
        of_day = (BEGIN.hour + minute // HOUR_MIN) % 24
        hours, caused = self._fleets[-1].hour(good, self._waiting(), of_day)
        self._hours += hours
        self._harmed += caused

    def _happen(self, minute: int) -> None:
        due = self._due.pop(minute, None)
        if due is None:
            return
        now = self._looks[-1].number
        for (at, part), boxes in due.reported.items():
            self._waves[at].good[part] += boxes
        for (at, part), boxes in due.ripe.items():
            self._waves[at].ripe[part] += boxes
            self._note(part, now, Counted.OPEN, Counted.GOOD, boxes)
        for at, part, look, boxes in due.late:  # said nothing in time, and was good after all
            self._waves[at].heard_late(part, boxes)
            self._note(part, look, Counted.SILENT, Counted.GOOD, boxes)
        for (at, part), boxes in due.failed.items():
            self._waves[at].bad[part] += boxes
            self._note(part, now, Counted.OPEN, Counted.BAD, boxes)
        for (at, part), boxes in due.mute.items():
            self._waves[at].silent[part] += boxes
            self._note(part, now, Counted.OPEN, Counted.SILENT, boxes)

    def _note(self, part: int, look: int, was: Counted, now_is: Counted, boxes: int) -> None:
        self._counts.add(part, look, was, now_is, boxes)
        if was is Counted.OPEN:
            self._at_work -= boxes
        if now_is is Counted.GOOD:
            self._kept = 0
        elif part not in self._halted:
            self._kept += boxes

    def _pause(self, minute: int) -> None:
        for edge, state in zip(
            self._planned.paused or (), (RolloutState.PAUSED, RolloutState.RUNNING), strict=False
        ):
            if minute == edge:
                self._state = state

    # -- who begins --------------------------------------------------------------------

    def _start(self, minute: int) -> None:
        evidence = self._evidence(minute)
        room = self._planned.in_flight_max
        if evidence is not None:
            room = min(room, judge.judge(evidence).room)
        for at, wave in enumerate(self._waves):
            if wave.state is WaveState.WAITING:
                return
            free = max(room - self._at_work, 0)
            for part, boxes in enumerate(wave.next_boxes(free, self._going())):
                if boxes:
                    self._begin(at, part, boxes, minute)

    def _begin(self, at: int, part: int, boxes: int, minute: int) -> None:
        self._waves[at].begun[part] += boxes
        self._begun, self._at_work = self._begun + boxes, self._at_work + boxes
        self._counts.add(part, None, None, Counted.OPEN, boxes)
        self._plan(self._fleets[part].begin(boxes), (at, part), minute)

    def _plan(self, batch: Batch, whose: tuple[int, int], minute: int) -> None:
        self._harmed += batch.harmed
        ripe_at = minute + self._ripe_after
        look = ripe_at // self._ripe_after + 1
        late = 0
        for delay, boxes in batch.good:
            if delay <= self._ripe_after:
                self._due[minute + delay].reported[whose] += boxes
                self._due[ripe_at].ripe[whose] += boxes
            else:
                late += boxes
                self._due[minute + delay].late.append((*whose, look, boxes))
        for delay, boxes in batch.failed:
            self._due[min(minute + delay, ripe_at)].failed[whose] += boxes
        if batch.mute + late:
            self._due[ripe_at].mute[whose] += batch.mute + late

    # -- what is decided ---------------------------------------------------------------

    def _decide(self, minute: int) -> Ended | None:
        """Do what is decided until nothing is due, or the rollout has ended."""
        now = BEGIN + timedelta(minutes=minute)
        while True:
            match plan.decide(self._facts(minute), now):
                case plan.Wait(_, until):
                    self._until = until
                    if (held := self._stuck()) is None:
                        return None
                    if not (self._planned.accepts and held.accept(self._going())):
                        return self._ended("held", minute, held.held_for or "")
                    self._accepted_silent = sum(w.accepted.silent for w in self._waves)
                case plan.Finish():
                    return self._ended("finished", minute)
                case plan.Halt(_, reason):
                    return self._ended("halted", minute, reason)
                case plan.HaltStrata(names):
                    self._halted |= {int(name) - 1: name for name in names}
                case decision:
                    self._state = RolloutState.RUNNING
                    self._waves[decision.position - 1].move(decision, now)

    def _stuck(self) -> Wave | None:
        """Return the wave that is held, once no late report can lift that any more."""
        return None if self._due else next((w for w in self._waves if w.held_for is not None), None)

    def _ended(self, how: str, minute: int, why: str = "") -> Ended:
        without = tuple(self._halted[part] for part in sorted(self._halted))
        return Ended(self._harmed, self._begun, minute, how, without, why)

    def _going(self) -> list[int]:
        return [part for part in range(len(self._fleets)) if part not in self._halted]

    def _facts(self, minute: int) -> RolloutFacts:
        planned = self._planned
        going = self._going()
        waves = tuple(
            wave.facts(at, going, planned.limits) for at, wave in enumerate(self._waves, start=1)
        )
        starts_at = BEGIN + timedelta(minutes=planned.starts) if planned.starts else None
        return RolloutFacts(self._state, waves, starts_at, self._evidence(minute))

    def _evidence(self, minute: int) -> Evidence | None:
        """Return what is judged; it stays as it is between two things that happen."""
        key = (minute, self._begun, len(self._halted), self._accepted_silent)
        if self._seen is None or self._seen[0] != key:
            self._seen = key, self._fold(minute)
        return self._seen[1]

    def _know(self, looks: Sequence[Look], terms: Terms) -> None:
        """Note what goes dark anyway in the newest of *looks*, which knows the one before."""
        known = counts.darkness(looks, terms.accepted_share)
        number = looks[-1].number
        if number in known:
            self._counts.darkness = {**self._counts.darkness, number: known[number]}

    def _fold(self, minute: int) -> Evidence | None:
        terms = self._planned.terms
        if terms is None:
            return None
        last = self._looks[-1]
        elapsed = (minute % self._ripe_after) / self._ripe_after
        so_far = None if last.dark is None else int(last.dark * elapsed)
        newest = Look(last.number, last.boxes, so_far, is_closed=False)
        self._know([*self._looks[-2:-1], newest], terms)
        parts = (
            Part(part, str(part + 1), fleet.boxes, part in self._halted)
            for part, fleet in enumerate(self._fleets)
        )
        return Evidence(
            terms,
            self._counts.strata(parts),
            self._kept,
            self._accepted_silent,
            tuple(self._hours) if self._planned.watches_hours else None,
        )
