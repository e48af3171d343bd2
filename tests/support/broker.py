"""A real Mosquitto with the generated configuration, and clients that hold certificates."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from oleada_server import gate
from oleada_server.clock import now_utc
from oleada_server.config import Config
from oleada_server.enrolment import pki
from oleada_server.initialise import make_certificates
from oleada_server.up import broker_command
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.certificates import a_key, key_pem
from tests.support.postgres import free_port

PATIENCE_S = 60.0


class RunningBroker:
    """A Mosquitto that can be killed and started again on the same ports and store."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until both doors answer."""
        gate.prepare(self.config)
        self._process = subprocess.Popen(
            broker_command(self.config), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for port in (self.config.broker_port, self.config.broker_services_port):
            wait_until(partial(_answers, port), f"the broker answers on {port}")

    def reload(self) -> None:
        """Tell it to read its lists again, as `oleada up` does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """Kill it: what it held in memory is lost."""
        self._end(lambda process: process.kill())

    def stop(self) -> None:
        """Stop it in order: it writes its store."""
        self._end(lambda process: process.terminate())

    def forget(self) -> None:
        """Remove its store, as a disk that was lost."""
        (self.config.broker_dir / "mosquitto.db").unlink(missing_ok=True)

    def _end(self, how: Callable[[subprocess.Popen[bytes]], None]) -> None:
        if self._process is not None:
            how(self._process)
            self._process.wait(PATIENCE_S)
            self._process = None


@contextmanager
def running_broker(config: Config) -> Iterator[RunningBroker]:
    """Yield a running broker of *config* on free ports; its ``config`` has them."""
    assert shutil.which("mosquitto") or Path("/usr/sbin/mosquitto").exists(), (
        "Mosquitto is missing; type: apt-get install mosquitto"
    )
    config = replace(config, broker_port=free_port(), broker_services_port=free_port())
    make_certificates(config, now_utc())
    found = RunningBroker(config)
    found.start()
    try:
        yield found
    finally:
        found.stop()


@dataclass
class Client:
    """A connected client that remembers what it was sent.

    Attributes:
        heard: Topic and payload of each message, in order.
        refusals: Reasons of PUBACKs that said no.
    """

    mqtt: mqtt.Client
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    lost: threading.Event = field(default_factory=threading.Event)

    def publish(self, topic: str, payload: bytes = b"x", *, retain: bool = False) -> bool:
        """Publish at QoS 1 and return whether the broker took it."""
        before = len(self.refusals)
        self.mqtt.publish(topic, payload, qos=1, retain=retain).wait_for_publish(PATIENCE_S)
        return len(self.refusals) == before

    def subscribe(self, *topics: str) -> None:
        """Subscribe at QoS 1 and wait until the broker has said yes to all."""
        done = threading.Event()
        self.mqtt.on_subscribe = lambda *_: done.set()
        self.mqtt.subscribe([(topic, 1) for topic in topics])
        assert done.wait(PATIENCE_S), "no SUBACK came"

    def payloads(self, topic: str) -> list[bytes]:
        """Return what came on *topic*."""
        return [payload for heard, payload in self.heard if heard == topic]


class TlsRefusedError(Exception):
    """The broker did not let the client in."""


def issue_box(config: Config, device_id: str, now: datetime | None = None) -> tuple[Path, Path]:
    """Return certificate and key files of box *device_id*, issued at *now*."""
    key = a_key()
    authority = pki.load_authority(config.pki_dir, "device-ca")
    issued = pki.issue_device(authority, device_id, key.public_key(), now or now_utc(), 90)
    home = config.data_dir / "boxes"
    home.mkdir(exist_ok=True)
    certificate, key_file = home / f"{device_id}.pem", home / f"{device_id}.key"
    certificate.write_bytes(issued.public_bytes(Encoding.PEM))
    key_file.write_bytes(key_pem(key))
    return certificate, key_file


@contextmanager
def box_client(config: Config, device_id: str, client_id: str | None = None) -> Iterator[Client]:
    """Yield a client with the certificate of *device_id*, on the boxes' door."""
    files = issue_box(config, device_id)
    with client(config, config.broker_port, files, client_id or device_id) as found:
        yield found


@contextmanager
def server_client(config: Config, client_id: str = "a-service") -> Iterator[Client]:
    """Yield a client with the server's own certificate, on the services' door."""
    names = (f"{pki.SERVER_NAME}.pem", f"{pki.SERVER_NAME}.key")
    files = (config.pki_dir / names[0], config.pki_dir / names[1])
    with client(config, config.broker_services_port, files, client_id) as found:
        yield found


@contextmanager
def client(
    config: Config, port: int, files: tuple[Path, Path] | None, client_id: str
) -> Iterator[Client]:
    """Yield a connected client.

    Raises:
        TlsRefusedError: the broker did not let it in.
    """
    context = ssl.create_default_context(cafile=str(config.pki_dir / "service-ca.pem"))
    if files is not None:
        context.load_cert_chain(*files)
    under = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
    under.tls_set_context(context)
    found = Client(under)
    connected = threading.Event()
    under.on_connect = lambda *_: connected.set()
    under.on_disconnect = lambda *_: found.lost.set()
    under.on_message = lambda _c, _u, m: found.heard.append((m.topic, bytes(m.payload)))
    under.on_publish = lambda _c, _u, _mid, reason, _p: (
        found.refusals.append(str(reason)) if reason.is_failure else None
    )
    try:
        under.connect("127.0.0.1", port, 30)
    except OSError as error:
        raise TlsRefusedError(str(error)) from error
    under.loop_start()
    try:
        wait_until(lambda: connected.is_set() or found.lost.is_set(), "the broker has answered")
        if not connected.is_set():
            raise TlsRefusedError("the broker hung up before CONNACK")
        yield found
    finally:
        under.disconnect()
        under.loop_stop()
        _close(under)


def wait_until(holds: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> None:
    """Return when *holds*; fail with *what* should have been after *patience_s*."""
    tick = threading.Event()
    for _ in range(int(patience_s / 0.02)):
        if holds():
            return
        tick.wait(0.02)
    raise AssertionError(f"after {patience_s} s it is still not so that {what}")


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _close(under: mqtt.Client) -> None:
    sock = under.socket()
    if sock is not None:
        sock.close()


AN_AGE_AGO = datetime(2020, 1, 1, tzinfo=UTC)
AS_ROOT = os.geteuid() == 0
