"""A busy machine makes no box late, and a box that sleeps is not waited for for ever."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from oleada_lab.clock import monotonic_s, sleep_s
from oleada_lab.errors import OperatorError
from oleada_lab.real.patience import SLOWEST, Patience, delays_of

LIMIT_S = 10.0
WAIT_S = 60


def seconds_until_out(kept_share: float) -> int:
    """Return after how many seconds a box is late that a machine keeps waiting so much of them."""
    patience = Patience(LIMIT_S, 0.0)
    for second in range(1, 1_000):
        delays = {1: second * kept_share}
        if patience.is_out(float(second), delays.copy):
            return second
    raise AssertionError("it was waited for for ever")


@pytest.mark.parametrize(("kept_share", "seconds"), [(0.0, 10), (0.5, 20), (0.9, 100)])
def test_only_the_time_counts_in_which_a_box_could_have_done_something(
    kept_share: float, seconds: int
) -> None:
    assert seconds_until_out(kept_share) == seconds


def test_two_tasks_that_wait_at_once_take_no_more_than_the_time_that_passed() -> None:
    patience = Patience(LIMIT_S, 0.0)

    assert not patience.is_out(20.0, lambda: {1: 15.0, 2: 15.0})
    assert not patience.is_out(29.0, lambda: {1: 15.0, 2: 15.0})
    assert patience.is_out(30.0, lambda: {1: 15.0, 2: 15.0})


def test_a_machine_that_gives_a_box_nothing_judges_nothing() -> None:
    with pytest.raises(OperatorError, match="too busy to judge"):
        seconds_until_out(1.0)
    assert seconds_until_out(1 - 2 / SLOWEST) < SLOWEST * LIMIT_S


@pytest.fixture
def sleeper() -> Iterator[int]:
    """Yield a process that waits for a child that reads for ever."""
    inner = f"import sys, subprocess; subprocess.run([{sys.executable!r}, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", inner], stdin=subprocess.PIPE) as process:
        yield process.pid
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.real
def test_the_kernel_is_asked_about_those_who_work_and_not_about_those_who_wait(
    sleeper: int,
) -> None:
    until = monotonic_s() + WAIT_S
    while set(delays_of(sleeper)) <= {sleeper}:
        assert monotonic_s() < until, "the child never began"
        sleep_s(0.01)

    assert sleeper not in delays_of(sleeper)
    assert all(waited_s >= 0 for waited_s in delays_of(sleeper).values())


def test_a_process_that_is_gone_keeps_nobody_waiting() -> None:
    assert delays_of(2**22 + 1) == {}
