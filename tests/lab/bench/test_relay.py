"""The relay of the bench carries every byte, and counts the segments that the kernel sent."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from oleada_lab.bench.relay import HEADER_BYTES, SEGMENT_BYTES, Carried, Relay
from oleada_lab.operator import wait_until


@contextmanager
def an_echo() -> Iterator[tuple[str, int]]:
    """Serve one connection after another that hears what it says."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                peer, _ = listening.accept()
            except OSError:
                return
            with peer:
                while data := peer.recv(65_536):
                    peer.sendall(data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def spoken(port: int, data: bytes) -> bytes:
    """Return what comes back for *data*."""
    with socket.create_connection(("127.0.0.1", port)) as box:
        box.sendall(data)
        box.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: box.recv(65_536), b""))


def test_every_byte_comes_back_and_is_counted_with_its_headers() -> None:
    large = bytes(range(256)) * 400
    with an_echo() as target, Relay(target) as relay:
        assert spoken(relay.port, b"hello") == b"hello"
        wait_until(lambda: relay.carried().payload_bytes == 10, 60, "both ways are counted")
        small = relay.carried()
        assert spoken(relay.port, large) == large
        wait_until(
            lambda: relay.carried().payload_bytes == 10 + 2 * len(large), 60, "all is counted"
        )
        found = relay.carried().since(small)

    assert (small.connections, small.said, found.connections) == (1, 1, 1)
    # SYN, SYN and ACK, ACK, twice data with its ACK, twice FIN; some of them travel together.
    assert 6 <= small.segments <= 11
    assert small.line_bytes == 10 + HEADER_BYTES * small.segments
    least = 2 * (len(large) // SEGMENT_BYTES)
    assert least <= found.segments <= 3 * least, "a large message has the segments of Ethernet"


def test_what_was_carried_is_told_apart_from_what_was_before() -> None:
    assert Carried(100, 5, 2, 1).since(Carried(40, 2, 2, 0)) == Carried(60, 3, 0, 1)
