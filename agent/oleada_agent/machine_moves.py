"""The moves of the machine: how a stage is entered, told of and left. Pure, as it is.

Every move takes the state and returns a ``Step``; ``machine.step`` says when.
"""

from dataclasses import dataclass, replace
from typing import Final

from oleada_wire.messages import DETAIL_CHARS_MAX, Assignment
from oleada_wire.words import NOT_THE_RELEASE, RETRYABLE, LeasePhase, Phase, Reason

from oleada_agent.machine_events import (
    DRAW_PARTS,
    Arm,
    AskLease,
    Authorise,
    CheckConditions,
    Command,
    Empty,
    Fetch,
    MarkBad,
    Reboot,
    SendReport,
    StartTrial,
    StopFetch,
    WakeIn,
)
from oleada_agent.machine_states import (
    QUARANTINED_MAX,
    Armed,
    Assigned,
    Committed,
    Declined,
    Downloading,
    Ended,
    Failed,
    Gate,
    Idle,
    InFlight,
    Offer,
    ReportDraft,
    RolledBack,
    SlotBad,
    Stage,
    State,
    Trial,
    Work,
    Written,
    other_slot,
)

SPREAD_MS_MAX: Final = 300_000
"""A box that waits for a window must not draw itself past its end."""
LEASE_WAIT_MS_MAX: Final = 86_400_000
"""A timer longer than a day only comes from a clock that is wrong."""
TOLD_SHARE: Final = 10
"""A box tells of its download at every tenth of the image."""
LEAVE_LAPS_MAX: Final = 3
"""Restarts tried to leave a slot that was given up, before telling from there."""

Gated = Assigned | Downloading | Written


@dataclass(frozen=True, slots=True)
class Step:
    """What follows: the state to store, then the commands to run, in order."""

    state: State
    commands: tuple[Command, ...] = ()


def names(work: Work, assignment_id: str, attempt: int) -> bool:
    """Return whether *work* is that attempt of that assignment."""
    found = work.assignment
    return (found.assignment_id, found.attempt) == (assignment_id, attempt)


def to(state: State, stage: Stage, *commands: Command) -> Step:
    """Return *state* in *stage*."""
    return Step(replace(state, stage=stage), commands)


