"""MQTT against a real broker: identity by certificate, and coming back after it was killed."""

import queue
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from oleada_agent import config, enrol, identity
from oleada_agent.disk import RealDisk
from oleada_agent.transport import Address, Connected, Disconnected, News, Received, Transport
from oleada_wire import topics
from oleada_wire.messages import Log
from oleada_wire.topics import Down, Up

from tests.agent.edge.house import DEVICE, Authority, Desk, House
from tests.agent.edge.repository import MODEL, Repository

pytestmark = pytest.mark.real
N = TypeVar("N", bound=News)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    (tmp_path / "house").mkdir()
    with House(tmp_path / "house", Repository()).open() as opened:
        yield opened


@pytest.fixture
def box(tmp_path: Path, house: House) -> Path:
    (tmp_path / "data").mkdir(parents=True)
    (tmp_path / "data/server-ca.pem").write_text(house.services.pem)
    (tmp_path / "data/claim-token").write_text("claim-me")
    found = {"serial": "SN-1", "hardware_model": MODEL, "enrol_url": house.door.url}
    enrol.enrol(RealDisk(tmp_path), config.parse(found, "config.toml"))
    return tmp_path


class Line:
    """A box's transport and what it has told."""

    def __init__(self, box: Path, house: House) -> None:
        self.news: queue.Queue[News] = queue.Queue()
        self.pauses: list[int] = []
        address = Address(
            "127.0.0.1",
            house.port,
            DEVICE,
            MODEL,
            identity.tls_context(box),
            keepalive_s=5,
            last_will=b'{"id":"gone"}',
        )
        self.transport = Transport(address, post=self.news.put, below=self._draw, backoff_ms=20)

    def __enter__(self) -> "Line":
        self.transport.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.transport.stop()

    def wait_for(self, shape: type[N]) -> N:
        """Return the next news of *shape*."""
        while True:
            found = self.news.get(timeout=60)
            if isinstance(found, shape):
                return found

    def _draw(self, limit: int) -> int:
        self.pauses.append(limit - 1)
        return min(limit - 1, 50)


def test_what_is_retained_comes_and_what_is_said_arrives(box: Path, house: House) -> None:
    with Desk(house) as desk:
        desk.publish_trust(b"image")
        with Line(box, house) as line:
            line.wait_for(Connected)
            line.transport.send(Up.LOG, b'{"id":"x"}')
            topic = line.wait_for(Received).topic

            assert topic.startswith(f"oleada/v1/m/{MODEL}/")
            assert desk.heard.get(timeout=60) == (Up.LOG, b'{"id":"x"}')


def test_the_broker_says_who_went_without_leave_and_nothing_of_who_took_it(
    box: Path, house: House
) -> None:
    with Desk(house) as desk:
        with Line(box, house) as line:
            line.wait_for(Connected)
            sock = line.transport._client.socket()
            assert isinstance(sock, socket.socket)
            sock.shutdown(socket.SHUT_RDWR)
            assert desk.heard.get(timeout=60) == (Up.GONE, b'{"id":"gone"}')
            line.wait_for(Disconnected)
            line.wait_for(Connected)
            line.transport.send(Up.LOG, b'{"id":"last"}')
            assert desk.heard.get(timeout=60) == (Up.LOG, b'{"id":"last"}')
        with Line(box, house) as line:
            line.wait_for(Connected)
            line.transport.send(Up.LOG, b'{"id":"again"}')

            assert desk.heard.get(timeout=60) == (Up.LOG, b'{"id":"again"}')


def test_a_killed_broker_is_sought_again_with_growing_pauses(box: Path, house: House) -> None:
    with Line(box, house) as line:
        line.wait_for(Connected)
        house.kill_broker()
        for _ in range(3):
            assert line.wait_for(Disconnected).detail
        house.start_broker()
        line.wait_for(Connected)

    ceilings = line.pauses[1:]
    assert ceilings[1:3] == sorted(ceilings[1:3])
    assert ceilings[2] > ceilings[0]


def test_two_boxes_with_one_identity_turn_each_other_out_ever_more_slowly(
    box: Path, house: House
) -> None:
    with Line(box, house) as line, Line(box, house) as twin:
        for _ in range(4):
            line.wait_for(Disconnected)
            twin.wait_for(Disconnected)

    for pauses in (line.pauses, twin.pauses):
        assert pauses[1:5] == sorted(pauses[1:5])
        assert pauses[4] >= 8 * pauses[1]


def test_a_message_sent_while_the_box_was_away_waits_for_it(box: Path, house: House) -> None:
    with Line(box, house) as line:
        line.wait_for(Connected)
    with Desk(house) as desk:
        desk.publish_raw(topics.down(DEVICE, Down.CMD), b"kept")

        with Line(box, house) as line:
            assert line.wait_for(Received).payload == b"kept"


def test_a_broker_of_another_authority_gets_no_word(box: Path, house: House) -> None:
    (box / "data/identity/ca.pem").write_text(Authority("somebody").pem)

    with Line(box, house) as line:
        line.transport.send(Up.LOG, b"secret")
        assert "CERTIFICATE_VERIFY_FAILED" in line.wait_for(Disconnected).detail


def test_a_box_that_the_broker_does_not_know_is_told_so(box: Path, house: House) -> None:
    stranger = Authority("another device CA")
    (house.home / "device-ca.pem").write_text(stranger.pem)
    house.kill_broker()
    house.start_broker()

    with Line(box, house) as line:
        assert line.wait_for(Disconnected).detail
        assert not any(isinstance(news, Connected) for news in line.news.queue)


def test_every_message_of_the_box_fits_the_broker(box: Path, house: House) -> None:
    lines = tuple("x" * 8_000 for _ in range(8))
    with Desk(house) as desk, Line(box, house) as line:
        line.wait_for(Connected)
        from oleada_wire.messages import encode  # noqa: PLC0415

        line.transport.send(Up.LOG, encode(Log(desk.header(), lines)))
        assert desk.wait_for(Log).lines == lines
