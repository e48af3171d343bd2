"""E of counts: worked examples, and the promise that a good release is seldom halted."""

import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oleada_server.rollouts.evidence import bounds, control, maturity
from oleada_server.rollouts.evidence.control import Hour
from oleada_server.rollouts.evidence.eprocess import (
    ODDS,
    Cell,
    NoSuchCountError,
    log_e,
    log_mean,
)

shares = st.floats(0.001, 0.3)


def exact_e(trials: int, bad: int, accepted: Fraction) -> Fraction:
    """Return E as the formula of the page says it, in exact fractions."""
    total, odds = Fraction(0), accepted / (1 - accepted)
    for times in ODDS:
        changed = Fraction(str(times)) * odds / (1 + Fraction(str(times)) * odds)
        good = (1 - changed) / (1 - accepted)
        total += (changed / accepted) ** bad * good ** (trials - bad)
    return total / len(ODDS)


@pytest.mark.parametrize(
    ("trials", "bad", "e"),
    [(0, 0, 1.0), (1, 1, 7.8548), (2, 2, 136.18), (20, 0, 0.6384), (20, 3, 388.5)],
)
def test_the_worked_examples_of_the_page(trials: int, bad: int, e: float) -> None:
    assert math.exp(log_e([Cell(trials, bad, 0.005)])) == pytest.approx(e, rel=1e-3)


@given(st.integers(0, 60), st.integers(0, 60), st.sampled_from(["0.005", "0.02", "0.1"]))
def test_logarithms_say_the_same_as_exact_fractions(a: int, b: int, share: str) -> None:
    trials, bad = max(a, b), min(a, b)

    found = log_e([Cell(trials, bad, float(share))])

    assert found == pytest.approx(math.log(exact_e(trials, bad, Fraction(share))), abs=1e-9)


@given(st.integers(0, 5000), st.data(), shares)
def test_one_more_bad_box_says_more_and_one_more_good_one_less(
    trials: int, drawn: st.DataObject, share: float
) -> None:
    bad = drawn.draw(st.integers(0, trials))
    here = log_e([Cell(trials, bad, share)])

    assert log_e([Cell(trials + 1, bad + 1, share)]) > here
    assert log_e([Cell(trials + 1, bad, share)]) < here


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=6), shares)
def test_it_does_not_matter_how_trials_are_cut_into_cells(
    pairs: list[tuple[int, int]], share: float
) -> None:
    cells = [Cell(a + b, b, share) for a, b in pairs]
    whole = Cell(sum(c.trials for c in cells), sum(c.bad for c in cells), share)

    assert log_e(cells) == pytest.approx(log_e([whole]), abs=1e-6)
    assert log_e(list(reversed(cells))) == pytest.approx(log_e(cells), abs=1e-9)


def test_a_million_boxes_overflow_nothing() -> None:
    assert log_e([Cell(10**6, 10**6, 0.005)]) > 10**6
    assert log_e([Cell(10**6, 0, 0.3)]) < -(10**4)


def test_at_the_accepted_share_e_is_fair_after_any_number_of_trials() -> None:
    share, trials = Fraction(1, 50), 12

    mean = sum(
        math.comb(trials, bad) * share**bad * (1 - share) ** (trials - bad)
        * exact_e(trials, bad, share)
        for bad in range(trials + 1)
    )  # fmt: skip

    assert mean == 1


