"""What the machine does at the edge of each condition: at the limit, one beside it, for another."""

from dataclasses import replace

import pytest
from oleada_agent.machine import step
from oleada_agent.machine_events import (
    AskLease,
    AssignReceived,
    Authorised,
    AuthorityRefused,
    AuthorityUnknown,
    Booted,
    CheckConditions,
    Checkpointed,
    ConditionsChecked,
    DenyListed,
    Event,
    Fetched,
    FetchFailed,
    HealthPassed,
    LeaseAnswered,
    MarkGood,
    ReadBackFailed,
    ReadBackPassed,
    ReportAcked,
    WakeIn,
    Woken,
)
from oleada_agent.machine_moves import Step
from oleada_agent.machine_states import (
    Assigned,
    Downloading,
    Failed,
    Gate,
    Limits,
    Offer,
    RolledBack,
    State,
    Trial,
    Written,
)
from oleada_wire.messages import Assignment
from oleada_wire.words import BootReason, LeasePhase, Reason

from tests.agent.core.events import ASSIGNMENT, DRAW, LEASE_MS, NAME, NOW_MS
from tests.agent.core.test_transitions import IN_A, IN_B, OTHER, WORK, states

HALF_WAY = replace(IN_A, stage=Downloading(replace(WORK, laps=3), 40, 40, Gate.OPEN))
LOOKING = replace(IN_A, stage=Downloading(WORK, 40, 40))
WAITING = replace(IN_A, stage=Assigned(WORK, Gate.AUTHORITY))


def about(name: tuple[str, int]) -> list[Event]:
    """Return one of each event that names an attempt."""
    return [
        Authorised(*name, DRAW),
        AuthorityRefused(*name, Reason.NOT_COVERED),
        AuthorityUnknown(*name, DRAW),
        Checkpointed(*name, 50),
        Fetched(*name),
        FetchFailed(*name, Reason.DOWNLOAD),
        ReadBackPassed(*name),
        ReadBackFailed(*name, Reason.WRONG_DIGEST),
        ReportAcked(*name, 5),
        *(LeaseAnswered(*name, phase, True, LEASE_MS) for phase in LeasePhase),
    ]


@pytest.mark.parametrize("name", [("AS-9", 1), ("AS-1", 2)])
@pytest.mark.parametrize(("label", "state"), states().items(), ids=states())
def test_what_concerns_another_attempt_changes_nothing(
    label: str, state: State, name: tuple[str, int]
) -> None:
    for event in about(name):
        assert step(state, event, NOW_MS) == Step(state), event


@pytest.mark.parametrize(("label", "state"), states().items(), ids=states())
def test_a_deny_list_of_other_images_changes_nothing(label: str, state: State) -> None:
    assert step(state, DenyListed(("9" * 64,)), NOW_MS) == Step(state)


@pytest.mark.parametrize("more_bytes", [39, 40, 101])
def test_a_checkpoint_that_is_no_progress_or_beyond_the_image_changes_nothing(
    more_bytes: int,
) -> None:
    assert step(HALF_WAY, Checkpointed(*NAME, more_bytes), NOW_MS) == Step(HALF_WAY)


@pytest.mark.parametrize("more_bytes", [41, 100])
def test_a_checkpoint_counts_up_to_the_last_byte(more_bytes: int) -> None:
    found = step(HALF_WAY, Checkpointed(*NAME, more_bytes), NOW_MS).state.stage

    assert isinstance(found, Downloading)
    assert found.done_bytes == more_bytes


def test_a_box_whose_slot_is_unproven_finishes_a_download_that_has_begun() -> None:
    unproven = replace(LOOKING, running=replace(LOOKING.running, successful=False))

    assert AskLease(*NAME, LeasePhase.START) in step(unproven, ConditionsChecked(), NOW_MS).commands


def test_a_box_whose_slot_is_unproven_empties_no_other_and_looks_again_after_a_minute() -> None:
    unproven = replace(IN_B, stage=Assigned(WORK, Gate.CONDITIONS))

    assert step(unproven, ConditionsChecked(), NOW_MS).commands == (WakeIn(60_000),)
    assert step(unproven, ConditionsChecked(draw=DRAW), NOW_MS).commands == (WakeIn(75_000),)


@pytest.mark.parametrize(("left_ms", "asks"), [(-1, True), (0, True), (1, False)])
def test_a_lease_is_over_at_its_very_millisecond(left_ms: int, asks: bool) -> None:
    leased = replace(
        IN_A, stage=Downloading(replace(WORK, lease_until_ms=NOW_MS + left_ms), 40, 40)
    )

    commands = step(leased, ConditionsChecked(), NOW_MS).commands

    assert (AskLease(*NAME, LeasePhase.START) in commands) is asks


@pytest.mark.parametrize(("left_ms", "granted"), [(0, False), (1, True)])
def test_a_granted_lease_counts_until_it_is_over(left_ms: int, granted: bool) -> None:
    asking = replace(IN_A, stage=Downloading(WORK, 40, 40, Gate.LEASE))
    answer = LeaseAnswered(*NAME, LeasePhase.START, True, NOW_MS + left_ms)

    found = step(asking, answer, NOW_MS).state.stage

    assert isinstance(found, Downloading)
    assert (found.gate is Gate.OPEN) is granted


