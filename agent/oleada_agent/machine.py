"""The machine: what a box does about an assignment, whatever happens to it meanwhile.

Sans-IO: ``step`` takes the state, one event and the time, and returns the next state
and the commands to run. It knows no clock, no dice, no disk. The rule of its shell:
*store the new state, then run the commands; after a power cut load it and feed*
``Booted``; *every command may run twice.* Every transition stands in
tests/golden/agent/transitions.txt.

Rules that hold in every state:

- the slot that runs is never written, and never marked good unless it was booted;
- nothing is armed that was not read back, authorised and leased;
- a verdict is part of the state until the server acknowledges it.
"""

from dataclasses import replace
from typing import Final

from oleada_wire.messages import Assignment
from oleada_wire.words import BootReason, Phase, Reason

from oleada_agent import machine_moves as moves
from oleada_agent.machine_events import (
    DRAW_PARTS,
    AssignReceived,
    Authorised,
    AuthorityRefused,
    AuthorityUnknown,
    Booted,
    Checkpointed,
    ConditionsChecked,
    ConditionsLost,
    DenyListed,
    Event,
    Fetched,
    FetchFailed,
    HealthFailed,
    HealthPassed,
    LeaseAnswered,
    MarkGood,
    ReadBack,
    ReadBackFailed,
    ReadBackPassed,
    Reboot,
    ReportAcked,
    SendReport,
    ServerContacted,
    SlotArmed,
    SlotEmptied,
    SlotMarkedGood,
    StartTrial,
    StorageFailed,
    Tidied,
    Tidy,
    TrustChanged,
    WakeIn,
    Woken,
)
from oleada_agent.machine_moves import Gated, Step, names, to
from oleada_agent.machine_states import (
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
    Rebooting,
    Reported,
    RolledBack,
    Running,
    SlotBad,
    State,
    Trial,
    Work,
    Written,
    other_slot,
)

BEFORE_RETURN: Final = Assigned | SlotBad | Downloading | Written
STORAGE_RETRY_MS: Final = 60_000
UNPROVEN_RETRY_MS: Final = 60_000
LEASE_AGAIN_MS_MIN: Final = 1_000
"""However soon an answer asks to be asked again."""
DENIED: Final = "the server's deny list names this image"


