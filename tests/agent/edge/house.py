"""A small house for one real agent: Mosquitto with TLS, a device door, and a desk.

Everything listens on loopback on free ports and is gone when the test ends. The desk
plays the server by the wire alone: it acknowledges, grants leases and assigns.
"""

import http.server
import json
import queue
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from oleada_agent import clock
from oleada_wire import messages, topics
from oleada_wire.ids import BootId
from oleada_wire.messages import (
    KINDS,
    Ack,
    Assign,
    Assignment,
    Cohort,
    Header,
    Lease,
    LeaseRequest,
    Message,
    Meta,
    Wave,
    Waves,
)
from oleada_wire.topics import DeviceTopic, Down, Model, Up
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.agent.edge.repository import MODEL, Repository
from tests.support.postgres import free_port

DEVICE = "VX417Q3K0928"
HOUR_MS = 3_600_000
M = TypeVar("M", bound=Message)


class Authority:
    """A certificate authority of a test."""

    def __init__(self, name: str) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._signed(self.name, self.key.public_key(), None)
        self.pem = self.certificate.public_bytes(Encoding.PEM).decode()

    def issue(self, name: str, public_key: Any, loopback: bool = False) -> str:
        """Return the PEM of a certificate for *name*."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"urn:stb:{name}")]
        if loopback:
            names = [x509.IPAddress(IPv4Address("127.0.0.1")), x509.DNSName("localhost")]
        return self._signed(subject, public_key, names).public_bytes(Encoding.PEM).decode()

    def server_files(self, directory: Path) -> tuple[Path, Path]:
        """Write key and certificate of a server on loopback; return their paths."""
        key = ec.generate_private_key(ec.SECP256R1())
        paths = directory / "server.pem", directory / "server.key"
        paths[0].write_text(self.issue("server", key.public_key(), loopback=True))
        paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return paths

    def _signed(
        self, subject: x509.Name, public_key: Any, names: list[x509.GeneralName] | None
    ) -> x509.Certificate:
        now = datetime.fromtimestamp(clock.now_ms() / 1000, UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), True)
        )
        if names is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        return builder.sign(self.key, hashes.SHA256())


class DoorHandler(http.server.BaseHTTPRequestHandler):
    """Enrols whoever has the token, and serves artifacts by range."""

    protocol_version = "HTTP/1.1"
    server: "Door"

    def do_POST(self) -> None:
        """Enrol."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append({"path": self.path, **body})
        status, answer = self.server.answer(body)
        if not status:  # the answer is lost on the way
            self.close_connection = True
            return
        self._send(status, json.dumps(answer).encode(), "application/json")

    def do_GET(self) -> None:
        """Serve the asked range of an artifact."""
        data = self.server.artifacts.get(self.path.rpartition("/")[2])
        if data is None:
            self._send(404, b"", "text/plain")
            return
        first = int(self.headers["Range"].removeprefix("bytes=").partition("-")[0])
        self.server.ranges.append(first)
        span = f"bytes {first}-{len(data) - 1}/{len(data)}"
        self._send(206, data[first:], "application/octet-stream", **{"Content-Range": span})

    def _send(self, status: int, data: bytes, kind: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": len(data), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay quiet."""


class Door(http.server.ThreadingHTTPServer):
    """The device door of a test; *answer* may be replaced."""

    def __init__(self, context: ssl.SSLContext, answer: Callable[[Any], tuple[int, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), DoorHandler)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.answer = answer
        self.requests: list[dict[str, Any]] = []
        self.artifacts: dict[str, bytes] = {}
        self.ranges: list[int] = []
        self.url = f"https://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A box may hang up, or refuse this door's certificate."""


class House:
    """Broker, door and the keys of both, over directory *home*."""

    def __init__(self, home: Path, repository: Repository) -> None:
        self.home = home
        self.repository = repository
        self.devices = Authority("device CA")
        self.services = Authority("service CA")
        self.port, self.desk_port = free_port(), free_port()
        certificate, key = self.services.server_files(home)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.door = Door(context, self.enrol)
        self._thread = threading.Thread(target=self.door.serve_forever, args=(0.01,))
        self._broker: subprocess.Popen[bytes] | None = None
        (home / "device-ca.pem").write_text(self.devices.pem)
        (home / "mosquitto.conf").write_text(
            "user root\nper_listener_settings true\nmax_packet_size 266240\n"
            f"listener {self.port} 127.0.0.1\nallow_anonymous false\n"
            f"cafile {home}/device-ca.pem\ncertfile {certificate}\nkeyfile {key}\n"
            "require_certificate true\nuse_identity_as_username true\n"
            "use_username_as_clientid true\n"
            f"listener {self.desk_port} 127.0.0.1\nallow_anonymous true\n"
        )

    def enrol(self, body: Any) -> tuple[int, Any]:
        """Return status and answer for whoever shows the token."""
        if body["token"] != "claim-me":
            return 403, {"detail": "The claim token is not known."}
        request = x509.load_pem_x509_csr(body["csr_pem"].encode())
        return 200, {
            "device_id": DEVICE,
            "hardware_model": MODEL,
            "zone": "Europe/Prague",
            "certificate_pem": self.devices.issue(DEVICE, request.public_key()),
            "ca_pem": self.services.pem,
            "broker": {"host": "127.0.0.1", "port": self.port},
            "artifacts_url": f"{self.door.url}/artifacts",
            "root_json": self.repository.files["1.root.json"].decode(),
        }

    def start_broker(self) -> None:
        """Start Mosquitto, and return when it listens."""
        self._broker = subprocess.Popen(
            ["mosquitto", "-c", str(self.home / "mosquitto.conf"), "-v"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert self._broker.stderr is not None
        for line in self._broker.stderr:
            if b" running" in line:
                break
        # Drained from here on, so that the broker never waits for a full pipe.
        threading.Thread(target=self._broker.stderr.read, daemon=True).start()

    def kill_broker(self) -> None:
        """Kill Mosquitto as a power cut does."""
        assert self._broker is not None
        self._broker.kill()
        self._broker.wait()
        assert self._broker.stderr is not None
        with suppress(ValueError):
            self._broker.stderr.close()

    @contextmanager
    def open(self) -> Iterator["House"]:
        """Hold the house open."""
        self._thread.start()
        self.start_broker()
        try:
            yield self
        finally:
            self.kill_broker()
            self.door.shutdown()
            self._thread.join()
            self.door.server_close()


class Desk:
    """The server by the wire alone: counts, acknowledges, grants and assigns.

    Attributes:
        heard: Every message of the box, in order of arrival.
        grants: Whether a question for a lease is answered; else it is lost.
    """

    def __init__(self, house: House) -> None:
        self.house = house
        self.repository = house.repository
        self.heard: queue.Queue[tuple[Up, bytes]] = queue.Queue()
        self.acknowledges = True
        self.grants = True
        self._seq = 0
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id="desk", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe("oleada/v1/d/+/up/+", 1)

    def __enter__(self) -> "Desk":
        self._client.connect("127.0.0.1", self.house.desk_port)
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def wait_for(self, shape: type[M], accept: Callable[[M], bool] = lambda _: True) -> M:
        """Return the next message of *shape* that *accept* likes; 60 s at most."""
        until = clock.steady_ms() + 60_000
        seen = []
        while (left_ms := until - clock.steady_ms()) > 0:
            with suppress(queue.Empty):
                kind, data = self.heard.get(timeout=left_ms / 1000)
                seen.append(data[-300:])
                if kind == KINDS[shape].replace("lease-request", "lease"):
                    message = messages.decode(shape, data)
                    if accept(message):
                        return message
        raise AssertionError(f"no {shape.__name__} came, but {seen}")

    def header(self) -> Header:
        """Return the header of the next message."""
        self._seq += 1
        return Header(clock.hex_id(32), clock.now_ms(), BootId(1, "0badc0de"), self._seq)

    def publish_trust(self, image: bytes) -> None:
        """Publish metadata and a wave that covers everybody, both retained."""
        self._publish(topics.model(MODEL, Model.META), self._meta())
        target = next(iter(self.repository.signed[MODEL].signed.targets.values()))
        wave = Wave(
            self.header(), 31, "R-107", MODEL, target.path, target.hashes["sha256"], len(image), 3,
            Cohort(salt="s", share_parts=10_000), clock.now_ms() - HOUR_MS,
            clock.now_ms() + HOUR_MS,
        )  # fmt: skip
        sealed = messages.seal(wave, list(self.repository.approvers)).decode()
        waves = Waves(self.header(), (sealed,))
        self._publish(topics.model(MODEL, Model.WAVE), messages.encode(waves))

    def assign(self, image: bytes, seq: int = 1) -> None:
        """Assign the release to the box, retained."""
        target = next(iter(self.repository.signed[MODEL].signed.targets.values()))
        assignment = Assignment(
            "A-20418", 1, "R-107", 31, target.path, target.hashes["sha256"], len(image), "5.8.2", 3,
            clock.now_ms(), clock.now_ms() + HOUR_MS,
        )  # fmt: skip
        self.send(Down.ASSIGN, Assign(self.header(), DEVICE, seq, assignment), retain=True)

    def send(self, kind: Down, message: Message, *, retain: bool = False) -> None:
        """Publish *message*, signed by the director, to the box."""
        sealed = messages.seal(message, [self.repository.director])
        self._publish(topics.down(DEVICE, kind), sealed, retain=retain)

    def publish_raw(self, topic: str, payload: bytes) -> None:
        """Publish whatever bytes."""
        self._publish(topic, payload, retain=False)

    def _meta(self) -> bytes:
        return messages.encode(Meta(self.header(), self.repository.plain_files()))

    def _publish(self, topic: str, payload: bytes, *, retain: bool = True) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain)

    def _on_message(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        topic = topics.parse(message.topic)
        assert isinstance(topic, DeviceTopic)
        assert isinstance(topic.kind, Up)
        payload = bytes(message.payload)
        if topic.kind is Up.LEASE:
            if self.grants:
                self._grant(messages.decode(LeaseRequest, payload))
        elif self.acknowledges:
            ack = Ack(self.header(), (json.loads(payload)["id"],))
            client.publish(topics.down(DEVICE, Down.ACK), messages.encode(ack), qos=0)
        self.heard.put((topic.kind, payload))

    def _grant(self, request: LeaseRequest) -> None:
        lease = Lease(
            self.header(), DEVICE, request.assignment_id, request.attempt, request.phase,
            granted=True, expires_ms=clock.now_ms() + HOUR_MS,
        )  # fmt: skip
        self.send(Down.LEASE, lease)
