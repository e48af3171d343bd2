"""Somebody who has taken the whole server: its data directory, every key in it, its broker.

The thief runs the stolen broker with the stolen certificates and says to boxes whatever
the stolen keys can sign. What they do not have are the offline keys; an *insider* may lend
one of them.
"""

import json
import shutil
import sqlite3
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from oleada_agent import clock
from oleada_server.clock import now_utc
from oleada_server.config import Config
from oleada_store import keys, repository, roles, waves
from oleada_store.repository import OnlineSigners
from oleada_wire import messages, topics
from oleada_wire.envelope import KeySigner
from oleada_wire.ids import BootId
from oleada_wire.messages import (
    Ack,
    Assign,
    Assignment,
    Cmd,
    Header,
    Lease,
    LeaseRequest,
    Log,
    Meta,
    Report,
    Result,
    Wave,
    Waves,
)
from oleada_wire.topics import DeviceTopic, Down, Model, Up
from tuf.api.metadata import Metadata, Targets

from tests.support.broker import Client, RunningBroker, server_client

HOUR_MS = 3_600_000


@dataclass
class Thief:
    """The stolen server, at work.

    Attributes:
        home: The copy of the data directory.
        model: The hardware model whose boxes are attacked.
        images: By digest, what the stolen door gives for it; by default what was published.
        said: Every message of every box, in order: device id, kind, payload.
        grants: Whether a question for a lease is granted, which the online key can.
    """

    home: Path
    model: str
    broker: Client
    images: dict[str, bytes] = field(default_factory=dict)
    said: list[tuple[str, Up, bytes]] = field(default_factory=list)
    grants: bool = True
    _seq: int = 1000
    _numbers: int = 0

    def __post_init__(self) -> None:
        stolen = self.home / "keys"
        self.director = KeySigner.of(keys.read_online(stolen / "director.pem"))
        self.online = OnlineSigners(
            *(
                keys.tuf_signer(keys.read_online(stolen / f"{name}.pem"))
                for name in ("snapshot", "timestamp")
            )
        )
        tuf = self.home / "tuf"
        self.files = {
            path.name: path.read_text()
            for path in tuf.glob("*.json")
            if not path.name[0].isdigit() or ".root." in path.name
        }
        self.honest = dict(self.files)
        self._version = 100

    # -- what the stolen keys can sign ---------------------------------------------------

    def header(self) -> Header:
        """Return the header of the next message."""
        self._numbers += 1
        return Header(clock.hex_id(32), clock.now_ms(), BootId(999, "0badc0de"), self._numbers)

    def targets(self, name: str) -> Metadata[Targets]:
        """Return the published metadata of role *name*, to be changed."""
        return repository.read(Targets, self.honest[f"{name}.json"].encode(), name)

    def publish_metadata(self, changed: Mapping[str, bytes] | None = None) -> None:
        """Give boxes *changed* files under a fresh snapshot and timestamp of the stolen keys."""
        files = {**self.honest, **{n: body.decode() for n, body in (changed or {}).items()}}
        self._version += 1
        versions = {
            name.removesuffix(".json"): json.loads(text)["signed"]["version"]
            for name, text in files.items()
            if ".root." not in name and name not in {"root.json", "snapshot.json", "timestamp.json"}
        }
        now = now_utc()
        snapshot = repository.sign_snapshot(self.online, self._version, versions, now)
        stamp = repository.sign_timestamp(self.online, self._version, snapshot, self._version, now)
        files |= {"snapshot.json": snapshot.decode(), "timestamp.json": stamp.decode()}
        self.give_metadata(files)

    def give_metadata(self, files: Mapping[str, str]) -> None:
        """Give boxes exactly *files*."""
        body = messages.encode(Meta(self.header(), dict(files)))
        self.retain(topics.model(self.model, Model.META), body)

    def give_waves(self, *sealed: bytes) -> None:
        """Give boxes these waves and no other."""
        body = messages.encode(Waves(self.header(), tuple(one.decode() for one in sealed)))
        self.retain(topics.model(self.model, Model.WAVE), body)

    def assign(self, device_id: str, assignment: Assignment, seq: int | None = None) -> None:
        """Assign with the stolen director's key, under a number that is news to the box."""
        sealed = self.sealed_assign(device_id, assignment, seq)
        self.retain(topics.down(device_id, Down.ASSIGN), sealed)

    def sealed_assign(
        self, device_id: str, assignment: Assignment, seq: int | None = None
    ) -> bytes:
        """Return *assignment* as the stolen director's key signs it for the box."""
        return messages.seal(self.message(device_id, assignment, seq), [self.director])

    def message(self, device_id: str, assignment: Assignment, seq: int | None = None) -> Assign:
        """Return *assignment* for the box, under a number that is news to it; not signed."""
        self._seq += 1
        return Assign(self.header(), device_id, seq or self._seq, assignment)

    def command(self, device_id: str, verb: str, signer: KeySigner | None = None) -> str:
        """Send a command; return its id."""
        self._seq += 1
        name = f"C-{self._seq}"
        message = Cmd(self.header(), device_id, name, self._seq, verb, clock.now_ms() + HOUR_MS)
        sealed = messages.seal(message, [signer or self.director])
        self.broker.publish(topics.down(device_id, Down.CMD), sealed)
        return name

    def retain(self, topic: str, payload: bytes) -> None:
        """Let the stolen broker hold *payload* for *topic*."""
        assert self.broker.publish(topic, payload, retain=True), f"{topic} was refused"

    # -- what boxes say ------------------------------------------------------------------

    def logs(self, device_id: str) -> list[str]:
        """Return every line that the box has sent of its log."""
        found = [p for who, kind, p in list(self.said) if who == device_id and kind is Up.LOG]
        return [line for payload in found for line in messages.decode(Log, payload).lines]

    def reports(self, device_id: str) -> list[Report]:
        """Return every report of the box."""
        found = [p for who, kind, p in list(self.said) if who == device_id and kind is Up.REPORT]
        return [messages.decode(Report, payload) for payload in found]

    def results(self, device_id: str) -> list[Result]:
        """Return how each command of the box ended."""
        found = [p for who, kind, p in list(self.said) if who == device_id and kind is Up.RESULT]
        return [messages.decode(Result, payload) for payload in found]

    def hear(self, topic: str, payload: bytes) -> None:
        """Acknowledge whatever a box says, and grant every lease."""
        parsed = topics.parse(topic)
        if not isinstance(parsed, DeviceTopic) or not isinstance(parsed.kind, Up):
            return
        device_id = parsed.device_id
        self.said.append((device_id, parsed.kind, payload))
        if parsed.kind is Up.LEASE:
            if self.grants:
                self._grant(device_id, messages.decode(LeaseRequest, payload))
            return
        ack = Ack(self.header(), (json.loads(payload)["id"],))
        self.broker.mqtt.publish(topics.down(device_id, Down.ACK), messages.encode(ack), qos=0)

    def _grant(self, device_id: str, asked: LeaseRequest) -> None:
        lease = Lease(
            self.header(), device_id, asked.assignment_id, asked.attempt, asked.phase,
            granted=True, expires_ms=clock.now_ms() + HOUR_MS, request_id=asked.header.id,
        )  # fmt: skip
        sealed = messages.seal(lease, [self.director])
        self.broker.mqtt.publish(topics.down(device_id, Down.LEASE), sealed, qos=1)