def step(state: State, event: Event, now_ms: int) -> Step:
    """Return the next state and the commands to run, in order.

    An event that means nothing in *state* (a duplicate, or one that crossed a restart)
    leaves it as it is: MQTT delivers at least once. *now_ms* is UTC milliseconds.
    """
    match state.stage, event:
        case _, Booted():
            return _booted(state, event)

        # An assignment comes, is renewed, replaced or withdrawn.
        case _, AssignReceived(assignment_seq=seq) if seq <= state.assignment_seq:
            return Step(state)
        case _, AssignReceived():
            return _assigned(replace(state, assignment_seq=event.assignment_seq), event)

        # May it run here? Asked before anything is touched, and again before arming.
        case (Assigned(work, Gate.AUTHORITY) | Written(work, Gate.AUTHORITY)) as stage, (
            Authorised(name, attempt) | AuthorityRefused(name, attempt)
            | AuthorityUnknown(name, attempt)
        ) if names(work, name, attempt):  # fmt: skip
            return _authority(state, stage, event)
        case ((Assigned(work, Gate.AUTHORITY) | Written(work, Gate.AUTHORITY)), TrustChanged()):
            return Step(state, (moves.authorise(state, work),))

        # Is now a good time, and does the server agree?
        case (Assigned() | Downloading() | Written()) as stage, ConditionsChecked(
            blocked, retry_in_ms, draw
        ) if stage.gate is Gate.CONDITIONS:
            if blocked:
                return moves.wait(state, stage, retry_in_ms, draw)
            if isinstance(stage, Assigned) and not state.running.successful:
                # The other slot may be the only one that is proven.
                return moves.wait(state, stage, UNPROVEN_RETRY_MS, draw)
            if isinstance(stage, Downloading) and now_ms < stage.work.lease_until_ms:
                return moves.open_download(state, stage, now_ms)
            return moves.ask_lease(state, stage, draw)
        case Downloading(gate=Gate.OPEN) as stage, ConditionsChecked(
            blocked, retry_in_ms, draw
        ) if blocked:
            return moves.wait(state, stage, retry_in_ms, draw)
        case (Assigned() | Downloading() | Written()) as stage, ConditionsLost(
            _, retry_in_ms, draw
        ) if stage.gate in {Gate.LEASE, Gate.OPEN}:
            return moves.wait(state, stage, retry_in_ms, draw)
        case (Assigned() | Downloading() | Written()) as stage, LeaseAnswered() if stage.gate in {
            Gate.LEASE,
            Gate.OPEN,
        }:
            return _lease_answered(state, stage, event, now_ms)
        case (Assigned() | Downloading() | Written()) as stage, Woken(draw):
            return _woken(state, stage, now_ms, draw)

        # The spare slot is emptied, filled, read back and armed.
        case SlotBad(work), SlotEmptied(slot) if slot == work.target:
            return moves.begin_download(state, work, now_ms)
        case Downloading(work, done_bytes) as stage, Checkpointed(name, attempt, more_bytes) if (
            names(work, name, attempt) and done_bytes < more_bytes <= work.assignment.size_bytes
        ):
            return moves.checkpoint(state, stage, more_bytes)
        case Downloading(work), Fetched(name, attempt) if names(work, name, attempt):
            told, report = moves.tell(state, work, Phase.INSTALLING, work.assignment.size_bytes)
            return to(state, Written(told), report, ReadBack(work.assignment, work.target))
        case Downloading(work) as stage, FetchFailed(name, attempt, reason, detail) if names(
            work, name, attempt
        ):
            return moves.fail(state, stage, reason, detail)
        case Written(work, Gate.READ_BACK) as stage, ReadBackPassed(name, attempt) if names(
            work, name, attempt
        ):
            return to(state, replace(stage, gate=Gate.AUTHORITY), moves.authorise(state, work))
        case Written(work, Gate.READ_BACK) as stage, ReadBackFailed(
            name, attempt, reason, detail
        ) if names(work, name, attempt):
            return moves.fail(state, stage, reason, detail)
        case Armed(work), SlotArmed(slot) if slot == work.target:
            told, report = moves.tell(state, work, Phase.RESTARTING, work.assignment.size_bytes)
            return to(state, Rebooting(told, state.running.boot_id), report, Reboot())

        # The new slot proves itself, or does not.
        case Trial() as trial, ServerContacted():
            return to(state, replace(trial, contacted=True))
        case Trial(passed=False) as trial, HealthPassed():
            return to(state, replace(trial, passed=True), MarkGood(trial.work.target))
        case Trial(passed=True) as trial, SlotMarkedGood(slot) if slot == trial.work.target:
            return moves.commit_trial(state, trial.work)
        case Trial(passed=True) as trial, Woken():
            return to(state, trial, MarkGood(trial.work.target))
        case Trial(passed=False) as trial, HealthFailed(reason, detail):
            return moves.roll_back(state, trial.work, reason, detail)
        case Trial(passed=False) as trial, Woken():
            return _trial_over(state, trial)
        case Trial(passed=True) as trial, StorageFailed(detail):
            again = moves.lap(state, trial)
            if again is None:
                return moves.roll_back(state, trial.work, Reason.STORAGE, detail)
            return to(state, again, WakeIn(STORAGE_RETRY_MS))

        # A slot that runs unproven and unknown: its journal or boot control was lost.
        case Idle() | Assigned(), HealthPassed() if not state.running.successful:
            return Step(state, (MarkGood(state.running.slot),))
        case Idle() | Assigned(), SlotMarkedGood(slot) if slot == state.running.slot:
            return Step(replace(state, running=replace(state.running, successful=True)))

        # The disk refuses, or the image is denied.
        case (SlotBad() | Downloading() | Written() | Armed()) as stage, StorageFailed(detail):
            return moves.fail(state, stage, Reason.STORAGE, detail)
        case Assigned(work), DenyListed(digests) if work.assignment.sha256 in digests:
            return moves.decline(state, work, Reason.DENIED, DENIED)
        case (
            (
                SlotBad(work) | Downloading(work) | Written(work) | Armed(work) | Rebooting(work)
            ) as s,
            DenyListed(digests),
        ) if work.assignment.sha256 in digests:
            return moves.fail(state, s, Reason.DENIED, DENIED)
        case Trial(work, passed=False), DenyListed(digests) if work.assignment.sha256 in digests:
            return moves.roll_back(state, work, Reason.DENIED, DENIED)

        # The server has the verdict; the box is free for what has waited.
        case (
            (Committed(verdict) | Declined(verdict) | Failed(verdict) | RolledBack(verdict)),
            ReportAcked(name, attempt, told_step),
        ) if (verdict.assignment_id, verdict.attempt, verdict.step) == (name, attempt, told_step):
            return to(state, Reported(), Tidy())
        case ((Committed() | Declined() | Failed() | RolledBack()), StorageFailed()):
            return Step(state, (WakeIn(STORAGE_RETRY_MS),))
        case (Committed() | Declined()) as stage, Woken():
            return Step(state, (SendReport(stage.verdict),))
        case (Failed() | RolledBack()) as stage, Woken():
            return moves.leave(state, stage)
        case Reported(), Tidied() | StorageFailed():
            return moves.take_up_waiting(state)
        case _:
            return Step(state)


