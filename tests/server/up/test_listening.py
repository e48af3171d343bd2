"""A process of ours that listens with a short queue is given a long one from outside."""

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from oleada_server import listening

pytestmark = pytest.mark.real

KNOCK_S = 60.0


@contextmanager
def _busy_listener(queue: int) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Yield a process that listens, accepts nobody, and keeps *queue* callers; and its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=queue) as sock, socket.socket() as other:
        process = subprocess.Popen(
            [sys.executable, "-c", "import signal; signal.pause()"],
            pass_fds=[sock.fileno(), other.fileno()],
        )
        try:
            yield process, sock.getsockname()[1]
        finally:
            process.kill()
            process.wait()


def _standing(port: int, times: int) -> int:
    """Connect *times* times, keeping every connection; return how many stand in the end."""
    with ExitStack() as lines:
        place = ("127.0.0.1", port)
        found = [
            lines.enter_context(socket.create_connection(place, KNOCK_S)) for _ in range(times)
        ]
        return sum(line.getpeername() == place for line in found)


def test_everybody_who_knocks_at_a_busy_process_may_wait() -> None:
    with _busy_listener(queue=1) as (process, port):
        assert listening.lengthen(process.pid) == [port]

        assert _standing(port, 50) == 50


def test_a_process_is_seen_to_once_and_anew_when_it_was_started_again() -> None:
    said: list[str] = []
    queue = listening.LongQueue(said.append)
    for _ in range(2):
        with _busy_listener(queue=1) as (process, port):
            queue.turn(None)
            queue.turn(process.pid)

            assert _standing(port, 10) == 10

    assert said == []


def test_a_process_that_does_not_listen_yet_is_asked_again() -> None:
    queue = listening.LongQueue(pytest.fail)
    queue.turn(os.getpid())

    with socket.create_server(("127.0.0.1", 0), backlog=1) as sock:
        queue.turn(os.getpid())

        assert _standing(sock.getsockname()[1], 10) == 10


def test_a_process_that_has_ended_is_nothing_to_tell_of() -> None:
    with _busy_listener(queue=1) as (process, _):
        gone = process.pid

    said: list[str] = []
    listening.LongQueue(said.append).turn(gone)

    assert said == []


def test_a_kernel_that_lends_no_sockets_is_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int) -> int:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "pidfd_open", refuse)
    said: list[str] = []
    queue = listening.LongQueue(said.append)

    for _ in range(2):
        queue.turn(os.getpid())

    assert len(said) == 1
    assert "100 new connections waiting, no more (Operation not permitted)" in said[0]