def jittered(delay_ms: int, draw: int) -> WakeIn:
    """Return a wake-up after *delay_ms* and up to half of it, or five minutes, more, by *draw*."""
    least_ms = max(1, delay_ms)
    spread_ms = min(least_ms, 2 * SPREAD_MS_MAX)
    return WakeIn(least_ms + spread_ms * draw // (2 * DRAW_PARTS))


def tell(state: State, work: Work, phase: Phase, done_bytes: int = 0) -> tuple[Work, SendReport]:
    """Return *work* with one report more, and that report; not a verdict."""
    told = replace(work, steps=work.steps + 1)
    return told, SendReport(_draft(state, told, phase, done_bytes))


def _draft(state: State, work: Work, phase: Phase, done_bytes: int = 0) -> ReportDraft:
    return ReportDraft(
        assignment_id=work.assignment.assignment_id,
        attempt=work.assignment.attempt,
        step=work.steps,
        phase=phase,
        version=state.running.version,
        running_slot=state.running.slot,
        done_bytes=done_bytes,
    )


def _verdict(
    state: State, work: Work, phase: Phase, reason: Reason | None = None, detail: str = ""
) -> ReportDraft:
    told = replace(work, steps=work.steps + 1)
    draft = _draft(state, told, phase)
    return replace(draft, reason=reason, detail=detail[:DETAIL_CHARS_MAX])


# -- taking up -------------------------------------------------------------------------


def take_up(state: State, assignment: Assignment) -> Step:
    """Return what an idle box does with *assignment*."""
    last = state.last
    if (
        last is not None
        and last.assignment_id == assignment.assignment_id
        and assignment.attempt <= last.attempt
    ):
        return to(state, Idle(), SendReport(last))  # the server has lost our verdict
    work = Work(assignment, other_slot(state.running.slot), steps=state.first_step)
    if state.running.version == assignment.version and state.running.successful:
        return commit(state, work)
    if assignment.sha256 in state.quarantined:
        return decline(state, work, Reason.QUARANTINED, "this box has rolled this image back")
    return to(state, Assigned(work), authorise(state, work))


def take_up_waiting(state: State) -> Step:
    """Return an idle box, or what it does with the assignment that has waited."""
    idle = replace(state, stage=Idle(), waiting=None, first_step=0)
    return Step(idle) if state.waiting is None else take_up(idle, state.waiting.assignment)


def renew(state: State, stage: InFlight, assignment: Assignment) -> Step:
    """Return the same work under the same attempt, signed anew."""
    renewed = replace(stage, work=replace(stage.work, assignment=assignment))
    if isinstance(renewed, Assigned | Written) and renewed.gate is Gate.AUTHORITY:
        return to(state, renewed, authorise(state, renewed.work))
    return to(state, renewed)


def supersede(state: State, stage: InFlight, assignment: Assignment | None) -> Step:
    """Return the end of *stage*'s attempt in favour of *assignment*, or of nothing."""
    waiting = None if assignment is None else Offer(assignment)
    detail = "the assignment was withdrawn" if assignment is None else "another one replaced it"
    return fail(replace(state, waiting=waiting), stage, Reason.CANCELLED, detail)


def authorise(state: State, work: Work) -> Authorise:
    """Return the question whether *work* may run here."""
    return Authorise(work.assignment, state.security_floor, state.running.version)


# -- gates -----------------------------------------------------------------------------


def lease_phase(stage: Gated) -> LeasePhase:
    """Return what *stage* needs a lease for."""
    return LeasePhase.ARM if isinstance(stage, Written) else LeasePhase.START


def look(state: State, stage: Gated) -> Step:
    """Return *stage* asking whether now is a good time."""
    window = stage.work.assignment.window
    return to(state, replace(stage, gate=Gate.CONDITIONS), CheckConditions(window))


def wait(state: State, stage: Gated, delay_ms: int, draw: int) -> Step:
    """Return *stage* looking again after about *delay_ms*; it lives, so it is in no loop."""
    work = replace(stage.work, laps=0)
    stop = (StopFetch(),) if stage.gate is Gate.OPEN else ()
    waiting = replace(stage, work=work, gate=Gate.CONDITIONS)
    return to(state, waiting, *stop, jittered(delay_ms, draw))


def ask_lease(state: State, stage: Gated, draw: int) -> Step:
    """Return *stage* asking for a lease."""
    found = stage.work.assignment
    return to(
        state,
        replace(stage, gate=Gate.LEASE),
        AskLease(found.assignment_id, found.attempt, lease_phase(stage)),
        jittered(state.limits.lease_answer_ms, draw),
    )


def leased(state: State, stage: Gated, expires_ms: int, now_ms: int) -> Step:
    """Return what *stage* does with a lease until *expires_ms*."""
    work = replace(stage.work, lease_until_ms=expires_ms)
    match stage:
        case Assigned():
            return mark_bad(state, work)
        case Downloading():
            return open_download(state, replace(stage, work=work), now_ms)
        case Written():
            return to(state, Armed(work), Arm(work.target, state.limits.tries))


def mark_bad(state: State, work: Work) -> Step:
    """Return the stage in which the spare slot is made unbootable."""
    return to(state, SlotBad(work), MarkBad(work.target), Empty(work.target))


def open_download(state: State, stage: Downloading, now_ms: int) -> Step:
    """Return *stage* downloading under its lease, which is renewed at half its time."""
    work = stage.work
    half_ms = min((work.lease_until_ms - now_ms) // 2, LEASE_WAIT_MS_MAX)
    wake = WakeIn(max(1, half_ms))
    if stage.gate is Gate.OPEN:
        return to(state, stage, wake)
    fetch = Fetch(work.assignment, work.target, stage.done_bytes)
    return to(state, replace(stage, gate=Gate.OPEN), fetch, wake)


def begin_download(state: State, work: Work, now_ms: int) -> Step:
    """Return the download of an image of which nothing is in the slot yet."""
    told, report = tell(state, work, Phase.DOWNLOADING)
    stage = Downloading(told)
    if now_ms >= work.lease_until_ms:
        begun = look(state, stage)
    else:
        begun = open_download(state, stage, now_ms)
    return Step(begun.state, (report, *begun.commands))


def renew_lease(state: State, stage: Downloading, now_ms: int, draw: int) -> Step:
    """Return *stage* asking for more time, and whether it is still a good one.

    It is paused when its time is over.
    """
    found = stage.work.assignment
    left_ms = min(stage.work.lease_until_ms - now_ms, LEASE_WAIT_MS_MAX)
    if left_ms <= 0:
        asking = ask_lease(state, stage, draw)
        return Step(asking.state, (StopFetch(), *asking.commands))
    ask = AskLease(found.assignment_id, found.attempt, LeasePhase.START)
    check = CheckConditions(found.window)
    return to(state, stage, ask, WakeIn(left_ms), check)


def checkpoint(state: State, stage: Downloading, done_bytes: int) -> Step:
    """Return *stage* with *done_bytes* durable; told at every tenth of the image."""
    work = replace(stage.work, laps=0)
    part_bytes = max(1, work.assignment.size_bytes // TOLD_SHARE)
    if done_bytes // part_bytes == stage.told_bytes // part_bytes:
        return to(state, replace(stage, work=work, done_bytes=done_bytes))
    told, report = tell(state, work, Phase.DOWNLOADING, done_bytes)
    further = replace(stage, work=told, done_bytes=done_bytes, told_bytes=done_bytes)
    return to(state, further, report)


# -- the trial and the ends ------------------------------------------------------------


def lap(state: State, stage: InFlight) -> InFlight | None:
    """Return *stage* after one more restart or repeat; None when there were too many."""
    work = replace(stage.work, laps=stage.work.laps + 1)
    return None if work.laps > state.limits.laps_max else replace(stage, work=work)


def enter_trial(state: State, work: Work) -> Step:
    """Return the trial of the slot that runs."""
    told, report = tell(state, work, Phase.CHECKING)
    trial = Trial(replace(told, target=state.running.slot))
    return to(state, trial, report, *trial_commands(state, trial))


def trial_commands(state: State, trial: Trial) -> tuple[Command, ...]:
    """Return what begins a trial, and begins it again after a restart."""
    found = trial.work.assignment
    return (
        StartTrial(found.assignment_id, found.attempt),
        WakeIn(state.limits.trial_limit_ms),
    )


def commit(state: State, work: Work) -> Step:
    """Return success."""
    return _end(state, Committed(_verdict(state, work, Phase.UPDATED)))


def commit_trial(state: State, work: Work) -> Step:
    """Return the success of a trial; the floor rises only here, when a slot is good for ever."""
    floor = max(state.security_floor, work.assignment.security_version)
    running = replace(state.running, successful=True)
    return commit(replace(state, running=running, security_floor=floor), work)


def decline(state: State, work: Work, reason: Reason, detail: str = "") -> Step:
    """Return the refusal of an assignment for which nothing was touched."""
    return _end(state, Declined(_verdict(state, work, Phase.DECLINED, reason, detail)))


def fail(state: State, stage: InFlight, reason: Reason, detail: str = "") -> Step:
    """Return the end of an attempt before its slot was tried."""
    verdict = _verdict(state, stage.work, Phase.FAILED, reason, detail)
    if isinstance(stage, Assigned):
        return _end(state, Failed(verdict, None))
    target = stage.work.target
    return _end(state, Failed(verdict, target), StopFetch(), MarkBad(target))


def roll_back(state: State, work: Work, reason: Reason, detail: str = "") -> Step:
    """Return the way back to the old slot: a restart when the new one runs, else the verdict."""
    verdict = _verdict(state, work, Phase.ROLLED_BACK, reason, detail)
    known = _quarantine(state.quarantined, work.assignment.sha256, reason)
    state = replace(state, quarantined=known)
    stage = RolledBack(verdict, work.target)
    if state.running.slot == work.target:  # told from the old slot, where it is true
        left = replace(state, stage=stage, last=verdict)
        return Step(left, (MarkBad(work.target), Reboot()))
    return _end(state, stage, StopFetch(), MarkBad(work.target))


def leave(state: State, stage: Failed | RolledBack) -> Step:
    """Return what a start does in *stage*: away from the slot given up, then the verdict."""
    if stage.target is None:
        return to(state, stage, SendReport(stage.verdict))
    if state.running.slot == stage.target and stage.laps < LEAVE_LAPS_MAX:
        again = replace(stage, laps=stage.laps + 1)
        return to(state, again, MarkBad(stage.target), Reboot())
    running = state.running
    verdict = replace(stage.verdict, version=running.version, running_slot=running.slot)
    told = replace(state, last=verdict)
    clean = () if running.slot == stage.target else (MarkBad(stage.target),)
    return to(told, replace(stage, verdict=verdict), *clean, SendReport(verdict))


def _end(state: State, stage: Ended, *clean: Command) -> Step:
    told = replace(state, stage=stage, last=stage.verdict)
    return Step(told, (*clean, SendReport(stage.verdict)))


def _quarantine(known: tuple[str, ...], sha256: str, reason: Reason) -> tuple[str, ...]:
    """Return *known* with *sha256*, unless *reason* says nothing against the image."""
    if reason in RETRYABLE or reason in NOT_THE_RELEASE:
        return known
    return (*(digest for digest in known if digest != sha256), sha256)[-QUARANTINED_MAX:]
