from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oleada_server.rollouts.plan import (
    Accepted,
    Decision,
    Finish,
    Halt,
    HoldWave,
    ImpossibleFactsError,
    Limits,
    OpenWave,
    PassWave,
    RolloutFacts,
    StartSoak,
    Tally,
    Wait,
    WaveFacts,
    decide,
    percent,
)
from oleada_server.rollouts.states import RolloutState, WaveState

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
LIMITS = Limits(0.95, 0.02, 0.03, 10, HOUR)

waiting = WaveFacts(2, WaveState.WAITING, Tally(pending=900), LIMITS)
opened = WaveFacts(1, WaveState.OPEN, Tally(pending=100), LIMITS)
soaking = WaveFacts(1, WaveState.SOAKING, Tally(good=100), LIMITS, NOON)
passed = replace(soaking, state=WaveState.PASSED)


def running(*waves: WaveFacts, **changed: object) -> RolloutFacts:
    return replace(RolloutFacts(RolloutState.RUNNING, waves), **changed)  # type: ignore[arg-type]


def first(now: datetime = NOON, state: WaveState = WaveState.OPEN, **tally: int) -> Decision:
    """Return what is decided when the first of two waves has this tally."""
    soak_from = NOON if state is WaveState.SOAKING else None
    wave = replace(opened, state=state, tally=Tally(**tally), soak_from=soak_from)
    return decide(running(wave, waiting), now)


def test_the_first_wave_opens_at_once() -> None:
    assert decide(running(replace(waiting, position=1)), NOON) == OpenWave(1)


def test_a_scheduled_rollout_waits_for_its_time_and_then_opens() -> None:
    planned = RolloutFacts(RolloutState.SCHEDULED, (replace(waiting, position=1),), NOON)

    assert decide(planned, NOON - HOUR) == Wait("waits for its start time", NOON)
    assert decide(planned, NOON) == OpenWave(1)
    assert decide(replace(planned, start_at=None), NOON - HOUR) == OpenWave(1)


def test_an_open_wave_waits_for_its_boxes() -> None:
    assert first(pending=6, good=94) == Wait("wave 1: 94 of 100 are updated")


def test_a_wave_that_has_met_its_success_limit_soaks() -> None:
    assert first(pending=5, good=95) == StartSoak(1)


def test_a_wave_lives_through_its_soak_before_it_passes() -> None:
    early, late = NOON + HOUR - timedelta(seconds=1), NOON + HOUR

    assert first(early, WaveState.SOAKING, good=100) == Wait("wave 1 soaks", late)
    assert first(late, WaveState.SOAKING, good=100) == PassWave(1)


def test_the_next_wave_opens_behind_one_that_has_passed() -> None:
    assert decide(running(passed, waiting), NOON) == OpenWave(2)


def test_a_rollout_finishes_when_every_box_has_an_outcome() -> None:
    busy = replace(passed, tally=Tally(good=98, pending=2))

    assert decide(running(busy), NOON) == Wait("waits for the last 2 boxes")
    assert decide(running(passed), NOON) == Finish()


def test_a_failure_within_the_limit_halts_nothing() -> None:
    assert first(good=95, bad=1, pending=4) == StartSoak(1)


def test_failures_are_judged_from_the_sample_on() -> None:
    assert isinstance(first(good=8, bad=1, pending=91), Wait)
    assert first(good=9, bad=1, pending=90) == Halt(1, "wave 1: 1 of 10 failed, more than 2%")


def test_a_wave_smaller_than_the_sample_is_judged_by_all_of_it() -> None:
    small = replace(opened, limits=replace(LIMITS, failed_share_max=0.2, success_share_min=0.5))

    def of(**tally: int) -> Decision:
        return decide(running(replace(small, tally=Tally(**tally))), NOON)

    assert isinstance(of(good=4, bad=1, pending=1), Wait)
    assert of(good=5, bad=1) == StartSoak(1)
    assert of(good=4, bad=2) == Halt(1, "wave 1: 2 of 6 failed, more than 20%")


def test_failures_that_no_success_can_outweigh_halt_before_the_sample() -> None:
    assert first(bad=3, pending=97) == Halt(1, "wave 1: 3 of 3 failed, more than 2%")


def test_a_late_failure_of_an_old_wave_halts() -> None:
    old = replace(passed, tally=Tally(good=96, bad=4))

    assert decide(running(old, waiting), NOON) == Halt(1, "wave 1: 4 of 100 failed, more than 2%")


def test_a_failure_halts_even_in_a_pause() -> None:
    busy, harmed = opened, replace(opened, tally=Tally(bad=3, pending=97))

    assert decide(running(busy, state=RolloutState.PAUSED), NOON) == Wait("is paused")
    assert isinstance(decide(running(harmed, state=RolloutState.PAUSED), NOON), Halt)


