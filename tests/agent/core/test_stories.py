"""What a box does about assignments, told as stories of the machine alone."""

from dataclasses import replace

import pytest
from oleada_agent.machine import step
from oleada_agent.machine_events import (
    Arm,
    AssignReceived,
    Authorise,
    Authorised,
    AuthorityRefused,
    AuthorityUnknown,
    Booted,
    Checkpointed,
    Command,
    ConditionsChecked,
    DenyListed,
    Event,
    Fetch,
    Fetched,
    HealthPassed,
    LeaseAnswered,
    MarkBad,
    ReadBackPassed,
    Reboot,
    ReportAcked,
    SendReport,
    SlotArmed,
    SlotEmptied,
    SlotMarkedGood,
    StopFetch,
    Tidied,
    WakeIn,
    Woken,
)
from oleada_agent.machine_states import (
    Assigned,
    Committed,
    Declined,
    Downloading,
    Failed,
    Gate,
    Idle,
    Reported,
    RolledBack,
    Running,
    State,
    Trial,
    Written,
)
from oleada_wire.messages import Assignment
from oleada_wire.words import BootReason, LeasePhase, Phase, Reason

from tests.agent.core.events import ASSIGNMENT, DRAW, LEASE_MS, NAME, NOW_MS

OLD = Booted("A", "1.0.0", "boot-1", BootReason.POWER_ON)
OLD_AGAIN = replace(OLD, boot_id="boot-2")
NEW = Booted("B", "1.1.0", "boot-2", BootReason.UPDATE, successful=False)
TO_DOWNLOAD: tuple[Event, ...] = (
    OLD,
    AssignReceived(1, ASSIGNMENT, DRAW),
    Authorised(*NAME, DRAW),
    Woken(),
    ConditionsChecked(),
    LeaseAnswered(*NAME, LeasePhase.START, True, LEASE_MS),
    SlotEmptied("B"),
)
TO_WRITTEN: tuple[Event, ...] = (
    *TO_DOWNLOAD,
    Checkpointed(*NAME, 50),
    Fetched(*NAME),
    ReadBackPassed(*NAME),
    Authorised(*NAME),
    ConditionsChecked(),
)
TO_REBOOT: tuple[Event, ...] = (
    *TO_WRITTEN,
    LeaseAnswered(*NAME, LeasePhase.ARM, True, LEASE_MS),
    SlotArmed("B"),
)
TO_COMMITTED: tuple[Event, ...] = (*TO_REBOOT, NEW, HealthPassed(), SlotMarkedGood("B"))
TO_IDLE: tuple[Event, ...] = (*TO_COMMITTED, ReportAcked(*NAME, 6), Tidied())


def told(*events: Event, start: State | None = None) -> tuple[State, list[Command]]:
    """Return the state after *events*, and every command on the way."""
    state, commands = start or State(), list[Command]()
    for event in events:
        found = step(state, event, NOW_MS)
        state = found.state
        commands += found.commands
    return state, commands


def reports(commands: list[Command]) -> list[tuple[int, Phase, Reason | None]]:
    return [
        (command.report.step, command.report.phase, command.report.reason)
        for command in commands
        if isinstance(command, SendReport)
    ]


def another(**changes: object) -> Assignment:
    return replace(ASSIGNMENT, **changes)  # type: ignore[arg-type]


def test_a_good_update_is_told_step_by_step() -> None:
    state, commands = told(*TO_IDLE)

    assert state.stage == Idle()
    assert state.running == Running("B", "1.1.0", "boot-2", successful=True)
    assert state.security_floor == 2
    assert reports(commands) == [
        (1, Phase.DOWNLOADING, None),
        (2, Phase.DOWNLOADING, None),
        (3, Phase.INSTALLING, None),
        (4, Phase.RESTARTING, None),
        (5, Phase.CHECKING, None),
        (6, Phase.UPDATED, None),
    ]
    assert Arm("B", 4) in commands


def test_every_event_of_an_update_may_come_twice() -> None:
    twice = [event for event in TO_IDLE for _ in range(2)]

    state, commands = told(*twice)

    assert state.stage == Idle()
    assert reports(commands)[-1] == (6, Phase.UPDATED, None)


