from random import Random

import pytest
from oleada_agent import reconnect
from oleada_agent.reconnect import Reconnect, first_spread_ms, hello_pause_ms
from oleada_wire.words import BootReason


def longest(limit: int) -> int:
    """Draw the most that may be drawn."""
    return limit - 1


@pytest.mark.parametrize("reason", [BootReason.POWER_ON, BootReason.UNKNOWN])
def test_after_a_blackout_the_first_connection_waits_a_part_of_the_whole_spread(
    reason: BootReason,
) -> None:
    assert first_spread_ms(60, reason) == 60_000


@pytest.mark.parametrize(
    "reason", [BootReason.UPDATE, BootReason.REBOOT, BootReason.WATCHDOG, BootReason.FALLBACK]
)
def test_a_box_that_restarts_by_itself_hardly_waits(reason: BootReason) -> None:
    assert first_spread_ms(60, reason) == 5_000
    assert first_spread_ms(2, reason) == 2_000


def test_the_first_pauses_of_a_fleet_fill_the_spread_evenly() -> None:
    dice = Random(1)
    pauses = [Reconnect(dice.randrange).first_ms(60_000) for _ in range(6_000)]
    per_ten_s = [
        sum(low <= one < low + 10_000 for one in pauses) for low in range(0, 60_000, 10_000)
    ]

    assert all(850 < boxes < 1_150 for boxes in per_ten_s)
    assert Reconnect(longest).first_ms(60_000) == 60_000


def test_a_pause_doubles_with_each_failure_up_to_its_limit() -> None:
    found = Reconnect(longest)
    pauses = [found.next_ms(was_accepted=False, lasted_ms=0) for _ in range(9)]

    assert pauses == [2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 120_000, 120_000, 120_000]


def test_any_part_of_a_pause_may_be_drawn() -> None:
    assert Reconnect(lambda _limit: 0).next_ms(was_accepted=False, lasted_ms=0) == 0


@pytest.mark.parametrize(
    ("was_accepted", "lasted_ms", "failures"),
    [(True, reconnect.HELD_MS, 0), (True, reconnect.HELD_MS - 1, 4), (False, 10**9, 4)],
)
def test_only_a_connection_that_held_makes_the_next_pause_short(
    was_accepted: bool, lasted_ms: int, failures: int
) -> None:
    found = Reconnect(longest, failures=3)
    found.next_ms(was_accepted=was_accepted, lasted_ms=lasted_ms)

    assert found.failures == failures


def test_hellos_grow_rare_when_nobody_answers() -> None:
    assert hello_pause_ms(0, longest) == 3_999
    assert hello_pause_ms(4, longest) == 63_999
    assert hello_pause_ms(50, longest) == 119_999
    assert hello_pause_ms(0, lambda _limit: 0) == 2_000
