"""What a box meets in a hotel, or when the server behind the door is not well.

Stands in for the device door with the door's own key, so that TLS itself finds nothing to
refuse; a sign-in page is also shown with a certificate of its own, as real ones are. What
is answered wrongly is asked of the real door first, and changed on the way.
Source: lab design, 2.2, rows N4 and U1.
"""

import asyncio
import ssl
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

from oleada_lab.real.house import Authority
from oleada_lab.sim.door import Wrong

HEAD_BYTES_MAX: Final = 64 * 1024
PART_BYTES: Final = 16 * 1024
HOST: Final = "127.0.0.1"
RETRY_AFTER_S: Final = 2
LONGER_BYTES: Final = 4096
"""By which a file is longer than the one that was signed."""
PORTAL: Final = b"<html><body>Please sign in with your room number.</body></html>"


@dataclass(slots=True)
class Certificates:
    """Whom somebody in front of the door pretends to be.

    Attributes:
        own: The door's own certificate.
        foreign: One that no box believes.
        trust: Believes the real door.
    """

    own: ssl.SSLContext
    foreign: ssl.SSLContext
    trust: ssl.SSLContext
    _numbers: "count[int]" = field(default_factory=count)

    @classmethod
    def of(cls, pki_dir: Path, home: Path) -> "Certificates":
        """Return those for the door whose keys lie in *pki_dir*; *home* takes the foreign one."""
        own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        own.load_cert_chain(pki_dir / "door.pem", pki_dir / "door.key")
        foreign = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        foreign.load_cert_chain(*Authority("Hotel").server_files(home))
        trust = ssl.create_default_context(cafile=str(pki_dir / "service-ca.pem"))
        return cls(own, foreign, trust)

    def next_of(self, wrong: Wrong) -> ssl.SSLContext:
        """Return what the next connection is shown: a portal is a stranger every second time."""
        is_stranger = wrong is Wrong.PORTAL and next(self._numbers) % 2 == 0
        return self.foreign if is_stranger else self.own


async def answer(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    wrong: Wrong,
    certificates: Certificates,
    port: int,
) -> None:
    """Answer one request in the way *wrong*; the real door is at *port* of loopback.

    Raises:
        OSError: The box hung up, as one does that is shown a wrong certificate.
        asyncio.IncompleteReadError: It asked for nothing.
    """
    await writer.start_tls(certificates.next_of(wrong))
    request = await reader.readuntil(b"\r\n\r\n")
    match wrong:
        case Wrong.PORTAL:
            writer.write(_page("200 OK", "text/html", PORTAL))
        case Wrong.NOT_FOUND:
            writer.write(_page("404 Not Found", "text/plain", b"There is nothing."))
        case Wrong.BUSY:
            more = f"Retry-After: {RETRY_AFTER_S}\r\n"
            writer.write(_page("503 Service Unavailable", "text/plain", b"Later.", more))
        case _:
            await _falsified(writer, request, wrong, certificates.trust, port)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


def _page(status: str, kind: str, body: bytes, more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}"
    return f"{head}Connection: close\r\n\r\n".encode() + body


async def _falsified(
    writer: asyncio.StreamWriter,
    request: bytes,
    wrong: Wrong,
    trust: ssl.SSLContext,
    port: int,
) -> None:
    far_reader, far_writer = await asyncio.open_connection(
        HOST, port, ssl=trust, server_hostname="localhost"
    )
    try:
        far_writer.write(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        head = await far_reader.readuntil(b"\r\n\r\n")
        size_bytes = _length(head)
        if wrong is Wrong.OVERSIZED:
            head, size_bytes = _longer(head, size_bytes), size_bytes + LONGER_BYTES
        writer.write(head)
        left = size_bytes // 2 if wrong is Wrong.TRUNCATED else size_bytes
        while left > 0 and (part := await far_reader.read(min(PART_BYTES, left))):
            left -= len(part)
            writer.write(flipped(part) if wrong is Wrong.CORRUPT else part)
            await writer.drain()
        if wrong is Wrong.OVERSIZED:
            writer.write(bytes(left))
    finally:
        far_writer.close()
        await far_writer.wait_closed()


def flipped(part: bytes) -> bytes:
    """Return *part* with one bit another one."""
    return bytes([part[0] ^ 1]) + part[1:]


def _length(head: bytes) -> int:
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0


def _longer(head: bytes, size_bytes: int) -> bytes:
    """Return *head* as of a file that is longer, in all that it says of its length."""
    lines = head.decode("latin-1").split("\r\n")
    for number, line in enumerate(lines):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            lines[number] = f"{name}: {size_bytes + LONGER_BYTES}"
        if name.lower() == "content-range":
            span, _, total = value.strip().partition("/")
            first, _, last = span.removeprefix("bytes ").partition("-")
            lines[number] = (
                f"{name}: bytes {first}-{int(last) + LONGER_BYTES}/{int(total) + LONGER_BYTES}"
            )
    return "\r\n".join(lines).encode("latin-1")
