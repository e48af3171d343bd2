"""A rollout over rows in memory: the server's pure cores decide, this only stores and reads.

It does what the services do with tables (``leases``, ``reports``, ``ticks``, ``advance``),
in their order, and keeps a log of everything that was done, for others to judge.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from oleada_server.rollouts import plan, plan_box
from oleada_server.rollouts.evidence import judge, looks, slow_start, trials
from oleada_server.rollouts.evidence.counts import Counted, Counts, Part
from oleada_server.rollouts.evidence.judge import Evidence, Terms
from oleada_server.rollouts.plan import (
    Accepted,
    Limits,
    Outcome,
    RolloutFacts,
    Tally,
    WaveFacts,
)
from oleada_server.rollouts.plan_box import BoxFacts, Granted, LeaseFacts, Moved, ReportFacts
from oleada_server.rollouts.states import IN_FLIGHT, PENDING, BoxState, RolloutState, WaveState
from oleada_wire.words import LeasePhase

NOON: Final = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE: Final = timedelta(minutes=1)
LEASE, RIPE_AFTER, SILENT_AFTER = 30 * MINUTE, 15 * MINUTE, 120 * MINUTE
VERSION: Final = "1.1.0"
TERMS: Final = Terms(bad_share_max=0.5, doubt=0.2, start_boxes=2, in_flight_max=5)
"""Three good boxes and none bad prove enough."""
LIMITS: Final = Limits(0.25, 1.0, 0.75, 1, 10 * MINUTE)
"""So wide that the evidence is what keeps a gate."""
ATTEMPTS_MAX: Final = 2
WAVES: Final = (4, 3)
"""Boxes of each wave at first; every other one ran another version before."""


@dataclass(slots=True)
class Box:
    """One box in a wave, as its row is; *part* is its stratum."""

    number: int
    wave: int
    part: int
    state: BoxState = BoxState.QUEUED
    reason: str | None = None
    attempt: int = 0
    step: int = 0
    deadline_at: datetime | None = None
    lease_until: datetime | None = None
    was_given: bool = False
    counted: Counted | None = None
    is_armed: bool = False
    ripe_at: datetime | None = None

    def has_place(self, now: datetime) -> bool:
        """Return whether it was given a place and still has it."""
        return self.is_on_trial() or (self.was_given and self.holds_lease(now))

    def holds_lease(self, now: datetime) -> bool:
        """Return whether it may be at work."""
        return self.state in IN_FLIGHT and self.lease_until is not None and self.lease_until > now

    def is_on_trial(self) -> bool:
        """Return whether it is in a trial that is not counted yet."""
        return self.counted is Counted.OPEN and self.ripe_at is not None


@dataclass(slots=True)
class Wave:
    """One wave, as its row is."""

    state: WaveState = WaveState.WAITING
    soak_from: datetime | None = None
    held_for: str | None = None
    accepted: Accepted = field(default_factory=Accepted)


@dataclass(slots=True)
class Log:
    """What was done, in order.

    Attributes:
        assigned: (box, attempt).
        changes: (box, attempt, what it stood for, what it stands for).
    """

    assigned: list[tuple[int, int]] = field(default_factory=list)
    changes: list[tuple[int, int, Counted | None, Counted]] = field(default_factory=list)


class Server:
    """One rollout and its rows."""

    def __init__(self) -> None:
        self.now, self.state, self.log = NOON, RolloutState.RUNNING, Log()
        self.waves = [Wave() for _ in WAVES]
        numbers = [(wave, n) for wave, boxes in enumerate(WAVES) for n in range(boxes)]
        self.boxes = [Box(at, wave, n % 2) for at, (wave, n) in enumerate(numbers)]
        self.halted: set[int] = set()
        self.room = TERMS.start_boxes
        self.left_alone: set[int] = set()
        self.is_forced = False

    # -- what boxes ask and say --------------------------------------------------------

    def at_work(self, *, but: Box) -> int:
        """Return how many other boxes hold a lease, or are in a trial that does not count yet."""
        others = (box for box in self.boxes if box is not but)
        return sum(box.holds_lease(self.now) or box.is_on_trial() for box in others)

    def kept_by_bad(self) -> int:
        """Return how many bad ends came since the newest good one."""
        kept = 0
        for number, _, _, now_is in self.log.changes:
            if now_is is Counted.GOOD:
                kept = 0
            elif now_is in (Counted.BAD, Counted.SILENT):
                kept += self.boxes[number].part not in self.halted
        return kept

    def lease(self, box: Box, attempt: int, phase: LeasePhase) -> bool:
        """Answer a box that asks whether it may start or arm; return whether it may."""
        wave_state = self.waves[box.wave].state
        facts = LeaseFacts(
            rollout_state=self.state,
            wave_state=WaveState.HALTED if box.part in self.halted else wave_state,
            box_state=box.state,
            attempt=box.attempt,
            has_place=box.has_place(self.now),
            in_flight=self.at_work(but=box),
            in_flight_max=min(slow_start.left(self.room, self.kept_by_bad()), TERMS.in_flight_max),
            lease=LEASE,
            window=None,
            zone=ZoneInfo("UTC"),
            release_withdrawn=False,
        )
        answer = plan_box.decide_lease(facts, attempt, self.now)
        if box.number in self.left_alone and not self.is_forced:
            return False
        if isinstance(answer, Granted):
            if box.state not in IN_FLIGHT:
                box.state = BoxState.LEASED
            box.lease_until, box.was_given = answer.expires_at, True
            self._note(box, Counted.OPEN)
            if phase is LeasePhase.ARM:
                box.is_armed, box.ripe_at = True, self.now + RIPE_AFTER
            self._push_deadline(box)
        return isinstance(answer, Granted)

    def report(self, box: Box, said: ReportFacts) -> Moved | None:
        """Hear a report; return what it moved, if anything."""
        facts = BoxFacts(box.state, box.attempt, box.step, ATTEMPTS_MAX)
        moved = plan_box.on_report(facts, said, VERSION)
        if not isinstance(moved, Moved):
            return None
        box.state, box.step, box.reason = moved.state, moved.step, moved.reason
        if box.counted is not None:
            if (stands_for := trials.standing(moved, box.counted)) is not None:
                self._note(box, stands_for)
            if trials.ripens_as(box.state, box.reason) is not None and box.ripe_at is None:
                box.ripe_at = self.now
            elif box.state is not BoxState.UPDATED and box.counted in (Counted.BAD, Counted.VOID):
                box.ripe_at = None
        if moved.state in PENDING and not moved.assign_again:
            box.was_given = box.was_given and plan_box.keeps_place(box.lease_until, self.now)
            box.lease_until = max(box.lease_until or self.now, self.now + LEASE)
            self._push_deadline(box)
        else:
            box.deadline_at = box.lease_until = None
        return moved

    def retry(self, box: Box) -> None:
        """Let a person assign the release to *box* again."""
        if self.state in plan.MOVING and plan_box.may_retry(box.state):
            if box.counted is Counted.OPEN:  # what it was stays counted
                self._note(box, Counted.SILENT)
            box.state, box.deadline_at = BoxState.QUEUED, None

    def join(self, position: int, part: int) -> Box:
        """Let a box come later: to wave *position*, or to a wave of its own behind the last."""
        if position > len(self.waves):
            self.waves.append(Wave())
        box = Box(len(self.boxes), min(position, len(self.waves)) - 1, part)
        self.boxes.append(box)
        return box

    def go_on(self, position: int) -> bool:
        """Let a person accept a held wave as it is; return whether that is allowed."""
        wave, tally = self.waves[position - 1], self.wave_facts(position - 1).tally
        if self.state is not RolloutState.RUNNING or wave.state is not WaveState.HELD:
            return False
        if tally.good:
            wave.accepted = Accepted(tally.silent, None if tally.pending else tally.good)
        return tally.good > 0

    def _push_deadline(self, box: Box) -> None:
        if box.state in PENDING:
            patience = RIPE_AFTER + looks.QUIET if box.is_armed else SILENT_AFTER
            box.deadline_at = plan_box.deadline(
                self.now, patience, timedelta(0), None, ZoneInfo("UTC")
            )

    def _note(self, box: Box, now_is: Counted) -> None:
        if box.counted is now_is or (box.counted is None and now_is is not Counted.OPEN):
            return
        self.log.changes.append((box.number, box.attempt, box.counted, now_is))
        box.counted = now_is

    # -- the tick ----------------------------------------------------------------------

    def tick(self) -> Iterator[plan.Decision]:
        """Do what is due; yield what the plan decides, before it is stored.

        Whoever stops asking is a server that was killed there; what was stored stays.
        """
        for box in self.boxes:
            if plan_box.fell_silent(box.state, box.deadline_at, self.now):
                armed_at = self.now if box.is_armed else None
                stands_for = trials.of_silence(armed_at, box.ripe_at, self.now)
                if stands_for is not None:
                    self._note(box, stands_for)
                box.state, box.reason = BoxState.SILENT, None
                box.deadline_at = box.lease_until = None
        for box in self.boxes:
            stands_for = trials.ripe(box.state, box.reason, box.ripe_at, self.now)
            may_change = box.counted in (Counted.OPEN, Counted.SILENT)
            if may_change and stands_for is not None and stands_for is not box.counted:
                self._note(box, stands_for)
                box.ripe_at = None
        while self.state in plan.MOVING:
            decision = plan.decide(self.facts(), self.now)
            if isinstance(decision, plan.Wait):
                break
            yield decision
            self._store(decision)
        self.room = judge.judge(self.evidence(kept_by_bad=0)).room
        self._address()

    def evidence(self, kept_by_bad: int | None = None) -> Evidence:
        """Return what is judged, folded from the log anew."""
        counts = Counts({})
        for number, _, was, now_is in self.log.changes:
            counts.add(self.boxes[number].part, None, was, now_is, 1)
        parts = [
            Part(part, str(part), sum(box.part == part for box in self.boxes), part in self.halted)
            for part in (0, 1)
        ]
        kept = self.kept_by_bad() if kept_by_bad is None else kept_by_bad
        return Evidence(TERMS, counts.strata(parts), kept)

    def facts(self) -> RolloutFacts:
        """Return what the plan decides on."""
        waves = tuple(self.wave_facts(at) for at in range(len(self.waves)))
        return RolloutFacts(self.state, waves, evidence=self.evidence())

    def wave_facts(self, at: int) -> WaveFacts:
        """Return wave *at*, from 0, as the plan sees it."""
        found: dict[Outcome, int] = defaultdict(int)
        of_wave = [box for box in self.boxes if box.wave == at]
        going = [box for box in of_wave if box.part not in self.halted]
        for box in going:
            found[plan_box.outcome(box.state, box.reason, beside=True)] += 1
        wave = self.waves[at]
        return WaveFacts(
            at + 1, wave.state, Tally(**{str(one): boxes for one, boxes in found.items()}), LIMITS,
            wave.soak_from, wave.held_for, wave.accepted, halted=len(of_wave) - len(going),
            unripe=sum(b.state is BoxState.UPDATED and b.counted is Counted.OPEN for b in going),
        )  # fmt: skip

    def _store(self, decision: plan.Decision) -> None:
        match decision:
            case plan.OpenWave(position):
                self._move(position, WaveState.OPEN)
            case plan.StartSoak(position):
                self._move(position, WaveState.SOAKING, soak_from=self.now)
            case plan.PassWave(position):
                self.waves[position - 1].state = WaveState.PASSED
            case plan.HoldWave(position, reason):
                self._move(position, WaveState.HELD, held_for=reason)
            case plan.HaltStrata(names):
                self.halted |= {int(name) for name in names}
            case plan.Halt() | plan.Finish():
                has_halted = isinstance(decision, plan.Halt)
                self.state = RolloutState.HALTED if has_halted else RolloutState.FINISHED
            case plan.Wait():
                pass

    def _move(
        self, position: int, state: WaveState, soak_from: datetime | None = None,
        held_for: str | None = None,
    ) -> None:  # fmt: skip
        wave = self.waves[position - 1]
        wave.state, wave.soak_from, wave.held_for = state, soak_from, held_for

    def _address(self) -> None:
        for box in self.boxes:
            is_open = self.waves[box.wave].state is not WaveState.WAITING
            may = self.state is RolloutState.RUNNING and is_open and box.part not in self.halted
            if may and box.state is BoxState.QUEUED:
                box.attempt, box.step, box.reason = box.attempt + 1, 0, None
                box.state, box.counted, box.is_armed = BoxState.ASSIGNED, None, False
                box.ripe_at = box.lease_until = None
                self._push_deadline(box)
                self.log.assigned.append((box.number, box.attempt))