def test_every_box_of_a_wave_is_counted_and_only_verdicts_are_judged() -> None:
    tally = Tally(pending=1, good=2, bad=4, silent=8, left_out=16, excused=32)

    assert (tally.boxes, tally.judged) == (63, 6)


def test_silence_is_not_success() -> None:
    assert first(good=96, silent=4) == HoldWave(1, "wave 1: 4 of 100 are silent, more than 3%")


def test_a_box_that_stays_off_does_not_hold_the_wave_for_ever() -> None:
    assert first(good=97, silent=3) == StartSoak(1)


def test_a_wave_does_not_pass_while_boxes_may_still_fall_silent() -> None:
    late = NOON + HOUR

    unsure = first(late, WaveState.SOAKING, good=96, silent=1, pending=3)
    assert unsure == Wait("wave 1: 3 boxes have not finished")
    assert first(late, WaveState.SOAKING, good=97, silent=1, pending=2) == PassWave(1)


def test_silence_in_the_soak_holds() -> None:
    assert isinstance(first(NOON, WaveState.SOAKING, good=95, silent=5), HoldWave)


def test_boxes_left_out_are_no_failures_and_no_success() -> None:
    assert first(good=94, left_out=6) == HoldWave(
        1, "wave 1: 94 of 100 are updated, fewer than 95%, and no other box is at it"
    )
    assert first(good=90, left_out=8, silent=2) == HoldWave(
        1, "wave 1: 90 of 98 are updated, fewer than 95%, and no other box is at it"
    )
    assert first(good=95, left_out=5) == StartSoak(1)


def test_a_power_cut_says_nothing_against_the_release() -> None:
    assert first(good=95, excused=5) == StartSoak(1)


def test_a_wave_without_one_good_box_never_passes() -> None:
    careless = replace(LIMITS, success_share_min=0.0, silent_share_max=1.0)
    wave = replace(opened, limits=careless, tally=Tally(silent=100))

    assert isinstance(decide(running(wave), NOON), HoldWave)


def test_a_hold_is_said_once_and_ends_by_good_news() -> None:
    why = "wave 1: 4 of 100 are silent, more than 3%"
    held = replace(opened, state=WaveState.HELD, held_for=why, tally=Tally(good=96, silent=4))

    assert decide(running(held, waiting), NOON) == Wait(why)
    better = replace(held, tally=Tally(good=97, silent=3))
    assert decide(running(better, waiting), NOON) == StartSoak(1)
    at_it = replace(held, tally=Tally(good=90, pending=8, silent=2))
    assert decide(running(at_it, waiting), NOON) == OpenWave(1)
    worse = replace(held, tally=Tally(good=95, silent=5))
    assert isinstance(decide(running(worse, waiting), NOON), HoldWave)


@pytest.mark.parametrize(
    "state",
    [RolloutState.DRAFT, RolloutState.FINISHED, RolloutState.HALTED, RolloutState.STOPPED],
)
def test_a_rollout_that_does_not_move_decides_nothing(state: RolloutState) -> None:
    assert decide(running(opened, state=state), NOON) == Wait(f"is {state}")


def test_a_share_is_the_decimal_that_was_typed() -> None:
    seven = replace(LIMITS, failed_share_max=0.07)
    wave = replace(soaking, limits=seven, tally=Tally(good=93, bad=7))

    assert not isinstance(decide(running(wave), NOON), Halt)
    assert (percent(0.07), percent(0.005), percent(1.0)) == ("7%", "0.5%", "100%")


def impossible() -> Iterator[tuple[str, object]]:
    for share in ("success_share_min", "failed_share_max", "silent_share_max"):
        for value in (-0.1, 1.1, float("nan"), float("inf")):
            yield f"{share} {value}", lambda s=share, v=value: replace(LIMITS, **{s: v})
    yield "no sample", lambda: replace(LIMITS, sample_min=0)
    yield "soak backwards", lambda: replace(LIMITS, soak=-HOUR)
    for outcome in ("pending", "good", "bad", "silent", "left_out", "excused"):
        yield f"{outcome} below zero", lambda o=outcome: Tally(**{o: -1})
    yield "empty wave", lambda: replace(opened, tally=Tally())
    yield "outcomes before the wave", lambda: replace(waiting, tally=Tally(good=1))
    yield "soak unknown", lambda: replace(soaking, soak_from=None)
    yield "passed, never soaked", lambda: replace(passed, soak_from=None)
    yield "soak too early", lambda: replace(opened, soak_from=NOON)
    yield "hold without reason", lambda: replace(opened, state=WaveState.HELD)
    yield "reason without hold", lambda: replace(opened, held_for="why")
    yield "no waves", running
    yield "wave numbers", lambda: running(waiting)
    yield (
        "open too early",
        lambda: running(replace(waiting, position=1), replace(opened, position=2)),
    )
    yield "front not passed", lambda: running(opened, replace(opened, position=2))
    yield "halted wave runs", lambda: running(replace(opened, state=WaveState.HALTED))
    yield "open, not started", lambda: running(opened, state=RolloutState.SCHEDULED)


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in impossible()])
def test_facts_that_contradict_each_other_raise(make: object) -> None:
    with pytest.raises(ImpossibleFactsError):
        make()  # type: ignore[operator]


