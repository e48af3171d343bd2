"""How far a move goes: reports at each tenth, laps, timers, words, and what is left behind."""

from dataclasses import replace

import pytest
from oleada_agent import machine_moves as moves
from oleada_agent.machine import step
from oleada_agent.machine_events import (
    AskLease,
    AssignReceived,
    Booted,
    CheckConditions,
    Checkpointed,
    Empty,
    Event,
    Fetch,
    FetchFailed,
    HealthFailed,
    LeaseAnswered,
    MarkBad,
    Reboot,
    SendReport,
    SlotEmptied,
    StartTrial,
    StopFetch,
    WakeIn,
    Woken,
)
from oleada_agent.machine_states import (
    QUARANTINED_MAX,
    Assigned,
    Downloading,
    Failed,
    Gate,
    Idle,
    Limits,
    Offer,
    Reported,
    RolledBack,
    Running,
    SlotBad,
    State,
    Trial,
    Written,
)
from oleada_wire.messages import DETAIL_CHARS_MAX
from oleada_wire.words import LeasePhase, Phase, Reason

from tests.agent.core.events import ASSIGNMENT, DRAW, NAME, NOW_MS
from tests.agent.core.test_transitions import IN_A, IN_B, OTHER, WORK, verdict

DAY_MS = 86_400_000


def download(done: int, told: int, size: int = 100) -> State:
    """Return a download of *size* bytes, of which *done* are durable and *told* were told of."""
    work = replace(WORK, assignment=replace(ASSIGNMENT, size_bytes=size), laps=3)
    return replace(IN_A, stage=Downloading(work, done, told, Gate.OPEN))


@pytest.mark.parametrize(
    ("told", "more", "is_told"),
    [
        (0, 9, False),
        (0, 10, True),
        (10, 19, False),
        (19, 20, True),
        (10, 30, True),
        (90, 99, False),
    ],
)
def test_a_download_is_told_of_at_every_tenth(told: int, more: int, is_told: bool) -> None:
    found = step(download(told, told), Checkpointed(*NAME, more), NOW_MS)

    assert isinstance(found.state.stage, Downloading)
    stage = found.state.stage
    assert (stage.done_bytes, stage.work.laps) == (more, 0)
    assert stage.told_bytes == (more if is_told else told)
    reports = [(one.report.done_bytes, one.report.step) for one in found.commands
               if isinstance(one, SendReport)]  # fmt: skip
    assert reports == ([(more, 1)] if is_told else [])
    assert stage.work.steps == is_told


@pytest.mark.parametrize("more", [1, 2, 3])
def test_an_image_of_a_few_bytes_is_told_of_at_every_byte(more: int) -> None:
    found = step(download(more - 1, more - 1, size=3), Checkpointed(*NAME, more), NOW_MS)

    assert len(found.commands) == 1


@pytest.mark.parametrize(("delay_ms", "draw", "wait_ms"), [
    (-5, 0, 1), (0, 0, 1), (1, 0, 1), (2, 0, 2), (1000, 0, 1000), (1000, DRAW, 1250),
    (1000, 9999, 1499), (600_000, 9999, 899_970), (43_200_000, 9999, 43_499_970),
])  # fmt: skip
def test_a_wait_is_at_least_a_millisecond_and_at_most_half_or_five_minutes_longer(
    delay_ms: int, draw: int, wait_ms: int
) -> None:
    assert moves.jittered(delay_ms, draw) == WakeIn(wait_ms)


@pytest.mark.parametrize(
    ("left_ms", "wait_ms"), [(1, 1), (2, 1), (3, 1), (4, 2), (100 * DAY_MS, DAY_MS)]
)
def test_a_lease_is_renewed_at_half_its_time(left_ms: int, wait_ms: int) -> None:
    asking = replace(IN_A, stage=Downloading(WORK, 40, 40, Gate.LEASE))
    granted = LeaseAnswered(*NAME, LeasePhase.START, True, NOW_MS + left_ms)

    commands = step(asking, granted, NOW_MS).commands

    assert commands == (Fetch(ASSIGNMENT, "B", 40), WakeIn(wait_ms))


def test_a_lease_that_is_renewed_in_the_download_fetches_nothing_anew() -> None:
    leased = download(40, 40)
    granted = LeaseAnswered(*NAME, LeasePhase.START, True, NOW_MS + 10_000)

    assert step(leased, granted, NOW_MS).commands == (WakeIn(5_000),)


