"""A paho client that reads and writes in large pieces, driven by one thread.

paho asks the socket for a few bytes at a time and writes each packet by itself; over TLS
that is most of the cost of a small message. Here two of its private methods are our own
(paho-mqtt 2.x; tests hold it): the socket is read and written through buffers. The three
packets of which a worker handles ten thousand a second are read and spelt at once, every
other one is paho's. Source: MQTT 5.0, 1.5.5, 2.1, 3.3 and 3.4.
"""

import select
import ssl
from collections.abc import Callable, Iterable
from typing import Any, Final

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

READ_BYTES: Final = 64 * 1024
FLUSH_S: Final = 20.0
_PUBLISH: Final = 0x30
_PUBACK_HEAD: Final = b"\x40\x02"


Heard = Callable[[int, int, str, bytes], None]


class Connection(mqtt.Client):
    """A client without a thread of its own: :meth:`turn` reads, :meth:`flush` writes.

    Args:
        heard: Called with packet id, QoS, topic and payload of each message; nothing is
            acknowledged until :meth:`queue_pubacks`.
        named: As paho's client takes them.
    """

    def __init__(self, heard: Heard, **named: Any) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5, **named)
        self._heard = heard
        self._inbound = b""
        self._read_to = 0
        self._for_paho = b""
        self._is_dry = True
        self._outbound = bytearray()
        self._leaving = False

    def turn(self, wait_s: float, packets_max: int) -> bool:
        """Write what is queued, read up to *packets_max* packets; return whether still connected.

        Waits at most *wait_s* seconds when there is nothing to read.
        """
        sock: Any = self.socket()
        if self.want_write():
            self.loop_write()  # what a callback has queued waits in paho, not in our buffer
        if sock is None or not self.flush():
            return False
        is_idle = self._is_dry and sock.pending() == 0
        if is_idle and not select.select([sock], [], [], wait_s)[0]:
            return self.loop_misc() == MQTTErrorCode.MQTT_ERR_SUCCESS and self.flush()
        if not self._read(sock, packets_max):
            return False
        return self.loop_misc() == MQTTErrorCode.MQTT_ERR_SUCCESS and self.flush()

    def queue_publish(self, topic: str, payload: bytes) -> None:
        """Queue *payload* at QoS 0 without properties."""
        name = topic.encode()
        rest = len(name).to_bytes(2, "big") + name + b"\x00" + payload
        self._outbound.append(_PUBLISH)
        self._outbound += _variable_length(len(rest)) + rest

    def queue_pubacks(self, mids: Iterable[int]) -> None:
        """Queue a PUBACK for each of *mids*, in their order."""
        for mid in mids:
            self._outbound += _PUBACK_HEAD + mid.to_bytes(2, "big")

    def flush(self) -> bool:
        """Write everything that is queued; return whether the connection still stands."""
        sock: Any = self.socket()
        while self._outbound:
            if sock is None:
                return False
            try:
                del self._outbound[: sock.send(self._outbound)]
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError, BlockingIOError):
                if not select.select([], [sock], [], FLUSH_S)[1]:
                    return False  # a broker that reads nothing for so long is gone
            except OSError:
                return False
        return True

    def leave(self) -> None:
        """Write what is queued, then DISCONNECT; the broker keeps the session."""
        self.flush()
        self._leaving = True  # paho closes the socket right after this packet
        self.disconnect()

    def close(self) -> None:
        """Close the socket without a word."""
        sock: Any = self.socket()
        if sock is not None:
            sock.close()

    def _read(self, sock: Any, packets_max: int) -> bool:
        """Handle up to *packets_max* packets; return whether the connection still stands."""
        self._is_dry = False
        for _ in range(packets_max):
            try:
                while (found := self._whole_packet()) is None:
                    data = sock.recv(READ_BYTES)
                    if not data:
                        return False
                    self._inbound, self._read_to = self._inbound[self._read_to :] + data, 0
                if not self._handle(*found):
                    return False
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                self._is_dry = True
                return True
            except (OSError, IndexError, ValueError):
                return False  # gone, or what came is not MQTT
        return True

    def _whole_packet(self) -> tuple[int, int] | None:
        """Return where the next packet's body begins and ends; None if it is not all here."""
        if len(self._inbound) < self._read_to + 2:
            return None
        try:
            length, body = _read_variable_length(self._inbound, self._read_to + 1)
        except IndexError:
            return None
        return (body, body + length) if body + length <= len(self._inbound) else None

    def _handle(self, body: int, end: int) -> bool:
        start, self._read_to = self._read_to, end
        if self._inbound[start] & 0xF0 == _PUBLISH:
            self._heard(*_read_publish(self._inbound, self._inbound[start], body, end))
            return True
        self._for_paho = self._inbound[start:end]
        while self._for_paho:
            if self.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS or self.socket() is None:
                return False
        return True

    def _sock_recv(self, bufsize: int) -> bytes:
        if not self._for_paho:
            raise BlockingIOError
        piece, self._for_paho = self._for_paho[:bufsize], self._for_paho[bufsize:]
        return piece

    def _sock_send(self, buf: bytes | bytearray) -> int:
        if self._leaving:
            return super()._sock_send(buf)
        self._outbound += buf
        return len(buf)


def _variable_length(number: int) -> bytes:
    """Return *number* in MQTT's variable byte integer (1.5.5)."""
    found = bytearray()
    while True:
        number, low = divmod(number, 128)
        found.append(low | (0x80 if number else 0))
        if not number:
            return bytes(found)


def _read_variable_length(packet: bytes, start: int) -> tuple[int, int]:
    """Return the variable byte integer at *start*, and where it ends."""
    number = shift = 0
    while shift < 28:
        byte = packet[start]
        start += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, start
        shift += 7
    raise ValueError("a variable byte integer has at most four bytes")


def _read_publish(packet: bytes, first: int, body: int, end: int) -> tuple[int, int, str, bytes]:
    """Return packet id, QoS, topic and payload of a PUBLISH; no property is of use to us."""
    qos = (first >> 1) & 3
    at = body + 2 + int.from_bytes(packet[body : body + 2], "big")
    topic = packet[body + 2 : at].decode()
    mid = 0
    if qos:
        mid = int.from_bytes(packet[at : at + 2], "big")
        at += 2
    length, at = _read_variable_length(packet, at)
    if at + length > end:
        raise ValueError("a PUBLISH ends before its topic or its properties do")
    return mid, qos, topic, packet[at + length : end]
