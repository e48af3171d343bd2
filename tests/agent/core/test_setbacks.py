"""What goes wrong on the way, and what the box makes of it."""

from dataclasses import replace

import pytest
from oleada_agent.machine_events import (
    AskLease,
    AssignReceived,
    Authorise,
    AuthorityUnknown,
    CheckConditions,
    ConditionsChecked,
    ConditionsLost,
    DenyListed,
    Event,
    Fetched,
    FetchFailed,
    HealthFailed,
    HealthPassed,
    LeaseAnswered,
    MarkBad,
    MarkGood,
    ReadBackFailed,
    Reboot,
    ReportAcked,
    SendReport,
    ServerContacted,
    SlotMarkedGood,
    StartTrial,
    StopFetch,
    StorageFailed,
    Tidied,
    TrustChanged,
    WakeIn,
    Woken,
)
from oleada_agent.machine_states import (
    Armed,
    Assigned,
    Committed,
    Declined,
    Downloading,
    Failed,
    Gate,
    Idle,
    RolledBack,
    Trial,
)
from oleada_wire.words import BootReason, LeasePhase, Phase, Reason

from tests.agent.core.events import ASSIGNMENT, NAME
from tests.agent.core.test_stories import (
    NEW,
    OLD,
    TO_COMMITTED,
    TO_DOWNLOAD,
    TO_REBOOT,
    TO_WRITTEN,
    another,
    reports,
    told,
)

DENIED = DenyListed((ASSIGNMENT.sha256,))


def test_metadata_that_comes_late_is_looked_at_at_once() -> None:
    _, commands = told(*TO_DOWNLOAD[:2], AuthorityUnknown(*NAME), TrustChanged())

    assert commands[-1] == Authorise(ASSIGNMENT, 0, "1.0.0")


def test_a_window_that_closes_in_the_download_pauses_it() -> None:
    for lost in (ConditionsLost("window", 9_000), ConditionsChecked("window", 9_000)):
        state, commands = told(*TO_DOWNLOAD, lost)

        assert isinstance(state.stage, Downloading)
        assert state.stage.gate is Gate.CONDITIONS
        assert commands[-2:] == [StopFetch(), WakeIn(9_000)]


def test_the_window_is_looked_at_whenever_a_lease_is_renewed() -> None:
    _, commands = told(*TO_DOWNLOAD, Woken())

    assert AskLease(*NAME, LeasePhase.START) in commands[-3:]
    assert CheckConditions(ASSIGNMENT.window) in commands[-3:]


def test_a_window_that_closes_before_arming_leaves_the_slot_unarmed() -> None:
    state, _ = told(*TO_WRITTEN, ConditionsLost("viewer", 9_000))

    assert not isinstance(state.stage, Armed)


@pytest.mark.parametrize("asked_s", [0, -5])
def test_a_lease_that_may_be_asked_for_again_at_once_is_asked_for_a_second_later(
    asked_s: int,
) -> None:
    no = LeaseAnswered(*NAME, LeasePhase.START, granted=False, retry_after_s=asked_s)

    _, commands = told(*TO_DOWNLOAD[:-2], no)

    assert commands[-1] == WakeIn(1_000)


def test_a_download_that_fails_for_good_is_a_verdict_with_its_reason() -> None:
    state, commands = told(*TO_DOWNLOAD, FetchFailed(*NAME, Reason.WRONG_SIZE, "too long"))

    assert isinstance(state.stage, Failed)
    assert (state.stage.verdict.reason, state.stage.verdict.detail) == (
        Reason.WRONG_SIZE,
        "too long",
    )
    assert MarkBad("B") in commands[-3:]


@pytest.mark.parametrize(
    "reason", [Reason.WRONG_DIGEST, Reason.WRONG_CONTENT, Reason.WRONG_HARDWARE]
)
def test_what_reads_back_otherwise_is_never_armed(reason: Reason) -> None:
    state, commands = told(*TO_DOWNLOAD, Fetched(*NAME), ReadBackFailed(*NAME, reason))

    assert isinstance(state.stage, Failed)
    assert reports(commands)[-1] == (3, Phase.FAILED, reason)
    assert MarkBad("B") in commands[-3:]


