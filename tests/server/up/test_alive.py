"""A process that hangs is ended and started again; one that turns, or a slow one, is not."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from oleada_server import alive
from oleada_server.processes import Child
from oleada_server.scheduler import Scheduler

from tests.support.broker import wait_until

TURNS = (
    "import signal; from oleada_server import alive; "
    "alive.tell(); print('told', flush=True); signal.pause()"
)


@pytest.fixture
def ear() -> Iterator[alive.Ear]:
    found = alive.Ear(silent_s=10)
    yield found
    found.close()


@pytest.fixture
def told(ear: alive.Ear, monkeypatch: pytest.MonkeyPatch) -> alive.Ear:
    """An ear that hears this very process."""
    monkeypatch.setenv(alive.NOTIFY_SOCKET, ear.address)
    return ear


def silence(ear: alive.Ear, from_s: float, seconds: int) -> list[bool]:
    return [ear.hangs(from_s + s) for s in range(seconds)]


def test_a_process_that_says_nothing_for_long_enough_hangs(ear: alive.Ear) -> None:
    assert silence(ear, 100.0, 13) == [False] * 11 + [True] * 2


def test_one_sign_ends_the_silence(told: alive.Ear) -> None:
    assert not any(silence(told, 100.0, 10))
    alive.tell()
    assert not any(silence(told, 110.0, 10))


def test_a_supervisor_that_was_paused_blames_nobody_for_what_it_did_not_hear(
    ear: alive.Ear,
) -> None:
    assert not ear.hangs(100.0)
    assert not ear.hangs(5_000.0)


def test_what_was_heard_of_the_process_before_does_not_count_for_the_next(
    told: alive.Ear,
) -> None:
    assert any(silence(told, 0.0, 13))
    told.begin()
    assert not any(silence(told, 13.0, 10))


@pytest.mark.parametrize("address", ["", "@oleada-nobody-listens-here"])
def test_a_sign_to_nobody_is_no_error(
    ear: alive.Ear, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(alive.NOTIFY_SOCKET, address)
    alive.tell()
    assert any(silence(ear, 0.0, 13))


@pytest.mark.real
def test_a_process_that_was_paused_for_too_long_is_started_anew(
    tmp_path: Path, ear: alive.Ear
) -> None:
    child = Child("worker", [sys.executable, "-c", TURNS], dict(os.environ), tmp_path / "log", ear)
    child.start()
    try:
        wait_until(lambda: "told" in child.said(), "the child turns")
        first = child.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        said = [sentence for s in range(14) if (sentence := child.watch(float(s)))]
        assert "no sign of life" in said[0]
        assert "SIGKILL" in said[1]
        child.watch(1e9)
        wait_until(lambda: child.pid not in (None, first), "it runs again")
    finally:
        child.stop()


def test_a_scheduler_shows_signs_of_life(app: Flask, told: alive.Ear) -> None:
    assert any(silence(told, 0.0, 13))
    Scheduler(app).beat()
    assert not told.hangs(13.0)
