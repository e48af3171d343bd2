"""A paho client that reads and writes in large pieces, driven by one thread.

paho asks the socket for a few bytes at a time and writes each packet by itself; over TLS
that is most of the cost of a small message. Here three of its private methods are our own
(paho-mqtt 2.x; tests hold it): the socket is read and written through buffers, and the
three packets of which a worker handles ten thousand a second are read and spelt at once.
Source: MQTT 5.0, 2.1, 3.3 and 3.4.
"""

import select
import ssl
from collections.abc import Callable, Iterable
from typing import Any, Final

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

READ_BYTES: Final = 64 * 1024
FLUSH_S: Final = 20.0
_PUBLISH_QOS0: Final = 0x30
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
        if self._is_dry and sock.pending() == 0:
            select.select([sock], [], [], wait_s)
        self._is_dry = False
        for _ in range(packets_max):
            if self.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS or self.socket() is None:
                return False
            if self._is_dry:
                break
        return self.loop_misc() == MQTTErrorCode.MQTT_ERR_SUCCESS and self.flush()

    def queue_publish(self, topic: str, payload: bytes) -> None:
        """Queue *payload* at QoS 0 without properties."""
        name = topic.encode()
        rest = len(name).to_bytes(2, "big") + name + b"\x00" + payload
        self._outbound.append(_PUBLISH_QOS0)
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

    def _handle_publish(self) -> MQTTErrorCode:
        packet = bytes(self._in_packet["packet"])
        qos = (self._in_packet["command"] >> 1) & 3
        try:
            end = 2 + int.from_bytes(packet[:2], "big")
            topic = packet[2:end].decode()
            mid = int.from_bytes(packet[end : end + 2], "big") if qos else 0
            length, end = _read_variable_length(packet, end + 2 if qos else end)
        except (IndexError, ValueError):
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        self._heard(mid, qos, topic, packet[end + length :])  # no property is of use to us
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _sock_recv(self, bufsize: int) -> bytes:
        if self._read_to >= len(self._inbound):
            try:
                self._inbound, self._read_to = super()._sock_recv(READ_BYTES), 0
            except BlockingIOError:
                self._is_dry = True
                raise
        piece = self._inbound[self._read_to : self._read_to + bufsize]
        self._read_to += len(piece)
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
    while True:
        byte = packet[start]
        start += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, start
        shift += 7