@contextmanager
def stolen(server: Config, home: Path, model: str) -> Iterator[Thief]:
    """Yield a thief who runs broker and door of a copy of *server*'s data directory in *home*."""
    shutil.copytree(server.data_dir, home)
    config = replace(server, data_dir=home)
    broker = RunningBroker(config)
    broker.start()
    try:
        with server_client(config, "thief") as client:
            thief = Thief(home, model, client)
            client.mqtt.on_message = lambda _c, _u, m: thief.hear(m.topic, bytes(m.payload))
            client.subscribe("oleada/v1/d/+/up/+")
            with _door(config, thief):
                yield thief
    finally:
        broker.stop()


@contextmanager
def _door(config: Config, thief: Thief) -> Iterator[None]:
    """Serve images from the port and with the certificate of the stolen device door."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            digest = self.path.rpartition("/")[2]
            body = thief.images.get(digest) or _blob(thief.home, digest)
            start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
            part = body[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(config.pki_dir / "door.pem", config.pki_dir / "door.key")
    server = ThreadingHTTPServer(("127.0.0.1", config.door_port), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _blob(home: Path, digest: str) -> bytes:
    path = home / "blobs" / digest[:2] / digest
    return path.read_bytes() if path.exists() else b""


def signed_role(role: Metadata[Targets], *by: Any) -> bytes:
    """Return *role*, one version on, signed by each key of *by* and nobody else."""
    role.signed.version += 1
    role.signed.expires = roles.whole_seconds(now_utc() + timedelta(days=300))
    role.signatures.clear()
    for key in by:
        role.sign(keys.tuf_signer(key), append=True)
    return repository.write(role)


def waves_in(home: Path) -> list[str]:
    """Return the signed waves that the stolen database holds, oldest first."""
    database = sqlite3.connect(home / "oleada.db")
    try:
        rows = database.execute(
            "SELECT authorisation FROM wave WHERE authorisation IS NOT NULL ORDER BY id"
        )
        return [str(row[0]) for row in rows]
    finally:
        database.close()


def changed_wave(sealed: str, signers: Sequence[KeySigner], **fields: Any) -> bytes:
    """Return the wave in *sealed* with other *fields*, signed by *signers* alone."""
    wave: Wave = waves.WaveToSign(1, "", 0, sealed).wave
    return messages.seal(replace(wave, **fields), list(signers))
