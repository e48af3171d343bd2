from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oleada_server.rollouts.plan import Outcome
from oleada_server.rollouts.plan_box import (
    JUDGED_BY_REASON,
    BoxFacts,
    Granted,
    History,
    LeaseFacts,
    Moved,
    NotNow,
    Refused,
    ReportFacts,
    deadline,
    decide_lease,
    fell_silent,
    may_retry,
    on_report,
    outcome,
    tally_of,
)
from oleada_server.rollouts.states import (
    IN_FLIGHT,
    PENDING,
    REVOKED,
    VERDICTS,
    BoxState,
    RolloutState,
    WaveState,
)
from oleada_wire.messages import Window
from oleada_wire.words import NOT_THE_RELEASE, RETRYABLE, Phase, Reason

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
MADRID = ZoneInfo("Europe/Madrid")

box = BoxFacts(BoxState.ASSIGNED, attempt=1, step=0, attempts_max=2)
downloading = ReportFacts(1, 1, Phase.DOWNLOADING, None, "1.0.0")
updated = ReportFacts(1, 5, Phase.UPDATED, None, "1.1.0")
rolled_back = ReportFacts(1, 5, Phase.ROLLED_BACK, Reason.HEALTH_CHECK, "1.0.0")


def said(report: ReportFacts, about: BoxFacts = box) -> Moved | History | Refused:
    return on_report(about, report, "1.1.0")


def test_progress_moves_the_box_and_its_deadline() -> None:
    assert said(downloading) == Moved(BoxState.DOWNLOADING, 1, push_deadline=True)
    assert said(downloading) != Moved(BoxState.DOWNLOADING, 1, None, True, True)


def test_a_box_that_reports_for_ever_falls_silent_in_the_end() -> None:
    last, more = replace(downloading, step=500), replace(downloading, step=501)

    assert said(last) == Moved(BoxState.DOWNLOADING, 500, push_deadline=True)
    assert said(more) == Moved(BoxState.DOWNLOADING, 501)


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_has_a_state(phase: Phase) -> None:
    moved = said(ReportFacts(1, 1, phase, None, "1.1.0"))

    assert isinstance(moved, Moved)
    assert moved.state == phase.value


def test_an_attempt_that_was_never_given_is_refused() -> None:
    assert said(replace(downloading, attempt=2)) == Refused()
    assert said(replace(downloading, attempt=0)) == Refused()
    assert said(downloading, replace(box, attempt=0)) == Refused()


def test_an_older_attempt_or_step_is_history() -> None:
    assert said(updated, replace(box, attempt=2)) == History()
    assert said(downloading, replace(box, state=BoxState.INSTALLING, step=1)) == History()
    assert said(updated, replace(box, state=BoxState.UPDATED, step=5)) == History()


@pytest.mark.parametrize("end", [updated, rolled_back, replace(rolled_back, reason=Reason.STORAGE)])
def test_a_box_does_not_take_its_verdict_back(end: ReportFacts) -> None:
    moved = said(end)
    assert isinstance(moved, Moved)
    ended = replace(box, state=moved.state, step=moved.step)

    assert said(replace(downloading, step=6), ended) == History()
    assert said(end, replace(box, state=BoxState.DOWNLOADING, step=6)) == moved
    assert said(replace(rolled_back, step=6), ended) == Moved(
        BoxState.ROLLED_BACK, 6, Reason.HEALTH_CHECK
    )


def test_an_attempt_whose_first_word_was_its_last_takes_nothing_back() -> None:
    queued = replace(box, state=BoxState.QUEUED, step=1)

    assert said(replace(downloading, step=2), queued) == History()


def test_a_box_that_says_updated_and_runs_something_else_has_failed() -> None:
    lying = replace(updated, version="1.0.0")

    assert said(lying) == Moved(BoxState.FAILED, 5, Reason.WRONG_CONTENT)


