"""A publisher that costs little: pre-encoded MQTT 5 packets on one asyncio loop.

Beside what is measured every microsecond of the load generator counts twice on a small
machine. So this speaks just enough of MQTT 5 to send health messages at QoS 1 within
the broker's window and to count the server's acknowledgements, and nothing else.
"""

import asyncio
import json
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from oleada_wire import topics

from oleada_lab.bench.identities import Identity
from oleada_lab.clock import monotonic_s
from oleada_lab.errors import LabError

WINDOW: Final = 60
"""Unacknowledged messages of one client; below what the generated broker configuration takes."""
READ_BYTES: Final = 65_536
CONNACK, PUBLISH, PUBACK, SUBACK = 2, 3, 4, 9
_SESSION_EXPIRY: Final = 0x11


def remaining_length(number: int) -> bytes:
    """Return *number* as a variable byte integer (MQTT 5, 1.5.5)."""
    found = bytearray()
    while True:
        number, digit = divmod(number, 128)
        found.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(found)


def connect_packet(client_id: str, keepalive_s: int, session_s: int | None = None) -> bytes:
    """Return CONNECT with a clean start; with *session_s* one to a session that is kept."""
    head = _text("MQTT") + bytes([5, 2 if session_s is None else 0])
    kept = b"" if session_s is None else bytes([_SESSION_EXPIRY]) + session_s.to_bytes(4, "big")
    properties = remaining_length(len(kept)) + kept
    return _packet(0x10, head + keepalive_s.to_bytes(2, "big") + properties + _text(client_id))


def subscribe_packet(topic_filter: str) -> bytes:
    """Return SUBSCRIBE to *topic_filter* at QoS 0."""
    return _packet(0x82, (1).to_bytes(2, "big") + b"\0" + _text(topic_filter) + b"\0")


def publish_packet(topic: str, payload: bytes, packet_id: int) -> bytes:
    """Return PUBLISH at QoS 1."""
    return _packet(0x32, _text(topic) + packet_id.to_bytes(2, "big") + b"\0" + payload)


def puback_packet(packet_id: int) -> bytes:
    """Return PUBACK with success."""
    return b"\x40\x02" + packet_id.to_bytes(2, "big")