def test_a_refusal_is_one_whatever_time_it_names() -> None:
    asking = replace(IN_A, stage=Downloading(WORK, 40, 40, Gate.LEASE))
    refused = LeaseAnswered(*NAME, LeasePhase.START, False, LEASE_MS, retry_after_s=30)

    found = step(asking, refused, NOW_MS)

    assert isinstance(found.state.stage, Downloading)
    assert found.state.stage.gate is Gate.CONDITIONS
    assert found.commands == (WakeIn(30_000),)


def test_a_slot_that_runs_unproven_proves_itself_with_an_assignment_at_hand() -> None:
    unproven = replace(IN_B, stage=Assigned(WORK, Gate.CONDITIONS))

    assert step(unproven, HealthPassed(), NOW_MS).commands == (MarkGood("B"),)


@pytest.mark.parametrize(
    ("faults", "reason", "detail"),
    [
        (0, Reason.POWER_CUT_IN_TRIAL, ""),
        (1, Reason.HEALTH_CHECK, "the new version stopped by itself once"),
        (2, Reason.HEALTH_CHECK, "the new version stopped by itself 2 times"),
    ],
)
def test_a_trial_that_ended_says_how_often_the_version_stopped_by_itself(
    faults: int, reason: Reason, detail: str
) -> None:
    trial = replace(IN_B, stage=Trial(WORK, faults=faults))

    found = step(trial, Booted("A", "1.0.0", "2", BootReason.FALLBACK), NOW_MS).state.stage

    assert isinstance(found, RolledBack)
    assert (found.verdict.reason, found.verdict.detail) == (reason, detail)


def test_a_start_in_the_trial_counts_the_watchdog_and_hears_the_server_anew() -> None:
    trial = replace(IN_B, stage=Trial(WORK, contacted=True, faults=1))
    after_watchdog = Booted("B", "1.1.0", "2", successful=False, after_watchdog=True)

    found = step(trial, after_watchdog, NOW_MS).state.stage

    assert isinstance(found, Trial)
    assert (found.contacted, found.faults) == (False, 2)


@pytest.mark.parametrize("limit_s", [1, 999, 1000])
def test_a_trial_that_is_over_names_its_limit_in_seconds(limit_s: int) -> None:
    trial = replace(IN_B, stage=Trial(WORK), limits=Limits(trial_limit_ms=limit_s * 1000))

    found = step(trial, Woken(), NOW_MS).state.stage

    assert isinstance(found, RolledBack)
    assert found.verdict.detail == f"the server could not be reached within {limit_s} s"


@pytest.mark.parametrize(
    "other",
    [
        replace(ASSIGNMENT, assignment_id="AS-2"),
        replace(ASSIGNMENT, attempt=2),
        replace(ASSIGNMENT, sha256="3" * 64),
        replace(ASSIGNMENT, size_bytes=101),
    ],
)
def test_only_the_same_attempt_of_the_same_bytes_is_a_renewal(other: Assignment) -> None:
    found = step(HALF_WAY, AssignReceived(1, other), NOW_MS).state

    assert isinstance(found.stage, Failed)
    assert found.stage.verdict.reason is Reason.CANCELLED
    assert found.waiting == Offer(other)


def test_a_renewal_changes_only_how_long_it_holds() -> None:
    renewed = replace(ASSIGNMENT, expires_ms=ASSIGNMENT.expires_ms + 1)

    found = step(HALF_WAY, AssignReceived(1, renewed), NOW_MS)

    assert isinstance(found.state.stage, Downloading)
    assert found.state.stage == Downloading(
        replace(WORK, assignment=renewed, laps=3), 40, 40, Gate.OPEN
    )
    assert found.commands == ()


@pytest.mark.parametrize(
    ("draw", "expected"),
    [(0, CheckConditions(ASSIGNMENT.window)), (1, WakeIn(6)), (DRAW, WakeIn(30_000))],
)
def test_a_box_waits_its_part_of_the_spread_and_looks_at_once_without_one(
    draw: int, expected: object
) -> None:
    assert step(WAITING, Authorised(*NAME, draw), NOW_MS).commands == (expected,)


def test_what_was_read_back_is_authorised_and_looked_at_without_a_spread() -> None:
    written = replace(IN_A, stage=Written(WORK, Gate.AUTHORITY))

    found = step(written, Authorised(*NAME, DRAW), NOW_MS)

    assert found.commands == (CheckConditions(ASSIGNMENT.window),)


def test_an_assignment_that_came_in_a_trial_waits_for_its_end() -> None:
    trial = replace(IN_B, stage=Trial(WORK))

    found = step(trial, AssignReceived(1, OTHER), NOW_MS)

    assert found == Step(replace(trial, assignment_seq=1, waiting=Offer(OTHER)))