@pytest.mark.parametrize("reason", sorted(RETRYABLE))
def test_a_retryable_end_is_assigned_again_as_long_as_there_are_attempts(reason: Reason) -> None:
    failed = replace(rolled_back, reason=reason)
    last = replace(box, attempt=2)

    assert said(failed) == Moved(BoxState.QUEUED, 5, reason, assign_again=True)
    assert said(replace(failed, attempt=2), last) == Moved(BoxState.ROLLED_BACK, 5, reason)


def test_an_end_that_is_not_retryable_is_the_verdict() -> None:
    assert said(rolled_back) == Moved(BoxState.ROLLED_BACK, 5, Reason.HEALTH_CHECK)


def test_a_late_word_takes_silence_back() -> None:
    silent = replace(box, state=BoxState.SILENT, step=2)

    assert said(updated, silent) == Moved(BoxState.UPDATED, 5)
    assert said(replace(downloading, step=3), silent) == Moved(
        BoxState.DOWNLOADING, 3, push_deadline=True
    )


phases = st.lists(st.sampled_from([p for p in Phase if not p.is_final]), min_size=1, max_size=3)


@given(
    phases,
    st.integers(1, 5),
    st.sampled_from([updated, rolled_back, replace(rolled_back, reason=Reason.STORAGE)]),
)
def test_order_and_repetition_of_reports_change_nothing(
    moves: list[Phase], first_step: int, end: ReportFacts
) -> None:
    """Not even of a box that goes on speaking after its final word, which is step 5."""
    steps = (step for step in range(first_step, 10) if step != end.step)
    reports = [ReportFacts(1, next(steps), phase, None, "1.0.0") for phase in moves]
    reports.append(end)

    ends = set()
    for order in permutations(reports):
        found = box
        for report in (*order, *reversed(order)):
            moved = said(report, found)
            if isinstance(moved, Moved):
                found = replace(found, state=moved.state, step=moved.step)
        ends.add(found)
    assert len(ends) == 1


def test_outcomes_are_what_the_limits_count() -> None:
    assert outcome(BoxState.UPDATED, None) is Outcome.GOOD
    assert outcome(BoxState.SILENT, None) is Outcome.SILENT
    assert outcome(BoxState.DECLINED, Reason.WRONG_HARDWARE) is Outcome.LEFT_OUT
    for state in (BoxState.FAILED, BoxState.ROLLED_BACK):
        assert outcome(state, None) is Outcome.BAD
        for reason in Reason:
            excused = reason in NOT_THE_RELEASE
            assert outcome(state, reason) is (Outcome.EXCUSED if excused else Outcome.BAD)
    assert {outcome(state, None) for state in PENDING} == {Outcome.PENDING}


def test_a_tally_adds_up_states_that_count_alike() -> None:
    found = tally_of(
        [
            (BoxState.FAILED, "storage", 2),
            (BoxState.ROLLED_BACK, "health-check", 1),
            (BoxState.ROLLED_BACK, "power-cut-in-trial", 4),
        ]
    )

    assert found == {**dict.fromkeys(Outcome, 0), Outcome.BAD: 3, Outcome.EXCUSED: 4}


def test_only_a_box_without_outcome_falls_silent_and_only_at_its_deadline() -> None:
    second = timedelta(seconds=1)
    for state in BoxState:
        assert fell_silent(state, NOON, NOON) is (state in PENDING)
    assert not fell_silent(BoxState.ASSIGNED, NOON, NOON - second)
    assert not fell_silent(BoxState.ASSIGNED, None, NOON)


def test_a_person_may_retry_what_ended_without_success() -> None:
    assert {state for state in BoxState if may_retry(state)} == {
        BoxState.FAILED,
        BoxState.ROLLED_BACK,
        BoxState.DECLINED,
        BoxState.SILENT,
    }


def test_the_time_until_the_window_opens_is_not_silence() -> None:
    night = Window(2 * 60, 5 * 60)
    two = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)  # 02:00 in Madrid

    assert deadline(NOON, HOUR, timedelta(0), None, MADRID) == NOON + HOUR
    assert deadline(NOON, HOUR, timedelta(seconds=30), night, MADRID) == two + HOUR + timedelta(
        seconds=30
    )