shares = st.floats(0, 1).map(lambda share: round(share, 4))
limits = st.builds(
    Limits, shares, shares, shares, st.integers(1, 50), st.sampled_from([timedelta(0), HOUR])
)
counts = st.integers(0, 60)
tallies = st.builds(Tally, counts, counts, counts, counts, counts, counts).filter(
    lambda tally: tally.boxes > 0
)


@st.composite
def wave_facts(draw: st.DrawFn) -> WaveFacts:
    state = draw(st.sampled_from([WaveState.OPEN, WaveState.SOAKING, WaveState.HELD]))
    return WaveFacts(
        position=1,
        state=state,
        tally=draw(tallies),
        limits=draw(limits),
        soak_from=NOON if state is WaveState.SOAKING else None,
        held_for="before" if state is WaveState.HELD else None,
    )


@given(wave_facts())
def test_whatever_passes_has_kept_every_limit(wave: WaveFacts) -> None:
    decision = decide(running(wave, waiting), NOON + 2 * HOUR)

    if isinstance(decision, PassWave):
        tally, kept = wave.tally, wave.limits
        assert wave.state is WaveState.SOAKING
        assert tally.good > 0
        assert tally.bad <= kept.failed_share_max * tally.judged + 1e-9
        assert tally.silent + tally.pending <= kept.silent_share_max * tally.boxes + 1e-9
        assert tally.good >= kept.success_share_min * (tally.boxes - tally.silent) - 1e-9


@given(wave_facts(), st.integers(0, 60))
def test_one_more_failure_never_makes_a_halt_go_away(wave: WaveFacts, more: int) -> None:
    tally = wave.tally
    more = min(more, tally.pending)
    worse = replace(tally, bad=tally.bad + more, pending=tally.pending - more)

    if isinstance(decide(running(wave), NOON), Halt):
        assert isinstance(decide(running(replace(wave, tally=worse)), NOON), Halt)


@given(wave_facts())
def test_when_no_box_is_at_it_the_wave_moves_or_says_why_not(wave: WaveFacts) -> None:
    done = replace(wave, tally=replace(wave.tally, pending=0, good=wave.tally.good + 1))
    decision = decide(running(done), NOON + 2 * HOUR)

    assert not isinstance(decision, Wait | OpenWave)


@given(wave_facts(), st.timedeltas(timedelta(0), timedelta(days=2)))
def test_time_alone_only_ends_waiting(wave: WaveFacts, later: timedelta) -> None:
    now, then = decide(running(wave), NOON), decide(running(wave), NOON + later)

    if not isinstance(now, Wait):
        assert then == now


held = replace(
    opened, state=WaveState.HELD, tally=Tally(good=90, silent=10), held_for="too many are silent"
)


def test_a_hold_that_a_person_has_accepted_is_over() -> None:
    accepted = replace(held, accepted=Accepted(silent=10, good=90))

    assert decide(running(accepted, waiting), NOON) == StartSoak(1)
    after = replace(accepted, state=WaveState.SOAKING, held_for=None, soak_from=NOON)
    assert decide(running(after, waiting), NOON + HOUR) == PassWave(1)


def test_more_silence_than_was_accepted_holds_again() -> None:
    worse = replace(held, tally=Tally(good=89, silent=11), accepted=Accepted(silent=10, good=90))

    assert isinstance(decide(running(worse, waiting), NOON), HoldWave)


def test_fewer_updated_than_was_accepted_holds_again() -> None:
    few = replace(held, tally=Tally(good=60, left_out=40), accepted=Accepted(silent=0, good=61))

    assert isinstance(decide(running(few, waiting), NOON), HoldWave)


def test_fewer_updated_are_enough_only_when_no_other_box_is_at_it() -> None:
    busy = replace(
        opened, tally=Tally(good=60, left_out=30, pending=10), accepted=Accepted(good=60)
    )

    assert isinstance(decide(running(busy, waiting), NOON), Wait)
    done = replace(busy, tally=Tally(good=60, left_out=40))
    assert decide(running(done, waiting), NOON) == StartSoak(1)


def test_nothing_that_a_person_accepts_covers_harm_or_a_wave_without_a_good_box() -> None:
    harmed = replace(
        opened, tally=Tally(good=90, bad=4, silent=6), accepted=Accepted(silent=6, good=90)
    )
    empty = replace(opened, tally=Tally(silent=100), accepted=Accepted(silent=100))

    assert isinstance(decide(running(harmed, waiting), NOON), Halt)
    assert isinstance(decide(running(empty, waiting), NOON), HoldWave)
    with pytest.raises(ImpossibleFactsError):
        Accepted(good=0)