@pytest.mark.parametrize("share", [0.005, 0.02])
def test_who_looks_after_every_box_still_halts_a_good_release_seldom(share: float) -> None:
    dice, runs, alpha = random.Random(7), 300, 0.05
    halted = 0
    for _ in range(runs):
        bad = 0
        for trial in range(1, 401):
            is_bad = dice.random() < share
            bad += is_bad
            if is_bad and log_e([Cell(trial, bad, share)]) >= -math.log(alpha):
                halted += 1
                break

    # By Ville's inequality the mean is at most 15 of 300; 28 has a chance of one in a thousand.
    assert halted <= 28


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Cell(1, 2, 0.1), lambda: Cell(1, -1, 0.1), lambda: Cell(1, 1, 0.0),
        lambda: Cell(1, 1, 1.0), lambda: Cell(1, 1, math.nan), lambda: Hour(1, 2, 0, 0),
        lambda: control.log_e([], tolerated=0.9), lambda: control.log_e([], math.nan),
    ],
)  # fmt: skip
def test_what_can_not_be_is_refused(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(NoSuchCountError):
        wrong()


def test_the_mean_of_logarithms_is_the_logarithm_of_the_mean() -> None:
    assert log_mean([math.log(3), math.log(5)]) == pytest.approx(math.log(4))
    assert log_mean([2000.0, 0.0]) == pytest.approx(2000 - math.log(2))


def test_59_good_boxes_rule_out_five_percent_and_299_one() -> None:
    assert bounds.sample_for(0.05, 0.05) == 59
    assert bounds.sample_for(0.01, 0.05) == 299
    for share, needed in ((0.05, 59), (0.01, 299)):
        assert bounds.is_below(0, needed, share, 0.05)
        assert not bounds.is_below(0, needed - 1, share, 0.05)
        assert not bounds.is_below(1, needed, share, 0.05)
    assert not bounds.is_below(0, 0, 0.05, 0.05)


@given(st.integers(1, 300), st.data(), st.sampled_from([0.01, 0.05]))
def test_the_bound_is_where_the_binomial_says_it_is(
    trials: int, drawn: st.DataObject, doubt: float
) -> None:
    bad = drawn.draw(st.integers(0, trials))
    found = bounds.share_at_most(bad, trials, doubt)

    if bad == trials:
        assert found == 1.0
        return
    chance = math.fsum(
        math.comb(trials, count) * found**count * (1 - found) ** (trials - count)
        for count in range(bad + 1)
    )
    assert chance == pytest.approx(doubt, rel=1e-6)
    assert bounds.is_below(bad, trials, min(found * 1.001, 0.9999999), doubt)
    assert not bounds.is_below(bad, trials, found * 0.999, doubt)


def test_an_hour_that_is_bad_for_both_says_nothing_and_one_that_is_bad_for_one_does() -> None:
    storm = [Hour(100, 30, 100, 30)] * 5
    harm = [Hour(100, 10, 100, 2)] * 5

    assert control.log_e(storm) < 0
    assert control.log_e(harm) > math.log(100)
    assert control.log_e(harm, tolerated=5.0) < 0


def test_an_hour_without_a_control_says_nothing() -> None:
    alone = Hour(100, 90, 0, 0)
    quiet = Hour(100, 1, 100, 1)

    assert control.log_e([quiet, alone]) == control.log_e([quiet])
    assert control.log_e([alone]) == 0.0


def test_the_control_is_fair_whatever_the_rhythm_of_the_day() -> None:
    dice, runs, alpha = random.Random(11), 200, 0.05
    halted = 0
    for _ in range(runs):
        hours: list[Hour] = []
        for hour in range(24):
            rate = 0.01 + 0.10 * (hour in (7, 20, 21))
            bad = [sum(dice.random() < rate for _ in range(20)) for _ in range(2)]
            hours.append(Hour(20, bad[0], 20, bad[1]))
            if control.log_e(hours) >= -math.log(alpha):
                halted += 1
                break

    # At most 10 of 200 by Ville's inequality; 21 has a chance of one in a thousand.
    assert halted <= 21


def test_a_trial_is_judged_when_nearly_all_past_ones_had_reported() -> None:
    minutes = [60 * number for number in range(1, 1001)]

    assert maturity.age(minutes).total_seconds() == 995 * 60
    assert maturity.age([60] * 1000) == maturity.AGE_MIN
    assert maturity.age([]) == maturity.AGE_MIN
    assert maturity.age([5000, 7000]).total_seconds() == 7000
    assert maturity.age([10**6]) == maturity.AGE_MAX
