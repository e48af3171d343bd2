"""Pauses that double, up to a limit, of which any part may be drawn."""

from random import Random

from oleada_agent.backoff import Backoff

FOUND = Backoff(1_000, 60_000)


def test_the_ceiling_doubles_with_each_failure_up_to_its_limit() -> None:
    ceilings = [FOUND.ceiling_ms(failures) for failures in (1, 2, 3, 6, 7, 10**6)]

    assert ceilings == [1_000, 2_000, 4_000, 32_000, 60_000, 60_000]


def test_any_part_of_the_ceiling_may_be_drawn() -> None:
    assert FOUND.pause_ms(3, lambda _limit: 0) == 0
    assert FOUND.pause_ms(3, lambda limit: limit - 1) == 4_000


def test_a_fleet_that_failed_at_once_does_not_try_again_at_once() -> None:
    dice = Random(1)
    pauses = [FOUND.pause_ms(7, dice.randrange) for _ in range(6_000)]
    per_ten_s = [
        sum(low <= one < low + 10_000 for one in pauses) for low in range(0, 60_000, 10_000)
    ]

    assert all(850 < boxes < 1_150 for boxes in per_ten_s)
