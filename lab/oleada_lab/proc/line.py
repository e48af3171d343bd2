"""The line of one real box: every byte to broker and device door goes through it.

A TCP proxy on an address of its own, in one thread for all lines. What a network does to
packets it does to bytes: segments that are lost come late, silence keeps them for ever
and tells nobody, a router that has forgotten a connection never remembers it. Times are in
seconds of the loop's clock, sizes in bytes.
Source: lab design, 2.2, rows N1 to N7.
"""

import asyncio
import socket
import struct
import threading
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from oleada_lab.proc import wrong_door
from oleada_lab.proc.wrong_door import Certificates
from oleada_lab.scenario import Line as Profile
from oleada_lab.sim.door import Wrong
from oleada_lab.sim.link import RETRIES_MAX, RETRY_MS, SEGMENT_BYTES, Way

READ_BYTES: Final = 16 * 1024
POLL_S: Final = 0.05
HOST: Final = "127.0.0.1"
RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: a close that the other side hears as RST, as from a router that has restarted."""
CLOSE_LIMIT_S: Final = 60.0
HANG_UP_LIMIT_S: Final = 5.0

WINDOW_PARTS: Final = 64
"""How much may be under way in one direction: a mebibyte."""
Road = asyncio.Queue[tuple[float, bytes]]

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class Connection:
    """One connection of a box.

    Attributes:
        is_dead: Somebody on the way has forgotten it; nothing comes through any more.
        last_s: When something last came through.
        unanswered: Bytes in each direction since the other one last spoke.
        carried: Bytes towards the box, while a limit is set.
    """

    is_broker: bool
    writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    last_s: float
    is_dead: bool = False
    unanswered: dict[Way, int] = field(default_factory=dict)
    carried: int = 0


class Line:
    """The line of one box; what is wrong with it may be set at any time, from any thread.

    Args:
        address: Of its own, of 127.0.0.0/8; listens there on the ports of broker and door.

    Attributes:
        is_cut: There is no carrier: connections end, new ones fail at once.
        silent: Directions in which nothing comes through.
        limits: A download dies after so many bytes, the next one after the next number.
        slowdown: Divides the rate.
        wrong: How the door, or somebody in front of it, answers.
        opened_s: When each connection to the broker was made.
    """

    def __init__(
        self,
        address: str,
        ports: tuple[int, int],
        profile: Profile,
        dice: Random,
        certificates: Certificates,
    ) -> None:
        self.address, self.profile = address, profile
        self.is_cut = False
        self.silent: tuple[Way, ...] = ()
        self.limits: deque[int] = deque()
        self.slowdown = 1
        self.wrong = Wrong.NOTHING
        self.opened_s: list[float] = []
        self.ports = ports
        self._dice = dice
        self._certificates = certificates
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._in_burst = False

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection to the broker that nobody has forgotten."""
        return any(one.is_broker and not one.is_dead for one in list(self._connections))

    async def open(self) -> None:
        """Listen."""
        for is_broker, port in zip((True, False), self.ports, strict=True):
            serve = self._broker if is_broker else self._door
            self._servers.append(await asyncio.start_server(serve, self.address, port))

    async def close(self) -> None:
        """End every connection, and listen no more."""
        for server in self._servers:
            server.close()
        await self.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()

    async def reset(self) -> None:
        """End every connection at once."""
        while self._connections:
            for writer in self._connections.pop().writers:
                _abort(writer)

    # -- inside ------------------------------------------------------------------------

    async def _broker(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._serve(reader, writer, self.ports[0], is_broker=True)

    async def _door(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._serve(reader, writer, self.ports[1], is_broker=False)

    async def _serve(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        port: int,
        *,
        is_broker: bool,
    ) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - the loop runs this in a task
        self._tasks.add(task)
        try:
            await self._carry_all(reader, writer, port, is_broker=is_broker)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # a peer has gone, or the lab
        finally:
            _abort(writer)
            self._tasks.discard(task)

    async def _carry_all(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        port: int,
        *,
        is_broker: bool,
    ) -> None:
        if self.is_cut:
            return
        while self.silent:  # the first segment of a connection vanishes as any other does
            await asyncio.sleep(POLL_S)
        if self.wrong and not is_broker:
            await wrong_door.answer(reader, writer, self.wrong, self._certificates, port)
            return
        far_reader, far_writer = await asyncio.open_connection(HOST, port)
        loop = asyncio.get_running_loop()
        one = Connection(is_broker, (writer, far_writer), loop.time())
        self._connections.add(one)
        if is_broker:
            self.opened_s.append(loop.time())
        up, down = Road(WINDOW_PARTS), Road(WINDOW_PARTS)
        pumps = [
            asyncio.create_task(self._send(one, reader, Way.UP, up)),
            asyncio.create_task(self._deliver(one, far_writer, Way.UP, up)),
            asyncio.create_task(self._send(one, far_reader, Way.DOWN, down)),
            asyncio.create_task(self._deliver(one, writer, Way.DOWN, down)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for pump in pumps:
                pump.cancel()
            ends = await asyncio.gather(*pumps, return_exceptions=True)
            self._connections.discard(one)
            if any(isinstance(end, BaseException) for end in ends):
                for one_end in one.writers:
                    _abort(one_end)
            await _hang_up(one.writers)

    async def _send(
        self, one: Connection, reader: asyncio.StreamReader, way: Way, road: Road
    ) -> None:
        """Put on the *road* what is said, with the time of its arrival; the end is empty."""
        loop = asyncio.get_running_loop()
        sent_s = arrives_s = 0.0
        while data := await reader.read(READ_BYTES):
            now_s = loop.time()
            timeout_s = self.profile.nat_timeout
            one.is_dead = one.is_dead or (timeout_s is not None and now_s - one.last_s > timeout_s)
            sent_s = max(now_s, sent_s) + len(data) * self.slowdown / self.profile.rate
            late_ms = self._half_way_ms() + self._loss_ms(1 + len(data) // SEGMENT_BYTES)
            arrives_s = max(arrives_s, sent_s + late_ms / 1000)
            await road.put((arrives_s, data))
        await road.put((arrives_s, b""))

    async def _deliver(
        self, one: Connection, writer: asyncio.StreamWriter, way: Way, road: Road
    ) -> None:
        """Hand over what arrives; what is silent does not tell of an end, either."""
        loop, data = asyncio.get_running_loop(), b" "
        while data:
            arrives_s, data = await road.get()
            await asyncio.sleep(max(0.0, arrives_s - loop.time()))
            self._falls(one, len(data), way)
            while way in self.silent or one.is_dead:
                await asyncio.sleep(POLL_S)
            one.last_s = loop.time()
            if self._is_spent(one, len(data), way):
                raise ConnectionResetError("so many bytes and no more")
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    def _falls(self, one: Connection, size_bytes: int, way: Way) -> None:
        """Let *one* be lost for good when an answer grows too large for somebody on the way."""
        hole = self.profile.blackhole_over
        one.unanswered[way] = one.unanswered.get(way, 0) + size_bytes
        one.unanswered[Way.DOWN if way is Way.UP else Way.UP] = 0
        one.is_dead = one.is_dead or (hole is not None and one.unanswered[way] > hole)

    def _is_spent(self, one: Connection, size_bytes: int, way: Way) -> bool:
        """Return whether this download dies now."""
        if not self.limits or one.is_broker or way is Way.UP:
            return False
        one.carried += size_bytes
        if one.carried <= self.limits[0]:
            return False
        self.limits.popleft()
        return True

    def _half_way_ms(self) -> float:
        jitter_ms = self._dice.uniform(-self.profile.jitter, self.profile.jitter)
        return max(1.0, self.profile.rtt + jitter_ms) / 2

    def _loss_ms(self, segments: int) -> int:
        """Return what sending again costs; a segment is lost RETRIES_MAX times at most."""
        if not self.profile.loss and not self.profile.burst:
            return 0
        waits_ms = 0
        for _ in range(segments):
            pause_ms = RETRY_MS
            for _ in range(RETRIES_MAX):
                if self._dice.random() >= self._loss_now():
                    break
                waits_ms = max(waits_ms, pause_ms)
                pause_ms *= 2
        return waits_ms

    def _loss_now(self) -> float:
        if not self.profile.burst:
            return self.profile.loss
        begin, end, loss_in, loss_out = self.profile.burst
        draw = self._dice.random()
        self._in_burst = draw >= end if self._in_burst else draw < begin
        return loss_in if self._in_burst else loss_out


class Lines:
    """The thread that all lines live in."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lines", daemon=True)
        self._lines: list[Line] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for line in self._lines:
            self._do(line.close())
        self._do(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def open(self, line: Line) -> Line:
        """Let *line* carry."""
        self._lines.append(line)
        self._do(line.open())
        return line

    def reset(self, line: Line) -> None:
        """End every connection of *line*."""
        self._do(line.reset())

    def now_s(self) -> float:
        """Return the time by the clock of the lines."""
        return self._loop.time()

    def _do(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(CLOSE_LIMIT_S)


async def _hang_up(writers: tuple[asyncio.StreamWriter, ...]) -> None:
    """Close after everything that was said has been sent."""
    for writer in writers:
        writer.close()
    for writer in writers:
        with suppress(OSError, TimeoutError):
            await asyncio.wait_for(writer.wait_closed(), HANG_UP_LIMIT_S)


def _abort(writer: asyncio.StreamWriter) -> None:
    """Close as somebody does who has no time to say so."""
    found = writer.get_extra_info("socket")
    if found is not None:
        with suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    transport = writer.transport
    if transport is not None:
        transport.abort()


def peak(moments_s: list[float]) -> int:
    """Return how many of *moments_s* lie in the worst second."""
    ordered = sorted(moments_s)
    first, worst = 0, 0
    for last, moment_s in enumerate(ordered):
        while ordered[first] <= moment_s - 1:
            first += 1
        worst = max(worst, last - first + 1)
    return worst
