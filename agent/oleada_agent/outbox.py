"""Messages on disk until the server says that it has counted them.

The broker's acknowledgement proves nothing: killed, it forgets what it acknowledged.
So a message stays here until ``down/ack`` names its id, and is sent again after a
while and after each reconnection. It is sent with the same id and bytes, which is why
duplicates are harmless. Reports are never dropped; the rest is, least important and
oldest first, and the number dropped is reported. A disk that refuses never silences
the box: the message is then kept in memory alone.
Source: agent design, rules; architecture, "How data flows".
"""

import zlib
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from oleada_wire import canonical, messages
from oleada_wire.errors import WireError
from oleada_wire.looks import LOOKS_MAX
from oleada_wire.messages import Ack, Crash, Header, Health, Log, Progress, Report, Result
from oleada_wire.topics import Up

from oleada_agent.backoff import Backoff
from oleada_agent.bundles import Bundles
from oleada_agent.crc import with_crc, without_crc
from oleada_agent.errors import StorageError
from oleada_agent.journal import write_whole
from oleada_agent.machine_events import Event, ReportAcked
from oleada_agent.machine_states import ReportDraft
from oleada_agent.ports import Disk
from oleada_agent.stamp import Stamp

__all__ = ["DIRECTORY", "SHAPES", "DiskOutbox", "Entry", "Kept", "Stamp"]

DIRECTORY: Final = "data/outbox"
MESSAGES_MAX: Final = 400
BYTES_MAX: Final = 4 * 1024 * 1024
IN_FLIGHT_MAX: Final = 20
RESEND_MS: Final = 30_000
"""The least pause before a message is sent again."""
RESEND_MORE: Final = Backoff(15_000, 570_000)
"""On top of it: a server that is down is not told everything twice a minute."""
LOG_BYTES_MAX: Final = messages.UP_BYTES_MAX - 1024
"""Of the lines of one message; the rest of it needs less than what is left."""
PAUSE_S_MAX: Final = 3_600
"""Longer pauses that the server asks for are cut to this."""

Kept = Report | Result | Progress | Crash | Log | Health
SHAPES: Final[dict[Up, type[Kept]]] = {
    Up.REPORT: Report,
    Up.RESULT: Result,
    Up.PROGRESS: Progress,
    Up.CRASH: Crash,
    Up.LOG: Log,
    Up.HEALTH: Health,
}
"""What is kept, the most important first."""
RANKS: Final = {kind: rank for rank, kind in enumerate(SHAPES)}
VITAL: Final = (Up.REPORT, Up.RESULT)
"""What is sent also while the server asks for a pause of telemetry."""
BUNDLED_SENDS_MAX: Final = 2
"""What was sent so often among others, and not acknowledged, is sent as any server reads it."""


@dataclass(slots=True)
class Entry:
    """One message that the server has not acknowledged.

    Attributes:
        order: Rises with each message put.
        report: Names a report, so that it is not put twice.
        sent_ms: By the steady clock; None when not sent over this connection.
        sends: Over this connection.
        data: Set when the disk refused to keep it.
        is_held: It waits for others to go out with.
        is_alone: The server has refused it among others.
        rides: It was sent as part of another one's message.
    """

    order: int
    kind: Up
    id: str
    size_bytes: int
    report: tuple[str, int, int] | None = None
    sent_ms: int | None = None
    sends: int = 0
    data: bytes | None = None
    is_held: bool = False
    is_alone: bool = False
    rides: bool = False

    @property
    def path(self) -> str:
        """Return where the message lies."""
        return f"{DIRECTORY}/{self.order:010d}-{self.kind}-{self.id}"


