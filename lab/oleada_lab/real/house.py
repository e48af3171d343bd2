"""A small house for one real agent: Mosquitto with TLS, a device door and the keys of both.

Everything listens on loopback on free ports and is gone at the end. ``desk`` plays the
server in it.
"""

import http.server
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from oleada_agent import clock

from oleada_lab.boxes import DIES_WITH_PARENT
from oleada_lab.errors import OperatorError
from oleada_lab.real.repository import MODEL, Repository

DEVICE: Final = "VX417Q3K0928"
TOKEN: Final = "claim-me"  # noqa: S105 - the claim token of a house that lives for a test


class Authority:
    """A certificate authority of one house."""

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

    def do_PUT(self) -> None:
        """Keep what an action brings."""
        self.server.uploads[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._send(201, b"", "text/plain")

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
    """The device door of a house; *answer* may be replaced."""

    def __init__(self, context: ssl.SSLContext, answer: Callable[[Any], tuple[int, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), DoorHandler)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.answer = answer
        self.requests: list[dict[str, Any]] = []
        self.artifacts: dict[str, bytes] = {}
        self.uploads: dict[str, bytes] = {}
        self.ranges: list[int] = []
        self.url = f"https://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A box may hang up, or refuse this door's certificate."""


class House:
    """Broker, door and the keys of both, over directory *home*.

    Attributes:
        device_id: Whom the next box to enrol becomes.
    """

    def __init__(self, home: Path, repository: Repository) -> None:
        self.home = home
        self.repository = repository
        self.device_id = DEVICE
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
        if body["token"] != TOKEN:
            return 403, {"detail": "The claim token is not known."}
        request = x509.load_pem_x509_csr(body["csr_pem"].encode())
        return 200, {
            "device_id": self.device_id,
            "hardware_model": MODEL,
            "zone": "Europe/Prague",
            "certificate_pem": self.devices.issue(self.device_id, request.public_key()),
            "ca_pem": self.services.pem,
            "broker": {"host": "127.0.0.1", "port": self.port},
            "artifacts_url": f"{self.door.url}/artifacts",
            "root_json": self.repository.files["1.root.json"].decode(),
        }

    def start_broker(self) -> None:
        """Start Mosquitto, and return when it listens."""
        self._broker = subprocess.Popen(
            [*DIES_WITH_PARENT, "mosquitto", "-c", str(self.home / "mosquitto.conf"), "-v"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        said = self._broker.stderr
        if said is None or not any(b" running" in line for line in said):
            raise OperatorError("Mosquitto ended before it listened.")
        # Drained from here on, so that the broker never waits for a full pipe.
        threading.Thread(target=said.read, daemon=True).start()

    def kill_broker(self) -> None:
        """Kill Mosquitto as a power cut does."""
        if self._broker is None:
            return
        self._broker.kill()
        self._broker.wait()
        with suppress(ValueError):
            if self._broker.stderr is not None:
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


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