def test_a_trial_that_reached_the_server_but_never_got_well_blames_its_health() -> None:
    state, _ = told(*TO_REBOOT, NEW, ServerContacted(), Woken())

    assert isinstance(state.stage, RolledBack)
    assert state.stage.verdict.reason is Reason.HEALTH_CHECK
    assert state.stage.verdict.detail == "a health check did not pass within 600 s"


def test_a_probe_that_fails_for_good_ends_the_trial_at_once() -> None:
    state, commands = told(*TO_REBOOT, NEW, HealthFailed(detail="no picture"))

    assert isinstance(state.stage, RolledBack)
    assert state.stage.verdict.detail == "no picture"
    assert state.quarantined == (ASSIGNMENT.sha256,)
    assert commands[-2:] == [MarkBad("B"), Reboot()]


def test_a_commit_that_the_disk_refuses_is_tried_again_and_at_last_rolled_back() -> None:
    refusals: list[Event] = [StorageFailed("read-only"), Woken()]
    state, commands = told(*TO_REBOOT, NEW, HealthPassed(), *refusals)
    assert isinstance(state.stage, Trial)
    assert commands[-2:] == [WakeIn(60_000), MarkGood("B")]

    state, _ = told(*(refusals * 32), start=state)

    assert isinstance(state.stage, RolledBack)
    assert state.stage.verdict.reason is Reason.STORAGE
    assert state.quarantined == ()


def test_a_slot_that_runs_unproven_and_unknown_proves_itself() -> None:
    state, commands = told(NEW, HealthPassed(), SlotMarkedGood("B"))

    assert state.stage == Idle()
    assert commands == [StartTrial("", 0), MarkGood("B")]
    assert state.running.successful


def test_an_image_denied_before_anything_was_written_is_declined() -> None:
    state, commands = told(*TO_DOWNLOAD[:4], DENIED)

    assert isinstance(state.stage, Declined)
    assert reports(commands) == [(1, Phase.DECLINED, Reason.DENIED)]


@pytest.mark.parametrize("so_far", [TO_DOWNLOAD, TO_WRITTEN, TO_REBOOT[:-1], TO_REBOOT])
def test_an_image_denied_before_its_trial_never_boots(so_far: tuple[Event, ...]) -> None:
    state, commands = told(*so_far, DENIED)

    assert isinstance(state.stage, Failed)
    assert state.stage.verdict.reason is Reason.DENIED
    assert MarkBad("B") in commands[-3:]


def test_another_image_on_the_deny_list_stops_nothing() -> None:
    before, _ = told(*TO_DOWNLOAD)

    after, commands = told(DenyListed(("f" * 64,)), start=before)

    assert (after, commands) == (before, [])


def test_a_verdict_that_the_disk_refused_to_keep_is_said_again() -> None:
    state, _ = told(*TO_COMMITTED)
    assert isinstance(state.stage, Committed)

    _, commands = told(StorageFailed(), Woken(), start=state)

    assert commands == [WakeIn(60_000), SendReport(state.stage.verdict)]


def test_a_slot_that_the_disk_refused_to_mark_bad_is_marked_again() -> None:
    state, _ = told(*TO_DOWNLOAD, AssignReceived(2, None))
    assert isinstance(state.stage, Failed)

    _, commands = told(StorageFailed(), Woken(), start=state)

    assert commands == [WakeIn(60_000), MarkBad("B"), SendReport(state.stage.verdict)]


def test_clearing_away_that_the_disk_refuses_keeps_no_box_from_its_next_update() -> None:
    state, _ = told(*TO_COMMITTED, ReportAcked(*NAME, 6), StorageFailed())

    assert state.stage == Idle()


def test_an_image_that_was_put_back_for_the_disk_is_not_to_blame_and_tried_again() -> None:
    put_back = replace(OLD, boot_id="boot-9", boot_reason=BootReason.FALLBACK, put_back=True)
    state, commands = told(*TO_REBOOT, put_back)
    assert reports(commands)[-1] == (5, Phase.ROLLED_BACK, Reason.STORAGE)

    retry = AssignReceived(2, another(attempt=2))
    state, _ = told(ReportAcked(*NAME, 5), Tidied(), retry, start=state)

    assert isinstance(state.stage, Assigned)
