"""A file is brought to the device door once, whatever becomes of the door's answers."""

import hashlib
import http.server
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from oleada_agent import clock, identity
from oleada_agent.actions import uploading
from oleada_agent.actions.order import ActionError
from oleada_lab.real.house import Authority
from oleada_wire.words import ResultStatus


class Door(http.server.BaseHTTPRequestHandler):
    """Answers as its server's ``says`` has it; 0 hangs up."""

    server: "Server"

    def do_PUT(self) -> None:
        """Take a file."""
        self.server.got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        status = self.server.says.pop(0)
        if status:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay quiet."""


class Server(http.server.HTTPServer):
    """A device door on loopback."""

    says: list[int]
    got: list[tuple[str, bytes]]


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    authority = Authority("service CA")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.server_files(tmp_path))
    ours = ssl.create_default_context(cadata=authority.pem)
    monkeypatch.setattr(identity, "tls_context", lambda box: ours)
    monkeypatch.setattr(uploading, "PAUSE_MS", 1)
    with Server(("127.0.0.1", 0), Door) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.got = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def put(door: Server, says: list[int]) -> dict[str, object]:
    """Bring a file to a door that answers *says*, one after the other."""
    door.says = says
    settings = {"enrol_url": f"https://127.0.0.1:{door.server_port}/device/v1/enrol"}
    return uploading.put(Path("/nowhere"), settings, "C-1", "log.txt", b"lines")


@pytest.mark.parametrize("says", [[201], [503, 204], [0, 201], [0, 403]])
def test_a_file_arrives_though_the_door_stumbles(door: Server, says: list[int]) -> None:
    digest = hashlib.sha256(b"lines").hexdigest()

    assert put(door, says) == {"name": "log.txt", "size_bytes": 5, "sha256": digest}
    assert door.got[0] == ("/device/v1/uploads/C-1/log.txt", b"lines")


@pytest.mark.parametrize("says", [[404], [403], [413], [500, 502, 503]])
def test_a_door_that_does_not_want_it_ends_the_action(door: Server, says: list[int]) -> None:
    began_ms = clock.steady_ms()
    with pytest.raises(ActionError, match=r"did not take log\.txt") as refused:
        put(door, says)

    assert refused.value.status is ResultStatus.TRANSFER
    assert clock.steady_ms() - began_ms < 60_000
