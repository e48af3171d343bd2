"""The line of a real box: what a network does to packets, done to the bytes of real sockets."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from random import Random

import pytest
from oleada_lab.proc.line import Line, Lines, peak
from oleada_lab.proc.wrong_door import Certificates
from oleada_lab.real.house import Authority
from oleada_lab.scenario import Duration, Moment, Size
from oleada_lab.scenario import Line as Profile
from oleada_lab.sim.link import Way

from tests.support.postgres import free_port

ADDRESS = "127.77.251.1"
QUICK = Profile(rtt=Moment(2), jitter=Moment(0))
LIMIT_S = 60.0
SOON_S = 0.5
"""Long enough for loopback; only what must not come is waited for so long."""


class Echo(threading.Thread):
    """Says back whatever it hears, on one port of loopback."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.heard = threading.Event()

    def run(self) -> None:
        """Let everybody in."""
        with self.listener:
            while True:
                try:
                    peer, _ = self.listener.accept()
                except OSError:
                    return
                threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer: socket.socket) -> None:
        """Answer one of them."""
        with peer, suppress(OSError):
            while data := peer.recv(4096):
                if data == b"x":
                    self.heard.set()
                peer.sendall(data)

    def stop(self) -> None:
        """Let nobody in any more."""
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.join()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Return the certificates of a door that nobody opens here."""
    pki, other = tmp_path_factory.mktemp("pki"), tmp_path_factory.mktemp("other")
    authority = Authority("service CA")
    certificate, key = authority.server_files(pki)
    certificate.rename(pki / "door.pem")
    key.rename(pki / "door.key")
    (pki / "service-ca.pem").write_text(authority.pem)
    return Certificates.of(pki, other)


@pytest.fixture
def echo() -> Iterator[Echo]:
    """Return a server that says back what it hears."""
    found = Echo()
    found.start()
    yield found
    found.stop()


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Return the thread of the lines."""
    with Lines() as found:
        yield found


@pytest.fixture
def line(lines: Lines, echo: Echo, certificates: Certificates) -> Line:
    """Return an open line to *echo*, behind which the broker would be."""
    ports = (echo.port, free_port())
    return lines.open(Line(ADDRESS, ports, QUICK, Random(1), certificates))


def call(line: Line, port: int) -> socket.socket:
    return socket.create_connection((line.address, port), LIMIT_S)


def hear(peer: socket.socket, size_bytes: int) -> bytes:
    found = b""
    while len(found) < size_bytes and (part := peer.recv(size_bytes - len(found))):
        found += part
    return found


def hear_what_comes(peer: socket.socket) -> bytes:
    """Return what is heard until nothing comes any more."""
    found, part = b"", b" "
    peer.settimeout(10 * SOON_S)
    while part:
        try:
            part = peer.recv(65_536)
        except TimeoutError:
            return found
        found += part
    return found


def is_silent(peer: socket.socket) -> bool:
    """Return whether nothing comes, not even an end, for a while."""
    peer.settimeout(SOON_S)
    try:
        peer.recv(1)
    except TimeoutError:
        return True
    finally:
        peer.settimeout(LIMIT_S)
    return False


def test_what_is_said_comes_through_whole_and_in_order(line: Line, echo: Echo) -> None:
    said = Random(7).randbytes(200_000)

    with call(line, echo.port) as peer:
        threading.Thread(target=peer.sendall, args=(said,), daemon=True).start()

        assert hear(peer, len(said)) == said
        assert line.is_connected


def test_an_end_is_passed_on(line: Line, echo: Echo) -> None:
    with call(line, echo.port) as peer:
        peer.sendall(b"last words")
        peer.shutdown(socket.SHUT_WR)

        assert hear(peer, 100) == b"last words"


def test_a_cut_line_ends_what_there_is_and_lets_nobody_in(
    line: Line, lines: Lines, echo: Echo
) -> None:
    with call(line, echo.port) as peer:
        peer.sendall(b"hello")
        assert hear(peer, 5) == b"hello"

        line.is_cut = True
        lines.reset(line)

        with pytest.raises(ConnectionResetError):
            peer.recv(1)
    with pytest.raises(ConnectionResetError), call(line, echo.port) as peer:
        peer.recv(1)
    assert not line.is_connected


def test_a_half_open_line_says_nothing_and_goes_on_where_it_was(line: Line, echo: Echo) -> None:
    with call(line, echo.port) as peer:
        line.silent = (Way.UP, Way.DOWN)
        peer.sendall(b"is anybody there?")

        assert is_silent(peer)
        line.silent = ()
        assert hear(peer, 17) == b"is anybody there?"


