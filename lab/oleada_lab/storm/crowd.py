"""A crowd of boxes in one process: real certificates, all of them at the door at once.

paho connects one client after another and waits for each; after a blackout nobody waits.
So every socket here is non-blocking from its first packet on, TLS included, on one
selector, and speaks just enough MQTT 5 (raw_mqtt.py) to keep a session, say something at
QoS 1 and hear what the server answers.
"""

import errno
import json
import os
import resource
import selectors
import socket
import ssl
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from oleada_wire import topics

from oleada_lab.bench import raw_mqtt
from oleada_lab.bench.identities import Identity
from oleada_lab.clock import monotonic_s
from oleada_lab.errors import LabError

KEEPALIVE_S: Final = 600
SESSION_S: Final = 7 * 24 * 3600
AGAIN_S: Final = 1.0
"""When a box that was turned away knocks again."""
POLL_S: Final = 0.05
SPARE_FILES: Final = 200


@dataclass(slots=True)
class Line:
    """One connection, from its first packet to its end."""

    sock: socket.socket | None = None
    tls: ssl.SSLSocket | None = None
    is_open: bool = False
    incoming: bytearray = field(default_factory=bytearray)
    outgoing: bytearray = field(default_factory=bytearray)
    packet_id: int = 0


@dataclass(slots=True)
class Member:
    """One box of the crowd.

    Attributes:
        is_ready: The broker has accepted it, and what is for it is subscribed to.
        was_known: The broker still had its session when it came back.
        turned_away: How often a connection ended before it was ready.
        unanswered: How often the kernel gave up before anybody had accepted the connection.
        acked: Message ids that the server has counted, each as often as it said so.
        refused: Message ids that it never will.
        pauses: Each ``pause_s`` that it was told.
        heard: Kinds of other messages from the server, with their payload.
        acked_at_s: Steady clock, of the newest acknowledgement.
        context: Made once, as a box does: Mosquitto hangs up on whoever has not said CONNECT
            within 90 s (60 s of keepalive before it knows ours, and a half), and one process
            speaks for everybody here.
    """

    identity: Identity
    is_ready: bool = False
    was_known: bool = False
    turned_away: int = 0
    unanswered: int = 0
    acked: Counter[str] = field(default_factory=Counter)
    refused: set[str] = field(default_factory=set)
    pauses: list[int] = field(default_factory=list)
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    acked_at_s: float = 0.0
    queue: deque[tuple[topics.Up, bytes]] = field(default_factory=deque)
    in_flight: int = 0
    line: Line = field(default_factory=Line)
    context: ssl.SSLContext | None = None

    def say(self, kind: topics.Up, payload: bytes) -> None:
        """Queue *payload*; it leaves within the window, at QoS 1, when the box is ready."""
        self.queue.append((kind, payload))