def _booted(state: State, event: Booted) -> Step:
    """Return what a start does; nothing but the state survived."""
    same_boot = event.boot_id == state.running.boot_id
    running = Running(event.slot, event.version, event.boot_id, event.successful)
    floor = max(state.security_floor, event.security_version if event.successful else 0)
    state = replace(state, running=running, security_floor=floor)
    match state.stage:
        case Idle():
            return Step(state, _prove(running))
        case Assigned(work):
            work = replace(work, target=other_slot(running.slot))
            return to(state, Assigned(work), *_prove(running), moves.authorise(state, work))
        case SlotBad() | Downloading() | Written() as stage:
            return _booted_before_return(state, stage)
        case Armed() | Rebooting() | Trial() as stage:
            return _booted_after_return(state, stage, event, same_boot)
        case Committed(verdict) | Declined(verdict):
            return Step(state, (SendReport(verdict),))
        case Failed() | RolledBack() as stage:
            return moves.leave(state, stage)
        case Reported():
            return Step(state, (Tidy(),))


def _prove(running: Running) -> tuple[StartTrial, ...]:
    """Return the trial of a slot that runs unproven though no update is known."""
    return () if running.successful else (StartTrial("", 0),)


def _booted_before_return(state: State, stage: SlotBad | Downloading | Written) -> Step:
    again = moves.lap(state, stage)
    if again is None:
        detail = f"{state.limits.laps_max} restarts without progress"
        return moves.roll_back(state, stage.work, Reason.LOOP_BREAKER, detail)
    work = again.work
    if state.running.slot == work.target:  # the slot that runs is never written
        work = replace(work, target=other_slot(state.running.slot))
        return to(state, Assigned(work), moves.authorise(state, work))
    match again:
        case SlotBad():
            return moves.mark_bad(state, work)
        case Downloading():
            return moves.look(state, again)
        case _:
            return to(state, Written(work), ReadBack(work.assignment, work.target))


def _booted_after_return(
    state: State, stage: Armed | Rebooting | Trial, event: Booted, same_boot: bool
) -> Step:
    again = moves.lap(state, stage)
    if again is None:
        detail = f"{state.limits.laps_max} restarts without progress"
        return moves.roll_back(state, stage.work, Reason.LOOP_BREAKER, detail)
    work = again.work
    in_new_slot = event.slot == work.target
    match again:
        case Trial() as trial if in_new_slot:
            return _trial_goes_on(state, trial, event)
        case Trial(faults=faults):
            reason = Reason.HEALTH_CHECK if faults else Reason.POWER_CUT_IN_TRIAL
            count = "once" if faults == 1 else f"{faults} times"
            detail = f"the new version stopped by itself {count}" if faults else ""
            return moves.roll_back(state, work, reason, detail)
        case _ if in_new_slot:
            return moves.enter_trial(state, work)
        case Rebooting() if same_boot:
            return to(state, again, Reboot())
        case Armed() if same_boot or event.boot_reason is not BootReason.FALLBACK:
            return to(state, Written(work), ReadBack(work.assignment, work.target))
        case _ if event.put_back:  # the disk's fault, which says nothing against the image
            return moves.roll_back(state, work, Reason.STORAGE, "a start could not be counted")
        case _:
            detail = "the new version never came up"
            return moves.roll_back(state, work, Reason.UNBOOTABLE, detail)


