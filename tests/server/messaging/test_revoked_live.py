"""A box is revoked while it talks: the real broker shuts it out at once, and only it."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from flask import Flask
from oleada_server import gate
from oleada_server.clock import monotonic_s, now_utc
from oleada_server.config import Config
from oleada_server.enrolment import revocations, service
from oleada_server.messaging.gatekeeper import LOOK_S, Gatekeeper
from oleada_wire import topics
from oleada_wire.topics import Down, Up

from tests.support.broker import (
    Client,
    RunningBroker,
    TlsRefusedError,
    client,
    running_broker,
    server_client,
    wait_until,
)
from tests.support.certificates import a_key, a_request, key_pem

pytestmark = pytest.mark.real
STOPPED_S = 5.0


@dataclass(frozen=True, slots=True)
class House:
    """A broker with two workers' gatekeepers, and who watches the broker's lists as `up` does."""

    broker: RunningBroker
    keepers: tuple[Gatekeeper, ...]
    watch: gate.Watch

    def turn(self) -> bool:
        """Let everybody do what is due; return False, to be asked again."""
        for keeper in self.keepers:
            keeper.turn()
        self.watch.turn(self.broker)
        return False


@pytest.fixture
def house(sqlite_app: Flask) -> Iterator[House]:
    """The house, settled."""
    config: Config = sqlite_app.extensions["oleada_config"]
    with running_broker(config) as running:
        found = House(
            running,
            (Gatekeeper(running.config), Gatekeeper(running.config)),
            gate.Watch(running.config),
        )
        found.turn()
        yield found


def enrol(
    config: Config, serial: str, key: EllipticCurvePrivateKey | None = None
) -> tuple[str, tuple[Path, Path]]:
    """Return id and files (certificate, key) of a new box."""
    key = key or a_key()
    now = now_utc()
    token = service.create_claim(serial, "VX-410", actor="user:nora", now=now)
    found = service.enrol(token, serial, a_request(key), now)
    files = config.data_dir / f"{serial}.pem", config.data_dir / f"{serial}.key"
    files[0].write_text(found.certificate_pem)
    files[1].write_bytes(key_pem(key))
    return found.device_id, files


def connect(house: House, stack: ExitStack, device_id: str, files: tuple[Path, Path]) -> Client:
    config = house.broker.config
    return stack.enter_context(client(config, config.broker_port, files, device_id))


def test_a_live_session_is_stopped_within_seconds_and_does_not_come_back(house: House) -> None:
    config = house.broker.config
    out, out_files = enrol(config, "SN-1")
    good, good_files = enrol(config, "SN-2")
    with ExitStack() as stack:
        server = stack.enter_context(server_client(config))
        server.subscribe(f"{topics.PREFIX}/d/+/up/+")
        box = connect(house, stack, out, out_files)
        other = connect(house, stack, good, good_files)
        box.subscribe(topics.down_filter(out))
        topic = topics.up(out, Up.REPORT)
        assert box.publish(topic, b"before")

        revocations.revoke(out, "stolen", actor="user:nora", now=now_utc())
        began_s = monotonic_s()
        wait_until(lambda: house.turn() or not _is_heard(box, topic), "it is refused")
        refused_s = monotonic_s() - began_s
        wait_until(lambda: house.turn() or box.lost.is_set(), "its session is ended")

        assert refused_s < STOPPED_S, "from the deed to the first word that was not taken"
        assert server.publish(topics.down(out, Down.CMD), b"secret")
        assert other.publish(topics.up(good, Up.REPORT), b"here")
        wait_until(lambda: server.payloads(topics.up(good, Up.REPORT)), "the other one is heard")
        assert not other.lost.is_set()
        assert box.payloads(topics.down(out, Down.CMD)) == []
    for again in range(2):
        with pytest.raises(TlsRefusedError), ExitStack() as stack:
            connect(house, stack, out, out_files)
        if not again:
            house.broker.stop()
            house.broker.start()  # its lists are on disk


def test_a_box_that_is_enrolled_again_is_let_in_and_its_old_key_is_not(house: House) -> None:
    config = house.broker.config
    out, old_files = enrol(config, "SN-1")
    old = [path.read_bytes() for path in old_files]
    revocations.revoke(out, "stolen", actor="user:nora", now=now_utc())
    again, new_files = enrol(config, "SN-1")
    look_at = monotonic_s() + LOOK_S
    wait_until(lambda: house.turn() or monotonic_s() > look_at, "they have looked")

    assert again == out
    with ExitStack() as stack:
        assert connect(house, stack, out, new_files).publish(topics.up(out, Up.REPORT))
    for path, data in zip(old_files, old, strict=True):
        path.write_bytes(data)
    with pytest.raises(TlsRefusedError), ExitStack() as stack:
        connect(house, stack, out, old_files)


def _is_heard(box: Client, topic: str) -> bool:
    return not box.lost.is_set() and box.publish(topic, b"still here?")
