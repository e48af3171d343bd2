"""A paho client that reads and writes in large pieces, driven by one thread.

paho asks the socket for a few bytes at a time and writes each packet by itself; over TLS
that is most of the cost of a small message. Here its two private socket methods go
through buffers (paho-mqtt 2.x; tests hold it), and the two packets that a worker writes
ten thousand times a second are spelt at once. Source: MQTT 5.0, 2.1, 3.3 and 3.4.
"""

import select
import ssl
from collections.abc import Iterable
from typing import Any, Final

from paho.mqtt import client as mqtt
from paho.mqtt.enums import MQTTErrorCode

READ_BYTES: Final = 64 * 1024
FLUSH_S: Final = 20.0
_PUBLISH_QOS0: Final = 0x30
_PUBACK_HEAD: Final = b"\x40\x02"


class Connection(mqtt.Client):
    """A client without a thread of its own: :meth:`turn` reads, :meth:`flush` writes."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
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
