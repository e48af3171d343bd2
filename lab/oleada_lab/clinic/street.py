"""The network of one box: a namespace of its own, in which the lab answers for the world.

The sockets of broker, door, names, loading and echoes are opened inside of the namespace,
and served outside: the box has its server at its own loopback and nothing else. Its kernel
answers pings, unless the line loses them. Times are in seconds of the loop's clock.
Source: namespaces(7), network_namespaces(7), sysctl net.ipv4.icmp_echo_ignore_all.
"""

import asyncio
import ctypes
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from oleada_lab.errors import LabError

CLONE_NEWNET: Final = 0x40000000
SIOCSIFFLAGS: Final = 0x8914
LOOPBACK_UP: Final = struct.pack("16sh14x", b"lo", 0x49)
"""IFF_UP, IFF_LOOPBACK, IFF_RUNNING."""
IGNORE: Final = "/proc/sys/net/ipv4/icmp_echo_ignore_all"
HOST: Final = "127.0.0.1"
READ_BYTES: Final = 64 * 1024
DNS_PORT: Final = 53
WEB_PORT: Final = 8099
ECHO_PORT: Final = 7
BLINK_S: Final = 0.11
"""How long the line is as it is, in which pings are lost or are not; a ping takes less."""
BODY: Final = bytes(16 * 1024)
T = TypeVar("T")


class Names(StrEnum):
    """How the household's names are resolved."""

    GOOD = "good"
    SILENT = "silent"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Net:
    """A namespace with its sockets.

    Attributes:
        fd: Keeps the namespace; ``/proc/<pid>/fd/<fd>`` names it.
        ignore_fd: Of the switch by which its kernel answers no ping.
    """

    fd: int
    ignore_fd: int
    listeners: dict[int, socket.socket]
    names: socket.socket
    echo: socket.socket

    def close(self) -> None:
        """Give everything back; the namespace ends with its last process."""
        for sock in (*self.listeners.values(), self.names, self.echo):
            sock.close()
        os.close(self.ignore_fd)
        os.close(self.fd)


def make_net(ports: tuple[int, ...]) -> Net:
    """Return a new network with a loopback and listeners on *ports* of it.

    Raises:
        LabError: This machine lets nobody make one.
    """
    found: list[Net | OSError] = []

    def make() -> None:
        try:
            found.append(_made(ports))
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=make, name="net")  # it alone moves there, and ends
    thread.start()
    thread.join()
    if isinstance(found[0], OSError):
        raise LabError(f"No network of its own can be made: {found[0]}. Be root.") from found[0]
    return found[0]


def _made(ports: tuple[int, ...]) -> Net:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, LOOPBACK_UP)
    listeners = {}
    for port in (*ports, WEB_PORT):
        listeners[port] = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listeners[port].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listeners[port].bind((HOST, port))
        listeners[port].setblocking(False)
    datagrams = []
    for port in (DNS_PORT, ECHO_PORT):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((HOST, port))
        sock.setblocking(False)
        datagrams.append(sock)
    fd = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    ignore = os.open(IGNORE, os.O_WRONLY | os.O_CLOEXEC)
    return Net(fd, ignore, listeners, datagrams[0], datagrams[1])


@dataclass(slots=True)
class Road:
    """What is so on the way of one box; may be set at any time, from any thread.

    Attributes:
        loss_share: Of pings and echoes, 0 to 1.
        rate_kbit_s: Of what is loaded.
        is_cut: Nothing comes through, and connections end.
    """

    names: Names = Names.GOOD
    loss_share: float = 0.0
    rate_kbit_s: int = 60_000
    is_cut: bool = False