def test_a_box_waits_its_share_of_the_spread() -> None:
    _, commands = told(*TO_DOWNLOAD[:3])

    assert WakeIn(30_000) in commands


def test_metadata_that_has_not_come_is_waited_for_as_long_as_the_authority_says() -> None:
    state, commands = told(*TO_DOWNLOAD[:2], AuthorityUnknown(*NAME), Woken())
    assert commands.count(Authorise(ASSIGNMENT, 0, "1.0.0")) == 2

    found = step(state, Woken(), ASSIGNMENT.expires_ms)
    assert found.commands == (Authorise(ASSIGNMENT, 0, "1.0.0"),)
    found = step(found.state, AuthorityRefused(*NAME, Reason.EXPIRED), ASSIGNMENT.expires_ms)

    assert isinstance(found.state.stage, Declined)
    assert found.state.stage.verdict.reason is Reason.EXPIRED


@pytest.mark.parametrize("steps", [3, 4, 5])
def test_what_seems_to_have_expired_is_asked_about_wherever_the_box_waits(steps: int) -> None:
    state, _ = told(*TO_DOWNLOAD[:steps])
    assert isinstance(state.stage, Assigned)

    found = step(state, Woken(), ASSIGNMENT.expires_ms)

    assert found.commands == (Authorise(ASSIGNMENT, 0, "1.0.0"),)
    assert isinstance(found.state.stage, Assigned)
    assert found.state.stage.gate is Gate.AUTHORITY


def test_what_runs_already_is_success_without_a_download() -> None:
    state, commands = told(replace(OLD, version="1.1.0"), AssignReceived(1, ASSIGNMENT))

    assert isinstance(state.stage, Committed)
    assert reports(commands) == [(1, Phase.UPDATED, None)]


def test_what_runs_but_was_never_proven_is_tried_not_believed() -> None:
    state, commands = told(NEW, AssignReceived(1, ASSIGNMENT), Authorised(*NAME))

    assert isinstance(state.stage, Trial)
    assert state.stage.work.target == "B"
    assert reports(commands) == [(1, Phase.CHECKING, None)]


def test_a_slot_is_not_overwritten_while_the_running_one_is_unproven() -> None:
    unproven = replace(OLD, successful=False)
    state, _ = told(unproven, *TO_DOWNLOAD[1:5])
    assert isinstance(state.stage, Assigned)
    assert state.stage.gate is Gate.CONDITIONS

    state, _ = told(HealthPassed(), SlotMarkedGood("A"), Woken(), *TO_DOWNLOAD[4:], start=state)

    assert isinstance(state.stage, Downloading)


def test_a_lease_refused_in_the_middle_pauses_and_judges_nothing() -> None:
    refused = LeaseAnswered(*NAME, LeasePhase.START, False, retry_after_s=120, reason="paused")
    state, commands = told(*TO_DOWNLOAD, Checkpointed(*NAME, 50), refused)

    assert isinstance(state.stage, Downloading)
    assert (state.stage.gate, state.stage.done_bytes) == (Gate.CONDITIONS, 50)
    assert commands[-2:] == [StopFetch(), WakeIn(120_000)]

    granted = LeaseAnswered(*NAME, LeasePhase.START, True, LEASE_MS)
    state = replace(
        state, stage=replace(state.stage, work=replace(state.stage.work, lease_until_ms=0))
    )
    _, commands = told(Woken(), ConditionsChecked(), granted, start=state)
    assert Fetch(ASSIGNMENT, "B", 50) in commands


def test_a_download_asks_for_more_time_at_half_its_lease_and_stops_at_the_end() -> None:
    state, commands = told(*TO_DOWNLOAD)
    assert WakeIn(300_000) in commands

    half = step(state, Woken(), NOW_MS + 300_000)
    over = step(half.state, Woken(), LEASE_MS)

    assert not any(isinstance(command, StopFetch) for command in half.commands)
    assert over.commands[0] == StopFetch()