def _trial_goes_on(state: State, trial: Trial, event: Booted) -> Step:
    if event.successful:  # marked good, but the power went before that was stored
        return moves.commit_trial(state, trial.work)
    if trial.passed:
        return to(state, trial, MarkGood(trial.work.target))
    trial = replace(trial, contacted=False, faults=trial.faults + event.after_watchdog)
    return to(state, trial, *moves.trial_commands(state, trial))


def _trial_over(state: State, trial: Trial) -> Step:
    limit_s = state.limits.trial_limit_ms // 1000
    if trial.contacted:
        detail = f"a health check did not pass within {limit_s} s"
        return moves.roll_back(state, trial.work, Reason.HEALTH_CHECK, detail)
    detail = f"the server could not be reached within {limit_s} s"
    return moves.roll_back(state, trial.work, Reason.NO_SERVER_CONTACT, detail)


def _assigned(state: State, event: AssignReceived) -> Step:
    assignment = event.assignment
    stage = state.stage
    if (
        isinstance(stage, InFlight)
        and assignment is not None
        and _is_renewal(stage.work, assignment)
    ):
        return moves.renew(state, stage, assignment)
    if isinstance(stage, BEFORE_RETURN):
        return moves.supersede(state, stage, assignment)
    if assignment is None:
        return Step(replace(state, waiting=None))
    if isinstance(stage, Idle):
        return moves.take_up(state, assignment)
    if isinstance(stage, Ended) and (stage.verdict.assignment_id, stage.verdict.attempt) == (
        assignment.assignment_id,
        assignment.attempt,
    ):
        return Step(state)
    return Step(replace(state, waiting=Offer(assignment)))


def _is_renewal(work: Work, new: Assignment) -> bool:
    old = work.assignment
    same_bytes = (new.sha256, new.size_bytes) == (old.sha256, old.size_bytes)
    return same_bytes and names(work, new.assignment_id, new.attempt)


def _authority(state: State, stage: Assigned | Written, event: Event) -> Step:
    match stage, event:
        case Assigned(work), Authorised(draw=draw):
            if work.assignment.version == state.running.version:  # runs, but was never proven
                return moves.enter_trial(state, work)
            spread_ms = work.assignment.spread_s * 1000 * draw // DRAW_PARTS
            if spread_ms == 0:
                return moves.look(state, stage)
            return to(state, replace(stage, gate=Gate.SPREAD), WakeIn(spread_ms))
        case Written(), Authorised():
            return moves.look(state, stage)
        case Assigned(work), AuthorityRefused(_, _, reason, detail):
            return moves.decline(state, work, reason, detail)
        case _, AuthorityRefused(_, _, reason, detail):
            return moves.fail(state, stage, reason, detail)
        case _, AuthorityUnknown(draw=draw):
            return Step(state, (moves.jittered(state.limits.authority_retry_ms, draw),))
        case _:
            return Step(state)


def _lease_answered(state: State, stage: Gated, event: LeaseAnswered, now_ms: int) -> Step:
    if not names(stage.work, event.assignment_id, event.attempt):
        return Step(state)
    if event.phase is not moves.lease_phase(stage):
        return Step(state)
    if not event.granted or event.expires_ms <= now_ms:
        asked_ms = max(LEASE_AGAIN_MS_MIN, event.retry_after_s * 1000)
        return moves.wait(state, stage, asked_ms, event.draw)
    return moves.leased(state, stage, event.expires_ms, now_ms)


def _woken(state: State, stage: Gated, now_ms: int, draw: int) -> Step:
    """Return what *stage* does after a wait; having waited, it is in no loop of restarts."""
    work = replace(stage.work, laps=0)
    stage = replace(stage, work=work)
    expired = now_ms >= work.assignment.expires_ms
    match stage:
        case Assigned() if expired:  # says this clock; whether it is right others know
            return to(state, replace(stage, gate=Gate.AUTHORITY), moves.authorise(state, work))
        case Assigned(_, Gate.AUTHORITY) | Written(_, Gate.AUTHORITY):
            return to(state, stage, moves.authorise(state, work))
        case Written(_, Gate.READ_BACK):
            return to(state, stage)
        case Downloading(_, gate=Gate.OPEN):
            return moves.renew_lease(state, stage, now_ms, draw)
        case _:
            return moves.look(state, stage)
