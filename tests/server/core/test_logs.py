"""Logs of a server that nobody looks after for years: neither flooded nor ever growing."""

import logging
import os
import signal
import sys
from pathlib import Path

import pytest
from oleada_server import clock, processes
from oleada_server.logs import ALIKE_MAX, Bounded
from oleada_server.processes import Child

from tests.support.broker import wait_until

NOON = 1_772_366_400.0
WRITER = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
os.write(1, b"x" * 1001)
signal.sigwait([signal.SIGUSR1])
os.write(1, b"after")
signal.pause()
"""


def _record(number: int, at_s: float, sentence: str = "refused message %s") -> logging.LogRecord:
    record = logging.LogRecord("inbox", logging.WARNING, "", 0, sentence, (number,), None)
    record.created = at_s
    return record


def test_a_sentence_said_a_thousand_times_is_a_few_lines_and_the_last_says_so() -> None:
    bounded = Bounded()

    records = [_record(number, NOON) for number in range(1000)]
    told = [record.getMessage() for record in records if bounded.filter(record)]

    assert told[:-1] == [f"refused message {number}" for number in range(ALIKE_MAX - 1)]
    assert told[-1].startswith(f"refused message {ALIKE_MAX - 1} (more like this")


def test_another_sentence_and_the_next_minute_are_told_again() -> None:
    bounded = Bounded()
    for number in range(1000):
        bounded.filter(_record(number, NOON))

    assert bounded.filter(_record(1, NOON, "the database is away %s"))
    assert bounded.filter(_record(1, NOON + 60))


def test_the_log_of_a_process_that_runs_for_months_is_cut_under_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the file open: renamed, the file would grow under its new name."""
    monkeypatch.setattr(processes, "LOG_BYTES_MAX", 1000)
    path = tmp_path / "writer.log"
    child = Child("writer", [sys.executable, "-c", WRITER], dict(os.environ), path)
    child.start()
    try:
        wait_until(lambda: path.stat().st_size == 1001, "it has written much")
        assert child.watch(clock.monotonic_s()) is None
        assert path.with_suffix(".log.1").stat().st_size == 1001

        assert child.pid is not None
        os.kill(child.pid, signal.SIGUSR1)

        wait_until(lambda: path.read_bytes() == b"after", "it goes on in the same file")
    finally:
        child.stop()