def test_a_power_cut_in_the_download_goes_on_from_the_checkpoint() -> None:
    _, commands = told(*TO_DOWNLOAD, Checkpointed(*NAME, 50), OLD_AGAIN, ConditionsChecked())

    assert commands[-2] == Fetch(ASSIGNMENT, "B", 50)
    assert reports(commands)[-1] == (2, Phase.DOWNLOADING, None)


@pytest.mark.parametrize("so_far", [TO_DOWNLOAD[:2], TO_DOWNLOAD[:6], TO_DOWNLOAD, TO_WRITTEN])
def test_an_assignment_withdrawn_before_arming_is_cancelled(so_far: tuple[Event, ...]) -> None:
    state, commands = told(*so_far, AssignReceived(2, None))

    assert isinstance(state.stage, Failed)
    assert state.stage.verdict.reason is Reason.CANCELLED
    is_touched = len(so_far) > 2
    assert (MarkBad("B") in commands[-3:]) == is_touched
    assert state.quarantined == ()


def test_an_assignment_withdrawn_after_arming_finishes_its_trial() -> None:
    state, commands = told(*TO_REBOOT, AssignReceived(2, None), *TO_COMMITTED[-3:])

    assert isinstance(state.stage, Committed)
    assert reports(commands)[-1][1] is Phase.UPDATED


def test_a_newer_assignment_replaces_an_older_and_both_get_a_verdict() -> None:
    newer = another(assignment_id="AS-2", sha256="2" * 64, version="1.2.0")
    state, _ = told(*TO_DOWNLOAD, AssignReceived(2, newer))
    assert isinstance(state.stage, Failed)

    state, _ = told(ReportAcked(*NAME, state.stage.verdict.step), Tidied(), start=state)

    assert isinstance(state.stage, Assigned)
    assert state.stage.work.assignment == newer


def test_a_newer_assignment_in_the_trial_waits_for_the_verdict() -> None:
    newer = another(assignment_id="AS-2", sha256="2" * 64, version="1.2.0")

    state, _ = told(*TO_REBOOT, NEW, AssignReceived(2, newer), *TO_IDLE[-4:])

    assert isinstance(state.stage, Assigned)
    assert state.stage.work.assignment == newer
    assert state.stage.work.target == "A"


def test_a_renewal_of_the_same_attempt_changes_nothing_but_its_dates() -> None:
    renewed = another(expires_ms=ASSIGNMENT.expires_ms + 1)
    state, commands = told(*TO_DOWNLOAD, AssignReceived(2, renewed))

    assert isinstance(state.stage, Downloading)
    assert state.stage.work.assignment == renewed
    assert not any(isinstance(command, StopFetch) for command in commands)


def test_a_stale_assignment_does_nothing() -> None:
    state, _ = told(*TO_IDLE)

    again, commands = told(AssignReceived(1, another(assignment_id="AS-0")), start=state)

    assert again == state
    assert commands == []


def test_a_retry_is_the_same_assignment_with_the_next_attempt() -> None:
    cut = replace(OLD, boot_id="boot-9", boot_reason=BootReason.FALLBACK)
    state, commands = told(*TO_REBOOT, NEW, cut)
    assert isinstance(state.stage, RolledBack)
    assert reports(commands)[-1] == (6, Phase.ROLLED_BACK, Reason.POWER_CUT_IN_TRIAL)

    retry = AssignReceived(2, another(attempt=2))
    state, _ = told(ReportAcked(*NAME, 6), retry, Tidied(), start=state)

    assert isinstance(state.stage, Assigned)
    assert state.stage.work.assignment.attempt == 2


def test_an_image_rolled_back_here_is_never_tried_again() -> None:
    never_up = replace(OLD, boot_id="boot-9", boot_reason=BootReason.FALLBACK)
    state, commands = told(*TO_REBOOT, never_up)
    assert reports(commands)[-1][2] is Reason.UNBOOTABLE

    retry = AssignReceived(2, another(assignment_id="AS-7"))
    state, _ = told(ReportAcked(*NAME, 5), Tidied(), retry, start=state)

    assert isinstance(state.stage, Declined)
    assert state.stage.verdict.reason is Reason.QUARANTINED