lease = LeaseFacts(
    rollout_state=RolloutState.RUNNING,
    wave_state=WaveState.OPEN,
    box_state=BoxState.ASSIGNED,
    attempt=1,
    has_place=False,
    in_flight=9,
    in_flight_max=10,
    lease=HOUR,
    window=None,
    zone=MADRID,
    release_withdrawn=False,
)


def asked(attempt: int = 1, now: datetime = NOON, **changed: object) -> Granted | NotNow:
    return decide_lease(replace(lease, **changed), attempt, now)  # type: ignore[arg-type]


def test_a_box_in_an_open_wave_may_start() -> None:
    assert asked() == Granted(NOON + HOUR)


def test_a_wave_that_is_held_or_has_passed_still_serves_its_boxes() -> None:
    served = {state for state in WaveState if asked(wave_state=state) == Granted(NOON + HOUR)}

    assert served == set(WaveState) - {WaveState.WAITING, WaveState.HALTED}


@pytest.mark.parametrize("state", list(RolloutState))
def test_only_a_running_rollout_grants(state: RolloutState) -> None:
    answer = asked(rollout_state=state)

    if state is RolloutState.RUNNING:
        assert isinstance(answer, Granted)
    else:
        waits = state in (RolloutState.PAUSED, RolloutState.SCHEDULED)
        assert isinstance(answer, NotNow)
        assert answer.reason == ("paused" if waits else "stopped")


def test_a_release_that_was_taken_back_is_denied_even_when_armed_for() -> None:
    assert asked(release_withdrawn=True) == NotNow("denied", 3600)


@pytest.mark.parametrize("attempt", [0, 2])
def test_a_lease_is_for_the_attempt_that_was_given(attempt: int) -> None:
    assert asked(attempt=attempt) == NotNow("stopped", 3600)


def test_a_box_that_was_never_assigned_gets_no_lease() -> None:
    answer = decide_lease(replace(lease, attempt=0), 0, NOON)

    assert answer == NotNow("stopped", 3600)


@pytest.mark.parametrize("state", sorted(VERDICTS | {BoxState.QUEUED}))
def test_a_box_with_a_verdict_gets_no_lease(state: BoxState) -> None:
    assert asked(box_state=state) == NotNow("stopped", 3600)


def test_when_enough_boxes_are_at_work_the_next_waits() -> None:
    assert asked(in_flight=10) == NotNow("full", 15)
    assert isinstance(asked(in_flight=10, box_state=BoxState.SILENT), NotNow)


@pytest.mark.parametrize("state", sorted(IN_FLIGHT))
def test_a_box_that_holds_a_lease_gets_it_again_and_may_arm(state: BoxState) -> None:
    assert asked(in_flight=10, box_state=state, has_place=True) == Granted(NOON + HOUR)


@pytest.mark.parametrize("state", sorted(IN_FLIGHT))
def test_a_box_whose_lease_has_run_out_waits_for_a_place(state: BoxState) -> None:
    assert asked(in_flight=9, box_state=state) == Granted(NOON + HOUR)
    assert asked(in_flight=10, box_state=state) == NotNow("full", 15)


def test_the_window_is_that_of_the_boxes_own_zone() -> None:
    lunch = Window(13 * 60, 14 * 60)

    assert asked(window=lunch) == Granted(NOON + HOUR)  # 13:00 in Madrid
    assert asked(window=lunch, now=NOON - timedelta(minutes=30)) == NotNow("window", 1800)
    assert asked(window=lunch, now=NOON - timedelta(seconds=1)) == NotNow("window", 15)
    assert asked(window=lunch, zone=ZoneInfo("UTC")) == NotNow("window", 3600)


def test_only_where_the_reason_decides_are_boxes_counted_by_it() -> None:
    reasons = [None, REVOKED, *map(str, Reason)]
    by_reason = {s for s in BoxState for r in reasons if outcome(s, r) != outcome(s, None)}

    assert by_reason == JUDGED_BY_REASON