class Crowd:
    """Every box of one process; nothing happens outside ``run_until``.

    Args:
        host: Of the broker.
        port: Of the broker, for boxes.
        ca_file: What its certificate is checked against.
        window: Messages of one box that may wait for the broker's PUBACK.
    """

    def __init__(self, host: str, port: int, ca_file: Path, window: int = raw_mqtt.WINDOW) -> None:
        self._address = (host, port)
        self._ca_file = ca_file
        self._window = window
        self._selector = selectors.DefaultSelector()
        self._again: deque[tuple[float, Member]] = deque()
        self.members: list[Member] = []
        _open_many_files()

    def come(self, members: Iterable[Member]) -> None:
        """Let all of *members* connect at once; ones that are turned away try again."""
        for member in members:
            self._connect(member)

    def drop(self, members: Iterable[Member]) -> None:
        """Cut the line of each of *members*, as a blackout does: nothing is said."""
        for member in members:
            self._close(member)

    def run_until(self, done: Callable[[], bool], limit_s: float, what: str) -> None:
        """Move bytes until *done*.

        Raises:
            LabError: It is not done after *limit_s* seconds; *what* names what is missing.
        """
        end_s = monotonic_s() + limit_s
        while not done():
            if monotonic_s() > end_s:
                raise LabError(f"After {limit_s:.0f} s it is still not so that {what}.")
            self.turn(POLL_S)

    def turn(self, wait_s: float) -> None:
        """Serve every socket that is ready, waiting at most *wait_s* seconds for one."""
        for key, _ in self._selector.select(wait_s):
            self._serve(key.data)
        while self._again and self._again[0][0] <= monotonic_s():
            self._connect(self._again.popleft()[1])

    def flush(self, members: Iterable[Member]) -> None:
        """Send what *members* have queued."""
        for member in members:
            if member.is_ready:
                self._fill_window(member)
                self._guarded(member, self._write)

    def close(self) -> None:
        """Close every socket."""
        self._again.clear()
        for key in list(self._selector.get_map().values()):
            self._close(key.data)
        self._selector.close()

    def _connect(self, member: Member) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect_ex(self._address)
        member.line = Line(sock)
        member.is_ready = member.was_known = False
        member.in_flight = 0
        self._selector.register(sock, selectors.EVENT_WRITE, member)

    def _serve(self, member: Member) -> None:
        if member.line.tls is None:
            self._guarded(member, self._begin_tls)
        elif not member.line.is_open:
            self._guarded(member, self._go_on_with_tls)
        else:
            self._guarded(member, self._read)
            self._guarded(member, self._write)

    def _guarded(self, member: Member, act: Callable[[Member], None]) -> None:
        if member.line.sock is None:
            return
        try:
            act(member)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            return
        except OSError as error:
            count_failure(member, error)
            self._close(member)
            self._again.append((monotonic_s() + AGAIN_S, member))

    def _begin_tls(self, member: Member) -> None:
        assert member.line.sock is not None, "it connects"  # noqa: S101
        error = member.line.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        if member.context is None:
            member.context = _context(self._ca_file, member.identity)
        self._selector.unregister(member.line.sock)
        member.line.tls = member.context.wrap_socket(
            member.line.sock, do_handshake_on_connect=False, server_hostname=self._address[0]
        )
        member.line.sock = member.line.tls
        self._selector.register(member.line.tls, selectors.EVENT_READ, member)
        self._go_on_with_tls(member)

    def _go_on_with_tls(self, member: Member) -> None:
        assert member.line.tls is not None, "it was begun"  # noqa: S101
        member.line.tls.do_handshake()
        member.line.is_open = True
        device_id = member.identity.device_id
        hello = raw_mqtt.connect_packet(device_id, KEEPALIVE_S, session_s=SESSION_S)
        member.line.outgoing += hello + raw_mqtt.subscribe_packet(topics.down_filter(device_id))
        self._write(member)

    def _read(self, member: Member) -> None:
        assert member.line.tls is not None, "it is open"  # noqa: S101
        while True:
            data = member.line.tls.recv(raw_mqtt.READ_BYTES)
            if not data:
                raise ConnectionResetError
            member.line.incoming += data
            while (found := raw_mqtt.split_packet(member.line.incoming)) is not None:
                kind, body, end = found
                first = member.line.incoming[0]
                del member.line.incoming[:end]
                self._take(member, kind, first, body)
            self._fill_window(member)
            if not member.line.tls.pending():
                return

    def _take(self, member: Member, kind: int, first: int, body: bytes) -> None:
        match kind:
            case raw_mqtt.CONNACK:
                if body[1]:
                    raise ConnectionRefusedError(f"the broker refused: {body[1]:#x}")
                member.was_known = bool(body[0] & 1)
            case raw_mqtt.SUBACK:
                member.is_ready = True
            case raw_mqtt.PUBACK:
                member.in_flight -= 1
            case raw_mqtt.PUBLISH:
                topic, packet_id, payload = raw_mqtt.read_publish(first, body)
                if packet_id is not None:
                    member.line.outgoing += raw_mqtt.puback_packet(packet_id)
                _hear(member, topic, payload)
            case _:
                return  # PINGRESP, and what the broker says as it hangs up

    def _fill_window(self, member: Member) -> None:
        while member.is_ready and member.queue and member.in_flight < self._window:
            kind, payload = member.queue.popleft()
            member.line.packet_id = member.line.packet_id % 65_535 + 1
            topic = topics.up(member.identity.device_id, kind)
            member.line.outgoing += raw_mqtt.publish_packet(topic, payload, member.line.packet_id)
            member.in_flight += 1

    def _write(self, member: Member) -> None:
        assert member.line.tls is not None, "it is open"  # noqa: S101
        try:
            while member.line.outgoing:
                del member.line.outgoing[: member.line.tls.send(member.line.outgoing)]
        finally:
            both = selectors.EVENT_READ | selectors.EVENT_WRITE
            wanted = both if member.line.outgoing else selectors.EVENT_READ
            if self._selector.get_key(member.line.tls).events != wanted:
                self._selector.modify(member.line.tls, wanted, member)

    def _close(self, member: Member) -> None:
        if member.line.sock is not None:
            self._selector.unregister(member.line.sock)
            member.line.sock.close()
        member.line = Line()
        member.is_ready = False


def _context(ca_file: Path, identity: Identity) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(ca_file))
    context.load_cert_chain(identity.certificate_file, identity.key_file)
    return context


def count_failure(member: Member, error: OSError) -> None:
    """Tell a knock that nobody heard, in two minutes (tcp(7), tcp_syn_retries), from a no."""
    if member.is_ready:
        return
    if error.errno == errno.ETIMEDOUT and member.line.tls is None:
        member.unanswered += 1
    else:
        member.turned_away += 1


def _hear(member: Member, topic: str, payload: bytes) -> None:
    kind = topic.rpartition("/")[2]
    if kind != topics.Down.ACK:
        member.heard.append((kind, payload))
        return
    ack = json.loads(payload)
    member.acked.update(ack["ids"])
    member.refused.update(ack["refused"])
    if "pause_s" in ack:
        member.pauses.append(ack["pause_s"])
    member.acked_at_s = monotonic_s()


def _open_many_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def files_max() -> int:
    """Return how many boxes one process may hold, by the limit of open files."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_FILES