def test_a_trial_without_the_server_is_rolled_back_and_told_from_the_old_slot() -> None:
    state, commands = told(*TO_REBOOT, NEW, Woken())
    assert commands[-2:] == [MarkBad("B"), Reboot()]

    state, commands = told(replace(OLD, boot_id="boot-3"), start=state)

    assert isinstance(state.stage, RolledBack)
    assert reports(commands) == [(6, Phase.ROLLED_BACK, Reason.NO_SERVER_CONTACT)]
    assert state.stage.verdict.running_slot == "A"
    assert state.security_floor == 0


def test_a_version_that_stops_by_itself_is_to_blame_a_pulled_plug_is_not() -> None:
    stopped = replace(NEW, boot_id="boot-3", after_watchdog=True)
    back = replace(OLD, boot_id="boot-4", boot_reason=BootReason.FALLBACK)

    _, commands = told(*TO_REBOOT, NEW, stopped, back)

    assert reports(commands)[-1][2] is Reason.HEALTH_CHECK


def test_a_commit_that_was_not_written_down_is_finished() -> None:
    proven = replace(NEW, boot_id="boot-3", successful=True)

    state, commands = told(*TO_REBOOT, NEW, HealthPassed(), proven)

    assert isinstance(state.stage, Committed)
    assert state.security_floor == 2
    assert reports(commands)[-1][1] is Phase.UPDATED


def test_an_image_denied_in_its_trial_is_rolled_back() -> None:
    _, commands = told(*TO_REBOOT, NEW, DenyListed((ASSIGNMENT.sha256,)))

    assert commands[-2:] == [MarkBad("B"), Reboot()]


def test_restarts_without_progress_end_in_a_rollback() -> None:
    starts = [replace(OLD, boot_id=f"boot-{number}") for number in range(2, 40)]

    state, commands = told(*TO_DOWNLOAD, *starts)

    assert isinstance(state.stage, RolledBack)
    assert state.stage.verdict.reason is Reason.LOOP_BREAKER
    assert MarkBad("B") in commands


def test_restarts_while_the_rollout_is_paused_are_no_loop() -> None:
    events: list[Event] = []
    for number in range(100):
        events += [replace(OLD, boot_id=f"boot-{number}"), ReadBackPassed(*NAME)]
        events += [Authorised(*NAME), ConditionsChecked()]
        events.append(LeaseAnswered(*NAME, LeasePhase.ARM, False, reason="paused"))

    state, _ = told(*TO_WRITTEN, *events)

    assert isinstance(state.stage, Written)


def test_a_box_that_can_not_leave_the_bad_slot_tells_from_there() -> None:
    state, _ = told(*TO_REBOOT, NEW, Woken())
    starts = [replace(NEW, boot_id=f"boot-{number}") for number in range(3, 8)]

    state, commands = told(*starts, start=state)

    assert commands.count(Reboot()) == 3
    assert isinstance(state.stage, RolledBack)
    assert state.stage.verdict.running_slot == "B"
    assert reports(commands)[0][1] is Phase.ROLLED_BACK


def test_the_server_that_lost_a_verdict_is_told_again() -> None:
    state, _ = told(*TO_IDLE)

    state, commands = told(AssignReceived(9, ASSIGNMENT), start=state)

    assert state.stage == Idle()
    assert reports(commands) == [(6, Phase.UPDATED, None)]


def test_a_verdict_is_acknowledged_by_its_own_step_only() -> None:
    state, _ = told(*TO_COMMITTED, ReportAcked(*NAME, 5))
    assert isinstance(state.stage, Committed)

    state, _ = told(ReportAcked(*NAME, 6), start=state)

    assert state.stage == Reported()


def test_the_floor_of_a_box_that_lost_its_journal_is_that_of_its_proven_image() -> None:
    state, _ = told(replace(OLD, security_version=5))

    assert state.security_floor == 5
    assert told(replace(NEW, security_version=9), start=state)[0].security_floor == 5