def test_a_deaf_box_is_heard_and_hears_nothing(line: Line, echo: Echo) -> None:
    with call(line, echo.port) as peer:
        peer.sendall(b"first")
        hear(peer, 5)
        line.silent = (Way.DOWN,)
        peer.sendall(b"x")

        assert echo.heard.wait(LIMIT_S)
        assert is_silent(peer)
        line.silent = ()
        assert hear(peer, 1) == b"x"


def test_a_router_that_forgets_an_idle_connection_tells_nobody(line: Line, echo: Echo) -> None:
    line.profile = Profile(rtt=Moment(2), jitter=Moment(0), nat_timeout=Duration(0))

    with call(line, echo.port) as peer:
        is_silent(peer)
        peer.sendall(b"still there?")

        assert is_silent(peer)
        assert not line.is_connected


def test_an_answer_that_is_too_large_vanishes_and_a_small_one_does_not(
    line: Line, echo: Echo
) -> None:
    line.profile = Profile(rtt=Moment(2), jitter=Moment(0), blackhole_over=Size(1000))

    with call(line, echo.port) as peer:
        peer.sendall(b"small")
        assert hear(peer, 5) == b"small"

        peer.sendall(bytes(400_000))
        assert is_silent(peer)


def test_what_was_said_before_the_hole_arrives(line: Line, echo: Echo) -> None:
    line.profile = Profile(rtt=Moment(2), jitter=Moment(0), blackhole_over=Size(100_000))

    with call(line, echo.port) as peer:
        peer.sendall(bytes(60_000))
        hear(peer, 60_000)
        threading.Thread(target=_say_until_dead, args=(peer, 300_000), daemon=True).start()

        assert len(hear_what_comes(peer)) > 50_000


def test_a_download_dies_after_the_bytes_that_it_was_given(
    lines: Lines, echo: Echo, certificates: Certificates
) -> None:
    line = lines.open(Line(ADDRESS, (free_port(), echo.port), QUICK, Random(1), certificates))
    line.limits.extend([30_000, 10])

    with call(line, echo.port) as peer:
        threading.Thread(target=_say_until_dead, args=(peer, 100_000), daemon=True).start()
        with pytest.raises(ConnectionResetError):
            hear(peer, 100_000)
    assert list(line.limits) == [10]


def test_a_slow_line_takes_its_time(line: Line, lines: Lines, echo: Echo) -> None:
    line.profile = Profile(rtt=Moment(2), jitter=Moment(0), rate=Size(20_000))

    with call(line, echo.port) as peer:
        began_s = lines.now_s()
        peer.sendall(bytes(10_000))
        hear(peer, 10_000)

        assert lines.now_s() - began_s >= 1.0  # half a second each way


def test_a_long_way_delays_everything_once_and_not_every_part(
    line: Line, lines: Lines, echo: Echo
) -> None:
    line.profile = Profile(rtt=Moment(400), jitter=Moment(0), rate=Size(100_000_000))

    with call(line, echo.port) as peer:
        began_s = lines.now_s()
        threading.Thread(target=_say_until_dead, args=(peer, 400_000), daemon=True).start()
        hear(peer, 400_000)

        assert 0.4 <= lines.now_s() - began_s < 8.0  # 25 parts one after the other: ten seconds


def test_lost_segments_come_late(line: Line, lines: Lines, echo: Echo) -> None:
    line.profile = Profile(rtt=Moment(2), jitter=Moment(0), loss=0.99)

    with call(line, echo.port) as peer:
        line.profile = Profile(rtt=Moment(2), jitter=Moment(0), burst=(1.0, 0.0, 1.0, 1.0))
        peer.sendall(b"x")

        assert is_silent(peer)


def test_a_server_that_is_gone_is_an_end_not_a_wait(
    lines: Lines, certificates: Certificates
) -> None:
    nobody = free_port()
    line = lines.open(Line(ADDRESS, (nobody, free_port()), QUICK, Random(1), certificates))

    with pytest.raises(ConnectionResetError), call(line, nobody) as peer:
        peer.recv(1)
    assert line.opened_s == []


def test_the_worst_second_is_the_one_with_most_connections() -> None:
    assert peak([]) == 0
    assert peak([0.0, 5.0, 5.2, 5.9, 6.1, 9.0]) == 3


def _say_until_dead(peer: socket.socket, size_bytes: int) -> None:
    with suppress(OSError):
        peer.sendall(bytes(size_bytes))