class DiskOutbox:
    """The ``Outbox`` port; also what telemetry and commands write to.

    Args:
        steady_ms: A clock that never jumps.
    """

    def __init__(self, disk: Disk, stamp: Stamp, steady_ms: Callable[[], int]) -> None:
        self._disk = disk
        self._stamp = stamp
        self._steady_ms = steady_ms
        self._left: list[str] = []
        self._entries: dict[str, Entry] = {}
        self._paused_until_ms = 0
        self._bundles = Bundles(stamp.new_id)
        self._is_greeted = True
        self.dropped = 0
        for name in disk.list(DIRECTORY):
            self._take_up(name)

    def __len__(self) -> int:
        return len(self._entries)

    def put_report(self, report: ReportDraft) -> None:
        """Return when *report* is durable; one of the same attempt and step is there already."""
        name = (report.assignment_id, report.attempt, report.step)
        if any(entry.report == name for entry in self._entries.values()):
            return
        self._put(
            Up.REPORT,
            Report(
                self._stamp.header(),
                report.assignment_id,
                report.attempt,
                report.step,
                report.phase,
                report.version,
                report.running_slot,
                report.done_bytes,
                report.reason,
                _plain(report.detail)[: messages.DETAIL_CHARS_MAX],
            ),
            name,
        )

    def put_health(self, make: Callable[[Header], Health], *, is_held: bool = False) -> None:
        """Keep a health message; *make* is given its header.

        Args:
            is_held: It goes out with the next one that is not held, or at the next start.
        """
        for entry in self._entries.values():
            entry.is_held = entry.is_held and is_held
        self._put(Up.HEALTH, make(self._stamp.header()), is_held=is_held)

    def put_result(self, make: Callable[[Header], Result]) -> None:
        """Keep the result of a command."""
        self._put(Up.RESULT, make(self._stamp.header()))

    def put_progress(self, make: Callable[[Header], Progress]) -> None:
        """Keep what an action has found so far."""
        self._put(Up.PROGRESS, make(self._stamp.header()))

    def put_log(self, lines: Sequence[str]) -> None:
        """Keep lines of the log, newest last; the oldest go where the wire takes no more."""
        kept: deque[str] = deque()
        room_bytes = LOG_BYTES_MAX
        for line in map(_plain, reversed(lines)):
            room_bytes -= len(canonical.dumps(line)) + 1
            if room_bytes < 0:
                break
            kept.appendleft(line)
        self._put(Up.LOG, Log(self._stamp.header(), tuple(kept)))

    def put_crash(self, process_name: str, reason: str, firmware_version: str) -> None:
        """Keep the news that a process ended that should not have."""
        self._put(Up.CRASH, Crash(self._stamp.header(), process_name, reason, firmware_version))

    def due(self) -> list[tuple[Up, bytes]]:
        """Return what to send now, most important first, and take note that it is sent.

        At most ``IN_FLIGHT_MAX`` messages wait for an acknowledgement at a time; one that
        got none for ``RESEND_MS`` is lost and makes room, however late it is sent again.
        """
        self._clear_away()
        if not self._entries:
            return []
        now_ms = self._steady_ms()
        recent = len(self._in_flight_ms(now_ms))
        found: list[tuple[Up, bytes]] = []
        together: list[bytes] = []
        for entry in self._by_importance():
            is_bundled = self._is_bundled(entry)
            rides = is_bundled and len(together) % LOOKS_MAX > 0
            under_way = recent + len(found) + -(-len(together) // LOOKS_MAX)
            if under_way >= IN_FLIGHT_MAX and not rides:
                break
            if self._is_waiting(entry, now_ms):
                continue
            if _is_due(entry, now_ms) and (data := self._read(entry)) is not None:
                entry.sent_ms, entry.sends, entry.rides = now_ms, entry.sends + 1, rides
                if is_bundled:
                    together.append(data)
                else:
                    found.append((entry.kind, data))
        return found + self._bundles.tied(together)

    def next_due_ms(self) -> int | None:
        """Return in how many milliseconds there is something to do again; None when empty."""
        now_ms = self._steady_ms()
        waits = [
            self._wait_ms(entry, now_ms)
            for entry in self._entries.values()
            if entry.kind is not Up.HEALTH or (self._is_greeted and not entry.is_held)
        ]
        waits += [RESEND_MS] * bool(self._left)
        in_flight = self._in_flight_ms(now_ms)
        if waits and len(in_flight) >= IN_FLIGHT_MAX:
            return max(min(waits), min(in_flight))
        return min(waits, default=None)

    def await_greeting(self) -> None:
        """Begin over a new connection: health waits until the server says what it reads."""
        self.forget_sent()
        self._is_greeted = False

    def greet(self, reads: Sequence[str]) -> None:
        """Take note that the server has counted a hello, and what it understands."""
        self._is_greeted = True
        self._bundles.greet(reads)

    def forget_sent(self) -> None:
        """Take it that nothing sent has arrived: the connection is a new one."""
        for entry in self._entries.values():
            entry.sent_ms, entry.sends = None, 0

    def acknowledge(self, ack: Ack) -> list[Event]:
        """Remove what the server has counted or will never read; return the reports of it.

        If the server asks for a pause, telemetry waits; what was sent of it was not kept.
        """
        if ack.pause_s is not None:
            self._pause(ack.pause_s)
        events: list[Event] = []
        for message_id in ack.refused:
            for one in self._bundles.take(message_id):
                if one in self._entries:
                    self._entries[one].is_alone, self._entries[one].sent_ms = True, None
        bundled = [one for message_id in ack.ids for one in self._bundles.take(message_id)]
        for message_id in (*ack.ids, *bundled, *ack.refused):
            entry = self._entries.get(message_id)
            if entry is None:
                continue
            self._remove(entry)
            if entry.report is not None:
                events.append(ReportAcked(*entry.report))
        return events

    def _put(
        self,
        kind: Up,
        message: Kept,
        report: tuple[str, int, int] | None = None,
        *,
        is_held: bool = False,
    ) -> None:
        data = messages.encode(message)
        # Entries stand in the order in which they were put, also after a start.
        order = next((entry.order for entry in reversed(self._entries.values())), 0) + 1
        stored = with_crc(data)
        entry = Entry(order, kind, message.header.id, len(stored), report, is_held=is_held)
        try:
            write_whole(self._disk, entry.path, stored)
        except StorageError:
            entry.data = data
        self._entries[entry.id] = entry
        self._make_room()

    def _make_room(self) -> None:
        """Drop the least important, oldest first; reports are not telemetry and stay."""
        if len(self._entries) <= MESSAGES_MAX and self._size_bytes() <= BYTES_MAX:
            return
        telemetry = [entry for entry in self._entries.values() if entry.kind is not Up.REPORT]
        telemetry.sort(key=lambda entry: (-RANKS[entry.kind], entry.order))
        size_bytes = sum(entry.size_bytes for entry in telemetry)
        while telemetry and (len(telemetry) > MESSAGES_MAX or size_bytes > BYTES_MAX):
            entry = telemetry.pop(0)
            size_bytes -= entry.size_bytes
            self._remove(entry)
            self.dropped += 1

    def _size_bytes(self) -> int:
        return sum([entry.size_bytes for entry in self._entries.values()])

    def _pause(self, pause_s: int) -> None:
        """Let telemetry wait, and take none of it for under way: a verdict needs the place."""
        pause_ms = min(max(pause_s, 0), PAUSE_S_MAX) * 1000
        self._paused_until_ms = self._steady_ms() + pause_ms
        for entry in self._entries.values():
            if entry.kind not in VITAL:
                entry.sent_ms = None

    def _in_flight_ms(self, now_ms: int) -> list[int]:
        """Return how much longer each message that was just sent is waited for."""
        return [
            left_ms
            for entry in self._entries.values()
            if not entry.rides
            and entry.sent_ms is not None
            and (left_ms := entry.sent_ms + RESEND_MS - now_ms) > 0
        ]

    def _is_waiting(self, entry: Entry, now_ms: int) -> bool:
        """Return whether *entry* waits for others, for a greeting or for the end of a pause."""
        is_early = entry.kind is Up.HEALTH and (entry.is_held or not self._is_greeted)
        return is_early or (entry.kind not in VITAL and now_ms < self._paused_until_ms)

    def _is_bundled(self, entry: Entry) -> bool:
        is_fit = not entry.is_alone and entry.sends < BUNDLED_SENDS_MAX
        return entry.kind is Up.HEALTH and self._bundles.is_read and is_fit

    def _wait_ms(self, entry: Entry, now_ms: int) -> int:
        again_ms = now_ms if entry.sent_ms is None else entry.sent_ms + _pause_ms(entry)
        if entry.kind not in VITAL:
            again_ms = max(again_ms, self._paused_until_ms)
        return max(0, again_ms - now_ms)

    def _by_importance(self) -> list[Entry]:
        return sorted(self._entries.values(), key=lambda e: (RANKS[e.kind], e.order))

    def _read(self, entry: Entry) -> bytes | None:
        if entry.data is not None:
            return entry.data
        try:
            return without_crc(self._disk.read(entry.path))
        except (StorageError, WireError):
            # Gone or rotten: a verdict is made again by the machine, the rest is counted.
            self._entries.pop(entry.id)
            self.dropped += entry.kind is not Up.REPORT
            return None

    def _remove(self, entry: Entry) -> None:
        self._entries.pop(entry.id)
        self._left.append(entry.path)  # also of one in memory: its name may stand all the same
        self._clear_away()

    def _clear_away(self) -> None:
        """Remove what is sent; what the disk keeps is tried again, or comes back as a duplicate."""
        with suppress(StorageError):
            while self._left:
                self._disk.unlink(self._left[-1])
                self._left.pop()

    def _take_up(self, name: str) -> None:
        path = f"{DIRECTORY}/{name}"
        try:
            stored = self._disk.read(path)
            data = without_crc(stored)
            order, kind, message_id = name.split("-")
            message = messages.decode(SHAPES[Up(kind)], data)
            if message.header.id != message_id:  # whole, but the plug was pulled before its name
                raise ValueError("an acknowledgement would never find it")
        except (WireError, ValueError, KeyError):
            with suppress(StorageError):
                self._disk.unlink(path)  # a name that was never made durable, or rotten bytes
            return
        except StorageError:
            return
        report = None
        if isinstance(message, Report):
            report = (message.assignment_id, message.attempt, message.step)
        self._entries[message_id] = Entry(int(order), Up(kind), message_id, len(stored), report)


def _is_due(entry: Entry, now_ms: int) -> bool:
    return entry.sent_ms is None or now_ms - entry.sent_ms >= _pause_ms(entry)


def _pause_ms(entry: Entry) -> int:
    """Return when *entry*, which was sent, is sent again; its random id is the chance."""

    def below(limit: int) -> int:
        return zlib.crc32(f"{entry.id}/{entry.sends}".encode()) % limit

    return RESEND_MS + RESEND_MORE.pause_ms(max(1, entry.sends), below)


def _plain(text: str) -> str:
    """Return *text*, which a stranger may have written, without what the wire refuses."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