def read_publish(first: int, body: bytes) -> tuple[str, int | None, bytes]:
    """Return topic, packet id (None at QoS 0) and payload of a PUBLISH.

    Args:
        first: The packet's first byte.
        body: Everything behind its length.
    """
    at = 2 + int.from_bytes(body[:2], "big")
    topic, packet_id = body[2:at].decode(), None
    if first & 0x06:
        packet_id, at = int.from_bytes(body[at : at + 2], "big"), at + 2
    length, shift = 0, 0
    while True:  # the properties' length, a variable byte integer
        length |= (body[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not body[at - 1] & 0x80:
            return topic, packet_id, body[at + length :]


@dataclass(slots=True)
class Load:
    """What one run of ``publish_all`` has done.

    Attributes:
        sent: Messages handed to the broker.
        puback: Of those, taken over by the broker.
        acknowledged: Of those, named in a ``down/ack`` of the server.
        taken_s: Steady clock, when the broker had taken over every one.
        last_ack_s: Steady clock, when the last of them was.
    """

    sent: int = 0
    puback: int = 0
    acknowledged: int = 0
    taken_s: float = 0.0
    last_ack_s: float = 0.0


@dataclass(slots=True)
class _Sender:
    """One connection: what it still has to send, and what came back."""

    identity: Identity
    payloads: deque[bytes]
    load: Load
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    buffer: bytearray = field(default_factory=bytearray)
    in_flight: int = 0
    packet_id: int = 0

    def fill_window(self) -> None:
        """Send as many messages as the window takes."""
        topic = topics.up(self.identity.device_id, topics.Up.HEALTH)
        packets = []
        while self.payloads and self.in_flight < WINDOW:
            self.packet_id = self.packet_id % 65_535 + 1
            packets.append(publish_packet(topic, self.payloads.popleft(), self.packet_id))
            self.in_flight += 1
        if packets:
            self.load.sent += len(packets)
            self.writer.write(b"".join(packets))

    def take(self, data: bytes) -> None:
        """Count every whole packet in what has come."""
        self.buffer += data
        while (split := split_packet(self.buffer)) is not None:
            kind, body, end = split
            if kind == PUBACK:
                self.in_flight -= 1
                self.load.puback += 1
            elif kind == PUBLISH:
                self.load.acknowledged += _acknowledged(body)
                self.load.last_ack_s = monotonic_s()
            del self.buffer[:end]


async def publish_all(
    work: Iterable[tuple[Identity, list[bytes]]],
    host: str,
    port: int,
    ca_file: Path | None,
    *,
    when_taken: Callable[[], None],
    await_server: bool,
    limit_s: float,
) -> Load:
    """Send every payload at QoS 1; return when all are acknowledged.

    Args:
        work: Each client with the health messages it sends.
        host: Of the broker.
        port: Of the broker, for boxes.
        ca_file: The CA of the broker's certificate; None without TLS.
        when_taken: Called once, when the broker has taken over every message: lets the
            receiver run, so that it drains a queue and does not share the processor
            with whoever fills it.
        await_server: Go on until the server has acknowledged every one by ``down/ack``.
        limit_s: Seconds after which it is given up.

    Raises:
        LabError: Not all were acknowledged in time.
    """
    load = Load()
    senders = [await _connect(one, load, (host, port), ca_file) for one in work]
    expected = sum(len(sender.payloads) for sender in senders)
    try:
        async with asyncio.timeout(limit_s):
            await _until(senders, lambda: load.puback >= expected)
            load.taken_s = monotonic_s()
            when_taken()
            await _until(senders, lambda: load.acknowledged >= expected or not await_server)
    except TimeoutError as error:
        raise LabError(
            f"Of {expected} messages the broker took {load.puback} and the server acknowledged "
            f"{load.acknowledged} in {limit_s:.0f} s."
        ) from error
    finally:
        for sender in senders:
            sender.writer.close()
        await asyncio.gather(
            *(sender.writer.wait_closed() for sender in senders), return_exceptions=True
        )
    return load


async def _until(senders: list[_Sender], is_done: Callable[[], bool]) -> None:
    await asyncio.gather(*(_serve(sender, is_done) for sender in senders))


async def _connect(
    work: tuple[Identity, list[bytes]], load: Load, address: tuple[str, int], ca_file: Path | None
) -> _Sender:
    identity, payloads = work
    context = None
    if ca_file is not None:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(ca_file))
        context.load_cert_chain(identity.certificate_file, identity.key_file)
    reader, writer = await asyncio.open_connection(*address, ssl=context)
    sender = _Sender(identity, deque(payloads), load, reader, writer)
    writer.write(connect_packet(identity.device_id, 300))
    writer.write(subscribe_packet(topics.down(identity.device_id, topics.Down.ACK)))
    ready = set[int]()
    while not {CONNACK, SUBACK} <= ready:
        data = await reader.read(READ_BYTES)
        if not data:
            raise LabError(f"The broker closed the connection of {identity.device_id}.")
        sender.buffer += data
        while (split := split_packet(sender.buffer)) is not None:
            ready.add(split[0])
            del sender.buffer[: split[2]]
    return sender


async def _serve(sender: _Sender, is_done: Callable[[], bool]) -> None:
    while not is_done():
        sender.fill_window()
        try:
            async with asyncio.timeout(0.2):
                data = await sender.reader.read(READ_BYTES)
        except TimeoutError:
            continue  # another connection may have brought the last one in
        if not data:
            raise LabError(f"The broker closed the connection of {sender.identity.device_id}.")
        sender.take(data)


def split_packet(buffer: bytearray) -> tuple[int, bytes, int] | None:
    """Return kind, body and end of the first packet, or None if it is not whole."""
    length, shift, at = 0, 0, 1
    while True:
        if at >= len(buffer):
            return None
        length |= (buffer[at] & 0x7F) << shift
        at += 1
        if not buffer[at - 1] & 0x80:
            break
        shift += 7
    if len(buffer) < at + length:
        return None
    return buffer[0] >> 4, bytes(buffer[at : at + length]), at + length


def _acknowledged(body: bytes) -> int:
    """Return how many ids a PUBLISH of QoS 0 on ``down/ack`` names."""
    return len(json.loads(read_publish(0x30, body)[2])["ids"])


def _packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + remaining_length(len(body)) + body


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data
