"""What one box's message or silence means: reports, deadlines and leases, decided purely.

A box's state is the fold of its reports by (attempt, is final, step): in the newest
attempt a final word wins over any other, then the highest step, so that order and
repetition change nothing and no box takes its verdict back. Silence is the only outcome
that the server gives by itself, and any later word of the box takes it back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from oleada_wire.messages import Window
from oleada_wire.window import is_open, next_opening
from oleada_wire.words import NOT_THE_RELEASE, RETRYABLE, Phase, Reason

from oleada_server.rollouts.plan import Outcome
from oleada_server.rollouts.states import (
    PENDING,
    REVOKED,
    VERDICTS,
    BoxState,
    RolloutState,
    WaveState,
)

REPORTS_MAX: Final = 500
"""Reports of one attempt that push its deadline out; more than any honest box sends."""
RETRY_AFTER_S_MAX: Final = 3600
"""The longest a refused box is told to wait, so that a change of plan reaches it."""
RETRY_AFTER_S_MIN: Final = 15

_STATE_OF: Final = {
    Phase.DOWNLOADING: BoxState.DOWNLOADING,
    Phase.INSTALLING: BoxState.INSTALLING,
    Phase.RESTARTING: BoxState.RESTARTING,
    Phase.CHECKING: BoxState.CHECKING,
    Phase.UPDATED: BoxState.UPDATED,
    Phase.DECLINED: BoxState.DECLINED,
    Phase.FAILED: BoxState.FAILED,
    Phase.ROLLED_BACK: BoxState.ROLLED_BACK,
}


@dataclass(frozen=True, slots=True)
class BoxFacts:
    """One box in a wave as it stands. *attempt* 0 means it was never assigned.

    Attributes:
        retry_for: Reasons after which the next attempt is due by itself.
        is_from_backup: The row is as old as the backup that the server was restored from,
            so that the box may have been given more attempts than are known here.
    """

    state: BoxState
    attempt: int
    step: int
    attempts_max: int
    is_from_backup: bool = False
    retry_for: frozenset[Reason] = RETRYABLE


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """What a report says; *version* is what the box runs."""

    attempt: int
    step: int
    phase: Phase
    reason: Reason | None
    version: str


@dataclass(frozen=True, slots=True)
class History:
    """The report belongs to an older attempt or step: keep it, change nothing."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The report speaks of an attempt that was never assigned: count nothing."""


@dataclass(frozen=True, slots=True)
class Moved:
    """The box is at another place now.

    Attributes:
        assign_again: The attempt is over and the next one is due.
        push_deadline: The box works; silence counts from now.
    """

    state: BoxState
    step: int
    reason: str | None = None
    assign_again: bool = False
    push_deadline: bool = False


JUDGED_BY_REASON: Final = frozenset({BoxState.DECLINED, BoxState.FAILED, BoxState.ROLLED_BACK})
"""States whose outcome depends on the reason."""


def outcome(state: BoxState, reason: str | None, *, beside: bool = False) -> Outcome:
    """Return what *state*, reached for *reason*, means for the limits.

    Args:
        beside: Evidence judges darkness beside boxes that wait. One that went back because
            it reached nobody was dark then, and a region that lost its lines is no failure.
    """
    match state:
        case BoxState.UPDATED:
            return Outcome.GOOD
        case BoxState.SILENT:
            return Outcome.SILENT
        case BoxState.DECLINED:
            return Outcome.GONE if reason == REVOKED else Outcome.LEFT_OUT
        case BoxState.ROLLED_BACK if beside and reason == Reason.NO_SERVER_CONTACT:
            return Outcome.SILENT
        case BoxState.FAILED | BoxState.ROLLED_BACK:
            return Outcome.EXCUSED if reason in NOT_THE_RELEASE else Outcome.BAD
        case _:
            return Outcome.PENDING


def on_report(box: BoxFacts, report: ReportFacts, target_version: str) -> Moved | History | Refused:
    """Return what *report* changes about *box*; the caller has told duplicates apart.

    Boxes are believed when they fail; a box that says it is updated must also run
    *target_version*, because a claim that contradicts itself is no success.

    After a restore a box is believed about an attempt that the server has lost; if that one
    ended only because the server spoke of an older one, the next is due.
    """
    if box.is_from_backup and report.attempt > box.attempt:
        if report.phase.is_final and report.reason is Reason.CANCELLED:
            return Moved(BoxState.QUEUED, report.step, report.reason, assign_again=True)
        box = replace(box, state=BoxState.QUEUED, attempt=report.attempt, step=0)
    if not 1 <= report.attempt <= box.attempt:
        return Refused()
    if report.attempt < box.attempt or _is_outdone(box, report):
        return History()
    if report.phase is Phase.UPDATED and report.version != target_version:
        return Moved(BoxState.FAILED, report.step, Reason.WRONG_CONTENT)
    if not report.phase.is_final:
        return Moved(_STATE_OF[report.phase], report.step, push_deadline=report.step <= REPORTS_MAX)
    if report.reason in box.retry_for and box.attempt < box.attempts_max:
        return Moved(BoxState.QUEUED, report.step, report.reason, assign_again=True)
    return Moved(_STATE_OF[report.phase], report.step, report.reason)


