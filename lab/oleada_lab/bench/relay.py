"""A relay on loopback that counts what a box's connection to the broker costs on a line.

The kernel counts the segments of each connection (``TCP_INFO``), acknowledgements without
data, SYN and FIN among them; the relay's end announces the segment size of Ethernet, so
that a large message has as many segments as it would have at home. Each is counted with
the headers of IPv4 and TCP with its timestamps.
Source: tcp(7); linux/tcp.h, struct tcp_info (Linux 4.2 and later).
"""

import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

HEADER_BYTES: Final = 52
"""IPv4 20, TCP 20, timestamps 12 (RFC 7323)."""
SEGMENT_BYTES: Final = 1_448
READ_BYTES: Final = 64 * 1024
_SEGMENTS_AT: Final = 136
"""Of ``tcpi_segs_out`` and ``tcpi_segs_in``, 32 bits each."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What has gone over the line so far, both ways together.

    Attributes:
        payload_bytes: What TCP carried: TLS with everything in it.
        segments: With and without data.
        said: How often the box began to speak; each MQTT packet is one such.
        connections: That were made.
    """

    payload_bytes: int = 0
    segments: int = 0
    said: int = 0
    connections: int = 0

    @property
    def line_bytes(self) -> int:
        """Return what the line carried, headers counted."""
        return self.payload_bytes + self.segments * HEADER_BYTES

    def since(self, before: "Carried") -> "Carried":
        """Return what was carried after *before*."""
        return Carried(
            self.payload_bytes - before.payload_bytes,
            self.segments - before.segments,
            self.said - before.said,
            self.connections - before.connections,
        )


class Relay:
    """Listens on loopback and carries every connection on to a broker.

    Args:
        target: Host and port of the broker.

    Attributes:
        port: On which it listens.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._ended = Carried()
        self._open: dict[socket.socket, list[int]] = {}
        self._listening = socket.socket()
        self._listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen()
        self.port: int = self._listening.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        with self._lock:
            boxes = list(self._open)
        for box in boxes:
            with suppress(OSError):
                box.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def carried(self) -> Carried:
        """Return what has gone over the line so far."""
        with self._lock:
            found = self._ended
            for box, (payload_bytes, said) in self._open.items():
                found = _sum(found, Carried(payload_bytes, _segments(box), said))
            return found

    def _accept(self) -> None:
        while True:
            try:
                box, _ = self._listening.accept()
            except OSError:
                return
            broker = socket.create_connection(self._target)
            for one in (box, broker):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open[box] = [0, 0]
                self._ended = _sum(self._ended, Carried(connections=1))
            thread = threading.Thread(target=self._serve, args=(box, broker), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, box: socket.socket, broker: socket.socket) -> None:
        back = threading.Thread(target=self._pump, args=(broker, box, box), daemon=True)
        back.start()
        self._pump(box, broker, box)
        back.join()
        with self._lock:
            payload_bytes, said = self._open.pop(box)
            self._ended = _sum(self._ended, Carried(payload_bytes, _segments(box), said))
        box.close()
        broker.close()

    def _pump(self, source: socket.socket, sink: socket.socket, box: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(READ_BYTES):
                with self._lock:
                    self._open[box][0] += len(data)
                    self._open[box][1] += source is box
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def _segments(box: socket.socket) -> int:
    size = _SEGMENTS_AT + 8
    info = box.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size)
    assert len(info) >= size, "a kernel of 4.2 or later counts segments"  # noqa: S101
    out, into = struct.unpack_from("=II", info, _SEGMENTS_AT)
    return int(out) + int(into)


def _sum(one: Carried, other: Carried) -> Carried:
    return Carried(
        one.payload_bytes + other.payload_bytes,
        one.segments + other.segments,
        one.said + other.said,
        one.connections + other.connections,
    )