class Way:
    """One box's way into the world, served by the street.

    Args:
        ports: Of broker and door, the same inside and outside.
    """

    def __init__(self, ports: tuple[int, int], seed: str) -> None:
        self.road = Road()
        self.net = make_net(ports)
        self._ports = ports
        self._dice = Random(seed)
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def place(self) -> str:
        """The namespace, as nsenter takes it."""
        return f"/proc/{os.getpid()}/fd/{self.net.fd}"

    async def open(self) -> None:
        """Answer."""
        for port in self._ports:
            serve = self._relay_to(port)
            server = await asyncio.start_server(serve, sock=self.net.listeners[port])
            self._servers.append(server)
        web = await asyncio.start_server(self._load, sock=self.net.listeners[WEB_PORT])
        self._servers.append(web)
        loop = asyncio.get_running_loop()
        loop.add_reader(self.net.names, self._answer, self.net.names, self._name)
        loop.add_reader(self.net.echo, self._answer, self.net.echo, self._echoed)
        self._begin(self._blink())

    async def close(self) -> None:
        """Answer no more."""
        loop = asyncio.get_running_loop()
        for sock in (self.net.names, self.net.echo):
            loop.remove_reader(sock)
        for server in self._servers:
            server.close()
        self.hang_up()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.net.close()

    def hang_up(self) -> None:
        """End every connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _blink(self) -> None:
        """Let the kernel of the box's network answer pings, or not, a few times a second."""
        is_off = False
        while True:
            wanted = self._dice.random() < self.road.loss_share
            if wanted != is_off:
                os.pwrite(self.net.ignore_fd, b"1\n" if wanted else b"0\n", 0)
                is_off = wanted
            if self.road.is_cut:
                self.hang_up()
            await asyncio.sleep(BLINK_S)

    def _relay_to(
        self, port: int
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]:
        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if self.road.is_cut:
                writer.transport.abort()
                return
            try:
                there, back = await asyncio.open_connection(HOST, port)
            except OSError:
                writer.transport.abort()
                return
            self._writers |= {writer, back}
            try:
                await asyncio.gather(_pump(reader, back), _pump(there, writer))
            finally:
                self._writers -= {writer, back}
                for one in (writer, back):
                    one.transport.abort()

        return relay

    async def _load(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Give zeros, or take what comes, at the rate of the road."""
        self._writers.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n\r\n")
            size = len(BODY) * 1000
            if head.startswith(b"GET"):
                said = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
                writer.write(said.encode())
                for _ in range(1000):
                    writer.write(BODY)
                    await writer.drain()
                    await asyncio.sleep(len(BODY) * 8 / 1000 / self.road.rate_kbit_s)
            else:
                left = int(head.lower().partition(b"content-length:")[2].split()[0])
                while left > 0 and (data := await reader.read(READ_BYTES)):
                    left -= len(data)
                writer.write(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        self._writers.discard(writer)
        writer.close()

    def _answer(self, sock: socket.socket, what: Callable[[bytes], bytes | None]) -> None:
        with suppress(OSError):
            data, who = sock.recvfrom(READ_BYTES)
            if not self.road.is_cut and (said := what(data)) is not None:
                sock.sendto(said, who)

    def _echoed(self, data: bytes) -> bytes | None:
        return None if self._dice.random() < self.road.loss_share else data

    def _name(self, data: bytes) -> bytes | None:
        """Return the answer to one question: every name is the box's own loopback."""
        if self.road.names is Names.SILENT or len(data) < 12:
            return None
        is_known = self.road.names is Names.GOOD
        flags = 0x8180 if is_known else 0x8183
        head = struct.pack("!HHHHHH", int.from_bytes(data[:2], "big"), flags, 1, is_known, 0, 0)
        found = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(HOST)
        return head + data[12:] + (found if is_known else b"")


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(READ_BYTES):
            writer.write(data)
            await writer.drain()
    if not writer.is_closing():
        with suppress(OSError):
            writer.write_eof() if writer.can_write_eof() else writer.close()


@dataclass(slots=True)
class Street:
    """All ways of one run, served by one thread."""

    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _thread: threading.Thread | None = None
    _ways: list[Way] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._loop.run_forever, name="street", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for way in list(self._ways):
            self.leave(way)
        self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread is not None:
            self._thread.join()
        self._loop.close()

    def way(self, ports: tuple[int, int], seed: str) -> Way:
        """Return a new way that is served.

        Raises:
            LabError: This machine lets nobody make a network.
        """
        made = Way(ports, seed)
        self._do(made.open())
        self._ways.append(made)
        return made

    def leave(self, way: Way) -> None:
        """End *way*."""
        self._ways.remove(way)
        self._do(way.close())

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
