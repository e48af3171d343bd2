"""What the evidence says: halt all, halt one stratum, a trickle, ask, or let pass."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oleada_server.rollouts.evidence.control import Hour, log_e
from oleada_server.rollouts.evidence.eprocess import NoSuchCountError, log_mean
from oleada_server.rollouts.evidence.judge import (
    Evidence,
    Matured,
    Stratum,
    Terms,
    Verdict,
    dark_share,
    harm,
    is_proven,
    judge,
    sample_needed,
)
from oleada_server.rollouts.evidence.slow_start import DOUBTFUL, TRICKLE, room
from oleada_server.rollouts.plan import (
    Limits,
    PassWave,
    RolloutFacts,
    Tally,
    Wait,
    WaveFacts,
    decide,
)
from oleada_server.rollouts.states import RolloutState, WaveState

TERMS = Terms()


def of(*strata: Stratum, **changed: Any) -> Evidence:
    return replace(Evidence(TERMS, strata), **changed)


def one(name: str = "1.0.0", **counts: Any) -> Stratum:
    return Stratum(name, 10_000, **counts)


def said(*strata: Stratum, **changed: Any) -> Verdict:
    return judge(of(*strata, **changed))


def test_nothing_is_said_before_anything_has_happened() -> None:
    assert said(one()) == Verdict(
        0.0, {"1.0.0": 0.0}, halting=(), halts_all=False, asks=False, room=20
    )


def test_three_of_the_first_twenty_that_roll_back_halt() -> None:
    assert not said(one(begun=20, bad=2)).halts_all
    assert said(one(begun=20, bad=3)).halts_all


def test_a_release_as_good_as_accepted_is_not_halted_by_its_usual_failures() -> None:
    found = said(one(begun=10_000, bad=50, good=9000))

    assert not found.halts_all
    assert found.log_e < 0
    assert found.room == 2000


def test_silence_beside_which_nobody_went_dark_halts() -> None:
    look = Matured(20, 20, dark_share(2500, 50, 0.005))

    assert said(one(begun=20, silent=20, looks=(look,))).halts_all


def test_a_region_that_goes_dark_takes_the_control_with_it_and_halts_nothing() -> None:
    dark = Matured(600, 180, dark_share(2500, 760, 0.005))

    found = said(one(begun=1000, good=400, silent=180, looks=(dark,)))

    assert not found.halts_all
    assert found.log_e < 0


def test_strange_silence_without_a_control_asks_a_person_and_nobody_begins() -> None:
    silent = of(one(begun=20, silent=20, alone=20, alone_silent=20))

    found = judge(silent)

    assert found.asks
    assert not found.halts_all
    assert found.room == 0
    assert not judge(replace(silent, silent_accepted=20)).asks
    assert not said(one(begun=40, silent=1, good=39, alone=40, alone_silent=1)).asks


def test_one_bad_stratum_halts_alone() -> None:
    bad = one("1.0.0", begun=30, bad=20)
    fine = one("1.1.0", begun=900, good=880, bad=4)

    found = said(bad, fine)

    assert found.halting == ("1.0.0",)
    assert not found.halts_all
    assert not said(replace(bad, is_halted=True), fine).halting


def test_a_little_harm_in_each_of_many_strata_halts_all() -> None:
    strata = [one(f"1.0.{number}", begun=2, bad=1) for number in range(20)]

    assert said(*strata).halts_all


def test_a_stratum_that_is_halted_is_weighed_no_more() -> None:
    halted = one("1.0.0", begun=30, bad=30, is_halted=True)
    fine = one("1.1.0", begun=100, good=80)

    found = said(halted, fine)

    assert found.log_e < 0
    assert found.room == 100


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 20)), min_size=1, max_size=5))
def test_who_halts_is_halted_once_and_the_order_of_strata_does_not_matter(
    pairs: list[tuple[int, int]],
) -> None:
    strata = [one(f"1.0.{i}", begun=n + f, bad=f) for i, (n, f) in enumerate(pairs)]

    found = said(*strata)
    assert set(said(*reversed(strata)).halting) == set(found.halting)
    assert (found.log_e >= -math.log(TERMS.alpha)) == bool(found.halting)

    after = [replace(s, is_halted=s.name in found.halting) for s in strata]
    if not found.halts_all:
        assert said(*after).halting == ()


@given(st.integers(0, 400), st.data())
def test_one_more_failure_never_lets_go_what_was_halted(begun: int, drawn: st.DataObject) -> None:
    bad = drawn.draw(st.integers(0, begun))

    before, after = said(one(begun=begun, bad=bad)), said(one(begun=begun + 1, bad=bad + 1))

    assert after.halts_all or not before.halts_all
    assert after.room <= max(before.room, 1)


def test_from_e_ten_on_there_is_a_trickle() -> None:
    found = said(one(begun=100, good=60, bad=4))

    assert DOUBTFUL <= found.log_e < -math.log(TERMS.alpha)
    assert found.room == TRICKLE


@pytest.mark.parametrize(
    ("good", "kept", "log_e", "asks", "boxes"),
    [
        (0, 0, 0.0, False, 20), (7, 0, 0.0, False, 27), (5000, 0, 0.0, False, 2000),
        (7, 3, 0.0, False, 24), (0, 25, 0.0, False, 1), (900, 0, DOUBTFUL, False, 5),
        (900, 9, DOUBTFUL, False, 1), (900, 0, 0.0, True, 0),
    ],
)  # fmt: skip
def test_the_room_grows_by_one_for_each_good_box_and_a_bad_one_keeps_its_place(
    good: int, kept: int, log_e: float, asks: bool, boxes: int
) -> None:
    found = room(20, 2000, good=good, kept_by_bad=kept, log_e=log_e, asks=asks)

    assert found == boxes


def test_a_wave_is_proven_by_59_good_boxes_and_none_bad() -> None:
    assert sample_needed(TERMS) == 59
    assert is_proven(of(one(begun=59, good=59)))
    assert not is_proven(of(one(begun=58, good=58)))
    assert not is_proven(of(one(begun=60, good=59, bad=1)))
    assert not is_proven(of(one(begun=60, good=59, silent=1)))
    assert is_proven(of(one(begun=100, good=99, bad=1)))


def test_a_dark_region_beside_makes_no_fewer_good_boxes_enough() -> None:
    dark = Matured(20, 0, 0.6, dark_least=0.5)
    few, enough = (replace(one(begun=n, good=n), looks=(dark,)) for n in (58, 59))

    assert not is_proven(of(few))
    assert is_proven(of(enough))


def test_no_wave_is_proven_while_the_evidence_is_doubtful() -> None:
    doubtful = one(begun=1000, good=980, bad=14)

    assert said(doubtful).log_e >= DOUBTFUL
    assert not is_proven(of(doubtful))


def test_two_percent_dark_of_2500_boxes_may_be_2_7_percent() -> None:
    assert dark_share(2500, 50, 0.005) == pytest.approx(0.0273, abs=0.0005)
    assert dark_share(2500, 0, 0.005) == 0.005
    assert dark_share(0, 0, 0.005) == 0.99


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Terms(accepted_share=0), lambda: Terms(alpha=1), lambda: Terms(doubt=math.nan),
        lambda: Terms(bad_share_max=0.005), lambda: Terms(start_boxes=0),
        lambda: Terms(in_flight_max=0), lambda: Stratum("1", 5, begun=1, bad=2),
        lambda: Stratum("1", -1), lambda: Evidence(TERMS, ()),
    ],
)  # fmt: skip
def test_terms_and_counts_that_can_not_be_are_refused(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(NoSuchCountError):
        wrong()


def hours(updated_bad: int, control_bad: int, number: int = 24) -> tuple[Hour, ...]:
    return (Hour(1000, updated_bad, 2000, control_bad),) * number


def test_updated_boxes_that_have_more_bad_hours_than_those_that_wait_halt_everything() -> None:
    bad = of(one(begun=1000, good=1000), hours=hours(4, 2))

    assert judge(bad).halts_all
    assert judge(bad).halting == ()
    assert harm(bad, ()) == (
        "the evidence speaks against it: 96 bad in 24,000 device-hours of updated "
        "boxes, beside 48 in 48,000 of boxes that wait"
    )


@pytest.mark.parametrize(
    ("updated_bad", "control_bad", "halts"),
    [(2, 4, False), (40, 80, False), (40, 60, False), (64, 80, True), (0, 0, False)],
)
def test_what_befalls_both_halts_nothing_nor_does_a_fifth_more(
    updated_bad: int, control_bad: int, halts: bool
) -> None:
    found = said(one(begun=1000, good=1000), hours=hours(updated_bad, control_bad))

    assert found.halts_all is halts


def test_who_watches_the_hours_shares_the_chance_of_a_false_halt_with_them() -> None:
    at_a_hundred = one(begun=58, bad=4)
    e = judge(of(at_a_hundred)).log_e
    assert math.log(100) < e < math.log(200)

    assert said(at_a_hundred).halts_all
    assert not said(at_a_hundred, hours=()).halts_all


def test_doubtful_hours_leave_a_trickle_and_open_no_gate() -> None:
    proven = one(begun=100, good=100)
    doubtful = of(proven, hours=hours(4, 2, number=5))

    found = judge(doubtful)

    assert DOUBTFUL <= found.log_e_beside < doubtful.wall
    assert found.room == TRICKLE
    assert is_proven(of(proven, hours=hours(2, 4)))
    assert not is_proven(doubtful)


def test_a_rare_kind_of_bad_hour_is_not_drowned_by_a_common_one() -> None:
    rare = (Hour(1000, 4, 2000, 2, "restart"),) * 24
    common = (Hour(1000, 100, 2000, 200, "dark"),) * 24

    found = of(one(begun=1000, good=1000), hours=rare + common)

    assert judge(found).halts_all
    assert harm(found, ()).startswith(
        "the evidence speaks against it: restart: 96 bad in 24,000 device-hours"
    )
    assert judge(found).log_e_beside == pytest.approx(
        log_mean([log_e(rare, 1.2), log_e(common, 1.2)])
    )


def test_a_wave_whose_soak_is_over_waits_while_its_hours_are_doubtful() -> None:
    proven, now = one(begun=100, good=100), datetime(2026, 11, 22, tzinfo=UTC)
    limits = Limits(0.9, 1.0, 1.0, 1, timedelta(hours=1))
    wave = WaveFacts(1, WaveState.SOAKING, Tally(good=100), limits, soak_from=now)
    calm = RolloutFacts(RolloutState.RUNNING, (wave,), evidence=of(proven, hours=hours(2, 4)))
    doubtful = replace(calm, evidence=of(proven, hours=hours(4, 2, number=5)))

    assert decide(calm, now + timedelta(hours=1)) == PassWave(1)
    assert decide(doubtful, now + timedelta(hours=1)) == Wait(
        "wave 1: the evidence does not prove it good yet"
    )
