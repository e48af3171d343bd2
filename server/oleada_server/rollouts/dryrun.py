"""A plan replayed before it begins: when it would end, what it would load, what it could break.

Pure. Time goes in rounds as long as one box is at work: it loads, restarts, and its trial
grows old enough to count. In each round so many waiting boxes begin as are on, may begin
by the plan's times, and find room: the slow start, the limits in flight, the rate and the
bandwidth. Who is on comes from what a sample of boxes did lately, replayed day after day.
A figure of a replay is an estimate; what it assumes is in its arguments.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil, log
from typing import Final
from zoneinfo import ZoneInfo

from oleada_server.rollouts import pace, schedule
from oleada_server.rollouts.evidence import eprocess, slow_start
from oleada_server.rollouts.pace import Caps, Rate
from oleada_server.rollouts.plan import exact
from oleada_server.rollouts.schedule import Schedule

INSTALL_S: Final = 600
"""What a box is taken to need beside loading: writing, the restart, its checks."""
LOOK_AHEAD: Final = timedelta(days=90)
ORDINARY_DARK: Final = 0.02
"""Boxes that fall silent by themselves, as far as a replay counts them against a release."""


@dataclass(frozen=True, slots=True)
class Habit:
    """When boxes of one kind are on: hours of some days, midnight UTC first, and their zone.

    Attributes:
        on: By (day, hour): ``on[24 * day + hour]``; at least one day, in whole days.
        weight: How many of the sample it stands for.
    """

    zone: ZoneInfo
    on: tuple[bool, ...]
    weight: int = 1

    def is_on(self, at: datetime) -> bool:
        """Return whether such a box is on at aware *at*: the days come round again."""
        days = len(self.on) // 24
        return self.on[24 * (at.toordinal() % days) + at.hour]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """A wave as planned; shares are 0 to 1."""

    boxes: int
    success_share_min: float
    failed_share_max: float
    silent_share_max: float
    sample_min: int
    soak: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is replayed.

    Attributes:
        start_boxes: Of the slow start; None without one.
        accepted_share: Failures that the evidence lets pass; with *alpha*, unless
            *start_boxes* is None.
        ripe_s: How old a trial has to be before it counts.
    """

    waves: tuple[Wave, ...]
    size_bytes: int
    times: Schedule
    in_flight_max: int
    start_boxes: int | None
    rate: Rate | None
    caps: Caps
    spread_s: int
    silent_after_s: int
    accepted_share: float = 0.005
    alpha: float = 0.01
    ripe_s: int = 900

    @property
    def load_s(self) -> int:
        """Return how long one box loads."""
        return ceil(self.size_bytes / self.caps.box_bytes_s)

    @property
    def round(self) -> timedelta:
        """Return how long one box is at work, until its trial counts."""
        return timedelta(seconds=self.load_s + INSTALL_S + self.ripe_s + self.spread_s // 2)


@dataclass(frozen=True, slots=True)
class Run:
    """How a replay ended.

    Attributes:
        ends_at: When the last wave has soaked, or the rollout halts; None if neither.
        stopped_by: Empty, ``limit`` or ``evidence``; ``held`` where a person is asked.
        harmed: Boxes that the release broke by then.
        peak_bytes_s: The most that all boxes load together.
        unreached: Boxes that were never on while they could begin.
    """

    ends_at: datetime | None
    stopped_by: str
    updated: int
    harmed: int
    peak_bytes_s: int
    unreached: int


@dataclass(slots=True)
class _State:
    """One replay under way; boxes wait by habit."""

    at: datetime
    waiting: list[int] = field(default_factory=list)
    begun: int = 0
    good: int = 0
    bad: int = 0
    peak: int = 0
    owed: float = 0.0
    kept_by_bad: int = 0


def replay(
    plan: Plan, habits: Sequence[Habit], begins_at: datetime, failing_share: float = 0.0
) -> Run:
    """Return how *plan* goes with boxes of *habits*, when *failing_share* of them break.

    At least one habit; *failing_share* is from 0 to 1. Broken boxes say so in the round
    in which they break, one by one as they come due.
    """
    assert habits, "a fleet has at least one habit"  # noqa: S101 - our bug, and it crashes
    state = _State(begins_at)
    unreached = 0
    for wave in plan.waves:
        state.waiting = _shares(wave.boxes, habits)
        good_before = state.good
        stopped = _play(plan, wave, habits, state, failing_share)
        left = sum(state.waiting)
        unreached += left
        if stopped:
            return _run(state, stopped, unreached)
        is_short = state.good - good_before < exact(wave.success_share_min) * (wave.boxes - left)
        if is_short or left > exact(wave.silent_share_max) * wave.boxes:
            return _run(state, "held", unreached)
        state.at += wave.soak
    return _run(state, "", unreached)


def _play(
    plan: Plan, wave: Wave, habits: Sequence[Habit], state: _State, failing_share: float
) -> str:
    """Let the boxes of *wave* come, round by round; return what stops it, else nothing."""
    opened, good_before, bad_before = state.at, state.good, state.bad
    patience = opened + timedelta(seconds=plan.silent_after_s)
    while sum(state.waiting):
        began = _begin(plan, habits, state)
        if not began:
            if state.at - opened > LOOK_AHEAD:
                return ""
            state.at = _next(plan, habits, state, patience)
            if state.at >= patience and not _can_come(plan, habits, state):
                return ""
            continue
        patience = max(patience, state.at + timedelta(seconds=plan.silent_after_s))
        state.at += plan.round
        bad = _fail(state, began, failing_share)
        state.good, state.bad = state.good + began - bad, state.bad + bad
        state.kept_by_bad = 0 if began > bad else state.kept_by_bad + bad
        judged = (state.good - good_before, state.bad - bad_before)
        if reason := _stops(plan, wave, state, *judged):
            return reason
    return ""


def _begin(plan: Plan, habits: Sequence[Habit], state: _State) -> int:
    """Let boxes begin that are on and find room; return how many."""
    room = _room(plan, state)
    began = 0
    for index, habit in enumerate(habits):
        if room <= 0 or not state.waiting[index]:
            continue
        if habit.is_on(state.at) and schedule.is_open(plan.times, habit.zone, state.at):
            these = min(room, state.waiting[index])
            state.waiting[index] -= these
            room, began = room - these, began + these
    state.begun += began
    state.peak = max(state.peak, began * plan.caps.box_bytes_s)
    return began


def _room(plan: Plan, state: _State) -> int:
    room = plan.in_flight_max
    if plan.start_boxes is not None:
        room = slow_start.room(
            plan.start_boxes,
            room,
            good=state.good,
            kept_by_bad=state.kept_by_bad,
            log_e=_log_e(plan, state),
        )
    if plan.rate is not None:
        minutes = plan.round.total_seconds() / 60
        room = min(room, int(pace.per_minute(plan.rate, state.begun, state.good) * minutes))
    if plan.caps.loading_max is not None:
        turns = max(plan.round.total_seconds() / max(plan.load_s, 1), 1)
        room = min(room, int(plan.caps.loading_max * turns))
    return room


def _fail(state: _State, began: int, failing_share: float) -> int:
    state.owed += began * failing_share
    bad = min(int(state.owed + 1e-9), began)
    state.owed -= bad
    return bad


def _stops(plan: Plan, wave: Wave, state: _State, good: int, bad: int) -> str:
    limit = exact(wave.failed_share_max)
    has_sample = good + bad >= wave.sample_min
    if bad > limit * wave.boxes or (has_sample and bad > limit * (good + bad)):
        return "limit"
    if plan.start_boxes is not None and _log_e(plan, state) >= log(1 / plan.alpha):
        return "evidence"
    return ""


def _log_e(plan: Plan, state: _State) -> float:
    """Return ln E as one stratum gives it: reported failures beside silence that is ordinary."""
    if not state.bad:
        return 0.0
    reported = eprocess.log_e([eprocess.Cell(state.begun, state.bad, plan.accepted_share)])
    silent = eprocess.log_e([eprocess.Cell(state.begun, 0, ORDINARY_DARK)])
    return eprocess.log_mean([reported, silent])


def _next(plan: Plan, habits: Sequence[Habit], state: _State, patience: datetime) -> datetime:
    """Return when something may change: the next full hour, or a window that opens in it."""
    hour = state.at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    zones = {habit.zone for index, habit in enumerate(habits) if state.waiting[index]}
    opens = [schedule.next_opening(plan.times, zone, state.at) for zone in zones]
    known = [at for at in opens if at is not None]
    if known and min(known) > hour:
        return min(known)
    return hour if known else patience


def _can_come(plan: Plan, habits: Sequence[Habit], state: _State) -> bool:
    """Return whether a box that waits will be on in an open window within a round of days."""
    for index, habit in enumerate(habits):
        if not state.waiting[index]:
            continue
        hours = (state.at + timedelta(hours=n) for n in range(len(habit.on) + 24 * 7))
        if any(habit.is_on(at) and schedule.is_open(plan.times, habit.zone, at) for at in hours):
            return True
    return False


def _shares(boxes: int, habits: Sequence[Habit]) -> list[int]:
    """Return how many of *boxes* have each habit, by weight, as whole boxes that add up."""
    total = sum(habit.weight for habit in habits)
    found, before, weight = [], 0, 0
    for habit in habits:
        weight += habit.weight
        upto = boxes * weight // total
        found.append(upto - before)
        before = upto
    return found


def _run(state: _State, stopped: str, unreached: int) -> Run:
    ends_at = None if stopped == "held" else state.at
    return Run(ends_at, stopped, state.good, state.bad, state.peak, unreached)
