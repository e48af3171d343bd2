from collections.abc import Callable

import pytest
from oleada_lab.sim.link import Burst, DeadError, Profile, SilentError, SimLink, Way
from oleada_lab.sim.world import Dice


def a_link(profile: Profile | None = None) -> SimLink:
    """Return a line with chance of its own."""
    return SimLink(Dice("link"), profile or Profile(rtt_ms=40, jitter_ms=0))


def late_share(link: SimLink, messages: int) -> float:
    """Return which share of small messages were sent again."""
    half_ms = link.profile.rtt_ms // 2
    at = range(0, messages * 1_000_000, 1_000_000)
    return sum(link.carry(100, Way.UP, now) > half_ms + 1 for now in at) / messages


def test_a_message_takes_half_a_round_trip_and_its_time_on_the_line() -> None:
    link = a_link(Profile(rtt_ms=40, jitter_ms=0, rate_bytes_per_s=1_000))

    assert link.carry(500, Way.UP, now_ms=0) == 500 + 20


def test_messages_never_overtake_each_other() -> None:
    link = a_link(Profile(rtt_ms=100, jitter_ms=90, loss=0.2))

    arrivals = [now + link.carry(100, Way.UP, now) for now in range(0, 2_000, 10)]

    assert arrivals == sorted(arrivals)


def test_each_direction_has_a_line_of_its_own() -> None:
    link = a_link(Profile(rtt_ms=40, jitter_ms=0, rate_bytes_per_s=1_000))
    link.carry(10_000, Way.DOWN, now_ms=0)

    assert link.carry(100, Way.UP, now_ms=0) == 120


@pytest.mark.parametrize("loss", [0.05, 0.2])
def test_loss_delays_as_many_messages_as_it_says(loss: float) -> None:
    found = late_share(a_link(Profile(jitter_ms=0, loss=loss)), 4_000)

    assert abs(found - loss) < 0.02


def test_bursts_lose_more_than_their_calm() -> None:
    burst = Burst(begin=0.02, end=0.3, loss_in=0.6, loss_out=0.0)
    found = late_share(a_link(Profile(jitter_ms=0, burst=burst)), 4_000)

    assert 0.01 < found < 0.15


def test_a_segment_that_is_never_heard_of_ends_the_connection() -> None:
    with pytest.raises(DeadError, match="timed out"):
        a_link(Profile(loss=1.0)).carry(10, Way.UP, 0)


def test_a_line_without_carrier_says_so() -> None:
    link = a_link()
    link.is_cut = True

    with pytest.raises(DeadError):
        link.carry(10, Way.UP, 0)
    with pytest.raises(DeadError):
        link.connect_ms()


def test_a_half_open_line_swallows_one_direction() -> None:
    link = a_link()
    link.silent = (Way.DOWN,)

    assert link.carry(10, Way.UP, 0) == 20
    with pytest.raises(SilentError):
        link.carry(10, Way.DOWN, 0)
    with pytest.raises(SilentError):
        link.connect_ms()


def test_a_black_hole_swallows_only_what_is_large() -> None:
    link = a_link(Profile(jitter_ms=0, blackhole_over=1_400))

    assert link.carry(1_400, Way.UP, 0) > 0
    with pytest.raises(SilentError, match="too large"):
        link.carry(1_401, Way.UP, 0)


def test_a_router_forgets_a_connection_that_is_idle_for_too_long() -> None:
    link = a_link(Profile(nat_timeout_ms=30_000))

    assert link.carry(10, Way.UP, 0, idle_ms=30_000) > 0
    with pytest.raises(SilentError, match="forgotten"):
        link.carry(10, Way.UP, 0, idle_ms=30_001)


def test_a_connection_that_dies_after_so_many_bytes_dies_once() -> None:
    link = a_link()
    link.limit_bytes = 1_000

    assert link.carry(600, Way.DOWN, 0) > 0
    with pytest.raises(DeadError, match="reset"):
        link.carry(600, Way.DOWN, 0)
    assert link.carry(600, Way.DOWN, 0) > 0


def test_a_metered_line_is_slower() -> None:
    link = a_link(Profile(rtt_ms=0, jitter_ms=0, rate_bytes_per_s=1_000))
    link.slowdown = 4

    assert link.carry(1_000, Way.DOWN, 0) == 4_000


@pytest.mark.parametrize("mend", [lambda link: None, lambda link: link.forget_connection()])
def test_a_new_connection_does_not_wait_for_the_bytes_of_the_old_one(
    mend: Callable[[SimLink], None],
) -> None:
    link = a_link(Profile(rtt_ms=40, jitter_ms=0, rate_bytes_per_s=100))
    link.carry(10_000, Way.UP, 0)
    mend(link)

    link.connect_ms()

    assert link.carry(1, Way.UP, 0) == 30