@pytest.mark.parametrize(("left_ms", "expected"), [
    (1, (AskLease(*NAME, LeasePhase.START), WakeIn(1), CheckConditions(ASSIGNMENT.window))),
    (2 * DAY_MS,
     (AskLease(*NAME, LeasePhase.START), WakeIn(DAY_MS), CheckConditions(ASSIGNMENT.window))),
    (0, (StopFetch(), AskLease(*NAME, LeasePhase.START), WakeIn(75_000))),
])  # fmt: skip
def test_a_lease_that_runs_out_pauses_the_download_at_its_end(
    left_ms: int, expected: tuple[object, ...]
) -> None:
    work = replace(WORK, lease_until_ms=NOW_MS + left_ms)
    leased = replace(IN_A, stage=Downloading(work, 40, 40, Gate.OPEN))

    assert step(leased, Woken(DRAW), NOW_MS).commands == expected


@pytest.mark.parametrize(("left_ms", "goes_on"), [(1, True), (0, False), (-1, False)])
def test_a_slot_that_is_empty_is_filled_while_the_lease_lasts(left_ms: int, goes_on: bool) -> None:
    emptying = replace(IN_A, stage=SlotBad(replace(WORK, lease_until_ms=NOW_MS + left_ms)))

    found = step(emptying, SlotEmptied("B"), NOW_MS)

    assert isinstance(found.state.stage, Downloading)
    assert found.state.stage.work.steps == 1
    report, *then = found.commands
    assert isinstance(report, SendReport)
    assert (report.report.phase, report.report.done_bytes) == (Phase.DOWNLOADING, 0)
    expected = [Fetch(ASSIGNMENT, "B", 0), WakeIn(1)]
    assert then == (expected if goes_on else [CheckConditions(ASSIGNMENT.window)])


@pytest.mark.parametrize(
    ("other", "detail"),
    [(None, "the assignment was withdrawn"), (OTHER, "another one replaced it")],
)
def test_what_was_cancelled_says_why(other: object, detail: str) -> None:
    assert other is None or other is OTHER

    found = step(download(40, 40), AssignReceived(1, OTHER if other else None), NOW_MS).state

    assert isinstance(found.stage, Failed)
    assert (found.stage.verdict.reason, found.stage.verdict.detail) == (Reason.CANCELLED, detail)
    assert found.waiting == (Offer(OTHER) if other else None)


def restarted(laps: int, limit: int) -> State:
    """Return what a start makes of a download after *laps* starts without progress."""
    state = replace(
        IN_A,
        stage=Downloading(replace(WORK, laps=laps), 40, 40),
        limits=Limits(laps_max=limit),
    )
    return step(state, Booted("A", "1.0.0", "2"), NOW_MS).state


def test_the_last_lap_that_is_allowed_is_run() -> None:
    again, given_up = restarted(4, 5), restarted(5, 5)

    assert isinstance(again.stage, Downloading)
    assert again.stage.work.laps == 5
    assert isinstance(given_up.stage, RolledBack)
    assert given_up.stage.verdict.reason is Reason.LOOP_BREAKER
    assert given_up.stage.verdict.detail == "5 restarts without progress"


def test_a_trial_is_begun_by_its_name_and_its_limit() -> None:
    limits = Limits(trial_limit_ms=7_000)
    rebooted = replace(IN_B, stage=Trial(WORK), limits=limits)

    found = step(rebooted, Booted("B", "1.1.0", "2", successful=False), NOW_MS)

    assert found.commands == (StartTrial(*NAME), WakeIn(7_000))


def test_a_detail_is_cut_to_what_the_wire_takes() -> None:
    long = "x" * (DETAIL_CHARS_MAX + 1)

    found = step(download(40, 40), FetchFailed(*NAME, Reason.DOWNLOAD, long), NOW_MS).state.stage

    assert isinstance(found, Failed)
    assert found.verdict.detail == long[:DETAIL_CHARS_MAX]


def test_a_verdict_is_one_step_after_the_last_report_and_names_what_runs() -> None:
    state = replace(IN_A, stage=Downloading(replace(WORK, steps=3), 40, 40, Gate.OPEN))

    found = step(state, FetchFailed(*NAME, Reason.DOWNLOAD, "gone"), NOW_MS)

    assert isinstance(found.state.stage, Failed)
    told = found.state.stage.verdict
    assert (told.step, told.version, told.running_slot, told.done_bytes) == (4, "1.0.0", "A", 0)
    assert found.commands == (StopFetch(), MarkBad("B"), SendReport(told))


@pytest.mark.parametrize(("laps", "leaves"), [(2, True), (3, False)])
def test_a_slot_that_was_given_up_is_left_three_times_at_most(laps: int, leaves: bool) -> None:
    stage = RolledBack(verdict(Phase.ROLLED_BACK, Reason.HEALTH_CHECK), "B", laps)
    stuck = replace(IN_B, stage=stage, last=stage.verdict)

    found = step(stuck, Woken(), NOW_MS)

    assert isinstance(found.state.stage, RolledBack)
    if leaves:
        assert found.state.stage.laps == laps + 1
        assert found.commands == (MarkBad("B"), Reboot())
    else:
        told = found.state.stage.verdict
        assert (told.version, told.running_slot) == ("1.1.0", "B")
        assert found.state.last == told
        assert found.commands == (SendReport(told),)