def _is_outdone(box: BoxFacts, report: ReportFacts) -> bool:
    """Return whether *box* has said more in this attempt: its final word, or a later one."""
    waits_for_next_attempt = box.state is BoxState.QUEUED and box.step > 0
    has_ended = box.state in VERDICTS or waits_for_next_attempt
    return (has_ended, box.step) >= (report.phase.is_final, report.step)


def fell_silent(state: BoxState, deadline_at: datetime | None, now: datetime) -> bool:
    """Return whether a box that has no outcome has let its deadline pass."""
    return state in PENDING and deadline_at is not None and deadline_at <= now


def may_retry(state: BoxState) -> bool:
    """Return whether a person may assign the release again to a box in *state*."""
    return state is not BoxState.UPDATED and state not in PENDING


def deadline(
    now: datetime,
    silent_after: timedelta,
    spread: timedelta,
    window: Window | None,
    zone: ZoneInfo,
    *,
    opens_at: datetime | None = None,
) -> datetime:
    """Return when a box that was addressed at *now* and says nothing counts as silent.

    The time until its window opens, or until *opens_at* where the plan says more than a
    window, and the delay it was told to draw, are not silence.
    """
    if opens_at is not None:
        start = opens_at
    else:
        start = now if window is None else next_opening(window, zone, now)
    return start + spread + silent_after


@dataclass(frozen=True, slots=True)
class LeaseFacts:
    """What a lease is decided from.

    Attributes:
        attempt: Of the box's row; 0 when it was never assigned.
        has_place: The box itself is counted beside others: its lease has not run out, or it
            is in a trial that does not count yet.
        in_flight: Other boxes of which that is so; asked for boxes that have no place.
        release_withdrawn: The release was taken back.
    """

    rollout_state: RolloutState
    wave_state: WaveState
    box_state: BoxState
    attempt: int
    has_place: bool
    in_flight: int
    in_flight_max: int
    lease: timedelta
    window: Window | None
    zone: ZoneInfo
    release_withdrawn: bool


@dataclass(frozen=True, slots=True)
class Granted:
    """The box may go on until *expires_at*."""

    expires_at: datetime


@dataclass(frozen=True, slots=True)
class NotNow:
    """The box may not; *reason* is the wire's code, *retry_after_s* when to ask again."""

    reason: str
    retry_after_s: int


def decide_lease(facts: LeaseFacts, attempt: int, now: datetime) -> Granted | NotNow:
    """Return whether the box may start, or arm, *attempt* at *now*.

    A box that asks twice is answered twice the same; one that has let its lease run out
    waits for a place like any other, also to arm. Whatever is not plainly allowed is refused.
    """
    if facts.release_withdrawn:
        return NotNow("denied", RETRY_AFTER_S_MAX)
    if facts.rollout_state in (RolloutState.PAUSED, RolloutState.SCHEDULED):
        return NotNow("paused", 60)
    if not _may_work(facts, attempt):
        return NotNow("stopped", RETRY_AFTER_S_MAX)
    if facts.window is not None and not is_open(facts.window, facts.zone, now):
        opens_at = next_opening(facts.window, facts.zone, now)
        wait_s = int((opens_at - now).total_seconds())
        return NotNow("window", max(RETRY_AFTER_S_MIN, min(wait_s, RETRY_AFTER_S_MAX)))
    if not facts.has_place and facts.in_flight >= facts.in_flight_max:
        return NotNow("full", RETRY_AFTER_S_MIN)
    return Granted(now + facts.lease)


def _may_work(facts: LeaseFacts, attempt: int) -> bool:
    return (
        facts.rollout_state is RolloutState.RUNNING
        and facts.wave_state not in (WaveState.WAITING, WaveState.HALTED)
        and facts.box_state not in VERDICTS
        and facts.box_state is not BoxState.QUEUED
        and attempt == facts.attempt >= 1
    )


def keeps_place(lease_until: datetime | None, now: datetime) -> bool:
    """Return whether a box that works on at *now* still has the place that it was given.

    One whose lease ran out has lost it: it is at work and counts, so that nobody else begins
    in its place, but it waits for one before it arms.
    """
    return lease_until is not None and lease_until > now


def tally_of(
    states: Sequence[tuple[BoxState, str | None, int]], *, beside: bool = False
) -> dict[Outcome, int]:
    """Return how many boxes have each outcome, from (state, reason, how many) rows."""
    found = dict.fromkeys(Outcome, 0)
    for state, reason, boxes in states:
        found[outcome(state, reason, beside=beside)] += boxes
    return found
