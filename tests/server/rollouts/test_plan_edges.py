"""What can not be is refused, and what a limit means at its very edge."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf, nan
from zoneinfo import ZoneInfo

import pytest
from oleada_server.rollouts import plan_box
from oleada_server.rollouts.plan import (
    MOVING,
    Accepted,
    HoldWave,
    ImpossibleFactsError,
    Limits,
    RolloutFacts,
    StartSoak,
    Tally,
    Wait,
    WaveFacts,
    decide,
)
from oleada_server.rollouts.plan_box import (
    BoxFacts,
    Granted,
    History,
    LeaseFacts,
    Moved,
    NotNow,
    Refused,
    ReportFacts,
    decide_lease,
    on_report,
)
from oleada_server.rollouts.states import BoxState, RolloutState, WaveState
from oleada_wire.messages import Window
from oleada_wire.words import Phase, Reason

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
LIMITS = Limits(1, 0, 0, 1, HOUR)
waiting = WaveFacts(1, WaveState.WAITING, Tally(pending=1), LIMITS)
opened = replace(waiting, state=WaveState.OPEN)
halted = replace(opened, state=WaveState.HALTED, tally=Tally(bad=1))
passed = replace(opened, state=WaveState.PASSED, tally=Tally(good=1), soak_from=NOON)


@pytest.mark.parametrize(
    "facts",
    [
        *(lambda part=part: Tally(**{part: -1}) for part in Tally.__dataclass_fields__),
        *(lambda share=share: Limits(share, 0, 0, 1, HOUR) for share in (-0.1, 1.1, nan, inf)),
        *(lambda share=share: Limits(0, share, 0, 1, HOUR) for share in (-0.1, 1.1, nan, -inf)),
        *(lambda share=share: Limits(0, 0, share, 1, HOUR) for share in (-0.1, 1.1, nan)),
        lambda: Limits(0, 0, 0, 0, HOUR),
        lambda: Limits(0, 0, 0, 1, -timedelta(microseconds=1)),
        lambda: Accepted(silent=-1),
        lambda: Accepted(silent=-1, good=1),
        lambda: Accepted(good=0),
        lambda: RolloutFacts(RolloutState.RUNNING, ()),
        lambda: RolloutFacts(RolloutState.RUNNING, (replace(opened, position=2),)),
        lambda: RolloutFacts(RolloutState.RUNNING, (waiting, replace(opened, position=2))),
        lambda: RolloutFacts(RolloutState.RUNNING, (opened, replace(opened, position=2))),
        *(
            lambda state=state: RolloutFacts(state, (passed, replace(halted, position=2)))
            for state in (RolloutState.SCHEDULED, RolloutState.RUNNING, RolloutState.PAUSED)
        ),
        lambda: RolloutFacts(RolloutState.SCHEDULED, (opened, replace(waiting, position=2))),
        lambda: RolloutFacts(RolloutState.SCHEDULED, (opened,)),
    ],
)
def test_facts_that_contradict_each_other_are_refused(facts: Callable[[], object]) -> None:
    with pytest.raises(ImpossibleFactsError):
        facts()


@pytest.mark.parametrize(
    "facts",
    [
        lambda: Limits(0, 1, 0.5, 1, timedelta(0)),
        lambda: Accepted(silent=0, good=1),
        lambda: RolloutFacts(RolloutState.HALTED, (halted,)),
        lambda: RolloutFacts(RolloutState.HALTED, (passed, replace(halted, position=2))),
        lambda: RolloutFacts(RolloutState.STOPPED, (halted,)),
        lambda: RolloutFacts(RolloutState.SCHEDULED, (waiting,)),
        lambda: RolloutFacts(RolloutState.RUNNING, (waiting, replace(waiting, position=2))),
    ],
)
def test_facts_at_the_edge_of_what_can_be_are_taken(facts: Callable[[], object]) -> None:
    assert facts() is not None


@pytest.mark.parametrize("state", RolloutState)
def test_a_rollout_moves_as_long_as_a_decision_could_come_of_it(state: RolloutState) -> None:
    decided = []
    for wave in (waiting, replace(opened, tally=Tally(bad=1))):
        with suppress(ImpossibleFactsError):
            decided.append(decide(RolloutFacts(state, (wave,)), NOON))

    assert any(not isinstance(one, Wait) for one in decided) is (state in MOVING)


def test_nobody_accepts_a_silent_box_by_saying_nothing() -> None:
    wave = replace(opened, tally=Tally(good=9, silent=1))

    assert isinstance(decide(RolloutFacts(RolloutState.RUNNING, (wave,)), NOON), HoldWave)


def test_a_wave_of_one_box_succeeds_with_it() -> None:
    wave = replace(opened, tally=Tally(good=1))

    assert decide(RolloutFacts(RolloutState.RUNNING, (wave,)), NOON) == StartSoak(1)


def test_a_single_updated_box_is_enough_for_a_person_who_accepts_it() -> None:
    wave = replace(opened, tally=Tally(good=1, left_out=9), accepted=Accepted(good=1))

    assert decide(RolloutFacts(RolloutState.RUNNING, (wave,)), NOON) == StartSoak(1)


# -- a box that knows more than a restored server ---------------------------------------

restored = BoxFacts(BoxState.ASSIGNED, attempt=2, step=4, attempts_max=3, is_from_backup=True)


def told(report: ReportFacts, box: BoxFacts = restored) -> Moved | History | Refused:
    return on_report(box, report, "1.1.0")


def test_an_attempt_that_the_server_has_lost_is_believed_from_its_first_step() -> None:
    first = ReportFacts(3, 1, Phase.DOWNLOADING, None, "1.0.0")

    assert told(first) == Moved(BoxState.DOWNLOADING, 1, push_deadline=True)
    assert told(replace(first, attempt=9)) == Moved(BoxState.DOWNLOADING, 1, push_deadline=True)
    ended = replace(restored, state=BoxState.FAILED)
    assert told(first, ended) == Moved(BoxState.DOWNLOADING, 1, push_deadline=True)
    assert told(replace(first, step=0)) == History()
    assert told(first, replace(restored, is_from_backup=False)) == Refused()


def test_a_lost_attempt_that_is_the_last_is_a_verdict() -> None:
    failed = ReportFacts(3, 2, Phase.FAILED, Reason.DOWNLOAD, "1.0.0")

    assert told(failed) == Moved(BoxState.FAILED, 2, Reason.DOWNLOAD)
    assert told(failed, replace(restored, attempts_max=4)) == Moved(
        BoxState.QUEUED, 2, Reason.DOWNLOAD, assign_again=True
    )


def test_a_lost_attempt_that_the_server_itself_cancelled_is_assigned_again() -> None:
    cancelled = ReportFacts(3, 2, Phase.FAILED, Reason.CANCELLED, "1.0.0")

    assert told(cancelled) == Moved(BoxState.QUEUED, 2, Reason.CANCELLED, assign_again=True)
    under_way = replace(cancelled, phase=Phase.DOWNLOADING)
    assert told(under_way) == Moved(BoxState.DOWNLOADING, 2, push_deadline=True)


def test_an_attempt_that_the_server_knows_is_counted_as_ever_after_a_restore() -> None:
    known = ReportFacts(2, 5, Phase.FAILED, Reason.CANCELLED, "1.0.0")

    assert told(known) == Moved(BoxState.FAILED, 5, Reason.CANCELLED)
    assert told(replace(known, step=4, phase=Phase.CHECKING)) == History()
    assert told(replace(known, attempt=1)) == History()


# -- leases -----------------------------------------------------------------------------

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
    zone=ZoneInfo("UTC"),
    release_withdrawn=False,
)


def test_a_paused_rollout_is_asked_again_after_a_minute() -> None:
    paused = replace(lease, rollout_state=RolloutState.PAUSED)

    assert decide_lease(paused, 1, NOON) == NotNow("paused", 60)


@pytest.mark.parametrize(("in_flight", "has_place", "granted"), [
    (9, False, True), (10, False, False), (11, False, False), (10, True, True),
])  # fmt: skip
def test_the_number_at_work_holds_back_who_has_no_place_and_nobody_who_has_one(
    in_flight: int, has_place: bool, granted: bool
) -> None:
    facts = replace(lease, in_flight=in_flight, has_place=has_place)

    assert (decide_lease(facts, 1, NOON) == Granted(NOON + HOUR)) is granted


@pytest.mark.parametrize(("before_s", "retry_s"), [
    (1, plan_box.RETRY_AFTER_S_MIN), (16, 16), (3599, 3599), (3601, plan_box.RETRY_AFTER_S_MAX),
])  # fmt: skip
def test_a_closed_window_is_asked_again_when_it_opens_within_limits(
    before_s: int, retry_s: int
) -> None:
    at_noon = replace(lease, window=Window(12 * 60, 13 * 60))

    found = decide_lease(at_noon, 1, NOON - timedelta(seconds=before_s))

    assert found == NotNow("window", retry_s)