def test_a_verdict_over_the_slot_that_runs_is_known_before_it_is_left() -> None:
    found = step(replace(IN_B, stage=Trial(WORK)), HealthFailed(), NOW_MS)

    assert isinstance(found.state.stage, RolledBack)
    assert found.state.last == found.state.stage.verdict
    assert found.commands == (MarkBad("B"), Reboot())


def failing(state: State, event: Event) -> State:
    return step(state, event, NOW_MS).state


def test_only_so_many_images_are_kept_out_and_the_newest_stays() -> None:
    old = tuple(f"{number:064x}" for number in range(QUARANTINED_MAX))
    trial = replace(IN_B, stage=Trial(WORK), quarantined=old)

    full = failing(trial, HealthFailed()).quarantined
    again = failing(replace(trial, quarantined=(*old[:3], "1" * 64, *old[3:5])), HealthFailed())

    assert full == (*old[1:], "1" * 64)
    assert again.quarantined == (*old[:5], "1" * 64)


def test_an_assignment_is_taken_up_in_the_slot_that_does_not_run_with_its_steps() -> None:
    idle = replace(IN_A, stage=Idle(), first_step=40)

    found = step(idle, AssignReceived(1, ASSIGNMENT), NOW_MS).state.stage

    assert isinstance(found, Assigned)
    assert (found.work.target, found.work.steps) == ("B", 40)


@pytest.mark.parametrize(("attempt", "is_new"), [(1, False), (2, False), (3, True)])
def test_only_a_later_attempt_is_a_new_one(attempt: int, is_new: bool) -> None:
    last = replace(verdict(Phase.FAILED, Reason.DOWNLOAD), attempt=2)
    idle = replace(IN_A, stage=Idle(), last=last)
    other = replace(idle, last=replace(last, assignment_id="AS-0"))
    offer = AssignReceived(1, replace(ASSIGNMENT, attempt=attempt))

    assert isinstance(failing(idle, offer).stage, Assigned) is is_new
    assert isinstance(failing(other, offer).stage, Assigned)


def test_what_has_waited_begins_its_steps_anew() -> None:
    done = replace(IN_A, stage=Reported(), waiting=Offer(OTHER), first_step=40)

    found = failing(done, Woken())
    taken = moves.take_up_waiting(done).state

    assert found == done, "a wake-up means nothing here"
    assert isinstance(taken.stage, Assigned)
    assert (taken.waiting, taken.first_step, taken.stage.work.steps) == (None, 0, 0)


def test_an_emptied_slot_is_marked_bad_before_it_is_emptied() -> None:
    asking = replace(IN_A, stage=Assigned(WORK, Gate.LEASE))
    granted = LeaseAnswered(*NAME, LeasePhase.START, True, NOW_MS + 10)

    found = step(asking, granted, NOW_MS)

    assert found.commands == (MarkBad("B"), Empty("B"))
    assert found.state.stage == SlotBad(replace(WORK, lease_until_ms=NOW_MS + 10))


def test_a_lease_to_arm_is_asked_for_what_is_written() -> None:
    written = replace(IN_A, stage=Written(WORK, Gate.CONDITIONS))
    found = moves.ask_lease(written, Written(WORK, Gate.CONDITIONS), DRAW)

    assert found.commands == (AskLease(*NAME, LeasePhase.ARM), WakeIn(75_000))


def test_the_floor_is_that_of_the_newest_proven_image() -> None:
    unproven = replace(IN_A, running=Running("A", "1.0.0", "1", successful=False))

    for security_version, floor in ((3, 3), (1, 2)):
        state = replace(unproven, security_floor=2)
        start = Booted("A", "1.0.0", "2", security_version=security_version)
        assert step(state, start, NOW_MS).state.security_floor == floor


@pytest.mark.parametrize("name", ["trial_limit_ms", "lease_answer_ms", "authority_retry_ms"])
def test_a_limit_in_time_is_at_least_a_millisecond(name: str) -> None:
    assert getattr(Limits(**{name: 1}), name) == 1
    with pytest.raises(ValueError, match="at least 1"):
        Limits(**{name: 0})


@pytest.mark.parametrize(
    "reason", [Reason.CANCELLED, Reason.POWER_CUT_IN_TRIAL, Reason.STORAGE, Reason.DOWNLOAD]
)
def test_an_image_is_not_kept_out_for_what_it_did_not_do(reason: Reason) -> None:
    trial = replace(IN_B, stage=Trial(WORK))

    assert failing(trial, HealthFailed(reason)).quarantined == ()
    assert failing(trial, HealthFailed(Reason.HEALTH_CHECK)).quarantined == ("1" * 64,)
