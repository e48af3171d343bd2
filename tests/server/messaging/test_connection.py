"""The worker's connection: what the socket gives in pieces becomes messages, each once."""

import pytest
from oleada_server.messaging.connection import Connection

PUBLISH_QOS1 = bytes.fromhex("32 0d 0003612f62 0007 00") + b"hello"
PUBLISH_QOS0_WITH_PROPERTIES = bytes.fromhex("30 0e 0003612f62 05 0200000001") + b"you"
LONG = bytes.fromhex("32 f1 0f 0001 61 ffff 00") + bytes(2_027)
PINGRESP = bytes.fromhex("d0 00")
STREAM = PUBLISH_QOS1 + PINGRESP + PUBLISH_QOS0_WITH_PROPERTIES + PINGRESP + LONG
HEARD = [
    (7, 1, "a/b", b"hello"),
    (0, 0, "a/b", b"you"),
    (65_535, 1, "a", bytes(2_027)),
]


class Wire:
    """A TLS socket that gives *pieces* one by one, then nothing more."""

    def __init__(self, pieces: list[bytes], *, ends: bool = False) -> None:
        self._pieces = [*pieces, b""] if ends else pieces

    def pending(self) -> int:
        """Say that there may be something, so that nobody waits."""
        return 1

    def recv(self, _size: int) -> bytes:
        """Return the next piece."""
        if not self._pieces:
            raise BlockingIOError
        return self._pieces.pop(0)

    def close(self) -> None:
        """Do as a socket does."""


def _connected(wire: Wire) -> tuple[Connection, list[tuple[int, int, str, bytes]]]:
    heard: list[tuple[int, int, str, bytes]] = []
    connection = Connection(lambda *message: heard.append(message), client_id="worker")
    connection._sock = wire  # type: ignore[assignment] # as much of a socket as is used
    return connection, heard


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, len(STREAM)])
def test_packets_are_heard_once_however_they_are_cut(size: int) -> None:
    pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    connection, heard = _connected(Wire(pieces))

    assert connection.turn(0, 100)

    assert heard == HEARD


def test_no_more_packets_are_read_than_were_asked_for() -> None:
    connection, heard = _connected(Wire([STREAM]))

    assert connection.turn(0, 1)
    assert heard == HEARD[:1]

    assert connection.turn(0, 100)
    assert heard == HEARD


@pytest.mark.parametrize(
    "nonsense",
    [
        bytes.fromhex("30 ff ff ff ff 7f"),  # a length of five bytes
        bytes.fromhex("30 03 0001 ff"),  # a topic that is not UTF-8
        bytes.fromhex("30 02 0009") + LONG,  # a topic that ends after its packet
    ],
)
def test_what_is_not_mqtt_ends_the_connection(nonsense: bytes) -> None:
    connection, heard = _connected(Wire([PUBLISH_QOS1 + nonsense]))

    assert not connection.turn(0, 100)

    assert heard == HEARD[:1]


def test_a_broker_that_hangs_up_is_noticed() -> None:
    connection, heard = _connected(Wire([PUBLISH_QOS1], ends=True))

    assert not connection.turn(0, 100)

    assert heard == HEARD[:1]
