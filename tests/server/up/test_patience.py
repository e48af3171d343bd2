"""How long a peer may make us wait, and what a socket does that has heard enough."""

import os
import socket
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import TConn
from oleada_server import patience
from oleada_server import patient_worker as worker
from oleada_server.patience import Allowance, Pace
from oleada_server.patient_worker import PatientWorker

KIB = 1024
NOTHING = Pace(0.0, KIB)


def _reading() -> Allowance:
    return Allowance(patience.READING, patience.READING_IN_A_CROWD)


def test_a_peer_that_says_nothing_has_the_grace_and_no_more() -> None:
    allowance = _reading()
    assert (allowance.left_s(is_crowd=False), allowance.left_s(is_crowd=True)) == (20, 3)

    allowance.add(0, 3)

    assert (allowance.left_s(is_crowd=False), allowance.left_s(is_crowd=True)) == (17, 0)


def test_a_byte_now_and_then_does_not_buy_the_time_until_the_next_one() -> None:
    allowance = _reading()
    for _ in range(21):
        allowance.add(1, 1.0)

    assert allowance.left_s(is_crowd=False) < 0


def test_an_honest_upload_over_a_slow_line_is_never_cut() -> None:
    allowance = _reading()
    for _ in range(100_000):
        allowance.add(20 * KIB, 1.0)
        assert allowance.left_s(is_crowd=True) > 0


def test_our_own_slowness_costs_the_peer_nothing() -> None:
    allowance = _reading()
    allowance.add(10, 0.0)

    assert allowance.left_s(is_crowd=True) >= 3


@pytest.mark.parametrize(
    ("asked", "threads", "found"), [(0, 1, False), (1, 1, True), (2, 4, False), (3, 4, True)]
)
def test_a_crowd_takes_three_quarters_of_the_threads(asked: int, threads: int, found: bool) -> None:
    assert patience.is_crowd(asked, threads) is found


@contextmanager
def _pair() -> Iterator[tuple[worker.PatientSocket, socket.socket]]:
    """Yield our end and the peer's, in a request whose peer has used up its time."""
    ours, theirs = socket.socketpair()
    patient = worker.PatientSocket(fileno=ours.detach())
    request = worker.request_of_this_thread
    request.begin(lambda: False)
    request.reading, request.writing = Allowance(NOTHING, NOTHING), Allowance(NOTHING, NOTHING)
    try:
        with patient, theirs:
            yield patient, theirs
    finally:
        request.end()


def test_a_peer_without_time_left_is_hung_up_on_in_both_directions() -> None:
    with _pair() as (patient, _):
        with pytest.raises(ConnectionResetError, match="keeps no pace"):
            patient.recv(10)
        with pytest.raises(ConnectionResetError, match="keeps no pace"):
            patient.sendall(b"an answer")


def test_a_peer_that_reads_nothing_is_hung_up_on_in_the_middle_of_the_answer() -> None:
    with _pair() as (patient, theirs):
        pace = replace(patience.WRITING, grace_s=0.05, bytes_per_s=1024 * 1024 * 1024)
        worker.request_of_this_thread.writing = Allowance(pace, pace)

        with pytest.raises(ConnectionResetError, match="keeps no pace"):
            patient.sendall(b"x" * 64 * KIB * KIB)

        assert len(theirs.recv(16)) == 16


def test_everything_arrives_at_a_peer_that_keeps_the_pace() -> None:
    with _pair() as (patient, theirs):
        worker.request_of_this_thread.begin(lambda: True)
        theirs.sendall(b"a request")

        assert patient.recv(100) == b"a request"
        patient.sendall(bytearray(b"an answer"))
        assert theirs.recv(100) == b"an answer"


def test_a_socket_of_ours_never_waits_for_ever() -> None:
    with _pair() as (patient, _):
        patient.setblocking(True)
        assert patient.gettimeout() == worker.SILENCE_S
        patient.setblocking(False)
        assert patient.gettimeout() == 0


def test_a_connection_that_has_ended_is_counted_once() -> None:
    """gunicorn's count of connections is what bounds them; it must come back to nothing."""
    server = PatientWorker(0, os.getppid(), [], None, 30, (config := Config()), Logger(config))
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(b"no request\r\n\r\n")
        theirs.shutdown(socket.SHUT_WR)
        conn = TConn(config, ours, ("127.0.0.1", 1), ("127.0.0.1", 2))
        conn.data_ready, server.nr_conns = True, 1
        done: Future[object] = Future()

        done.set_result(server.handle(conn))
        server.finish_request(conn, done)

        assert theirs.recv(12) == b"HTTP/1.1 400"
        assert conn.sock.fileno() == -1
        assert server.nr_conns == 0
    server.tmp.close()
