"""An image from the server straight into the spare slot, with checkpoints.

The thread of ``http_range`` fetches; every write to the slot happens in the agent's one
thread, which also decides when what was written is durable. At most ``PARTS_MAX`` parts
wait between the two, so memory stays small however slow the flash is.
"""

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from oleada_wire.messages import Assignment
from oleada_wire.words import Reason

from oleada_agent.errors import StorageError
from oleada_agent.http_range import PART_BYTES, Patience, RetryError, Stream, WrongSizeError
from oleada_agent.machine_events import Checkpointed, Event, Fetched, FetchFailed
from oleada_agent.ports import Slots

PARTS_MAX: Final = 4
FETCHED_AGAIN_BYTES_MAX: Final = 1024 * 1024
"""After a power cut; the promise of docs/explanation/agent.md and of the design."""
CHECKPOINT_BYTES: Final = FETCHED_AGAIN_BYTES_MAX - (PARTS_MAX + 2) * PART_BYTES
"""Parts that wait, the one in the thread's hand and the one that passes this mark are lost too."""
CHECKPOINT_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the image, from the fetching thread to the agent's.

    Attributes:
        fetch: Which fetch it belongs to; a stopped one's parts mean nothing.
    """

    fetch: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The fetching thread has ended: done when *reason* is None."""

    fetch: int
    reason: Reason | None
    detail: str = ""


@dataclass(slots=True)
class _Fetch:
    """What is being fetched."""

    number: int
    assignment: Assignment
    slot: str
    done_bytes: int
    durable_bytes: int
    durable_at_ms: int
    room: threading.Semaphore
    stopping: threading.Event


class Downloader:
    """The ``Fetcher`` port. The agent's thread hands back each Part and Ended to ``handle``.

    Args:
        artifacts_url: Of the device door; the image's digest is appended.
        context: TLS with the pinned authority; None on a bench without TLS.
        post: Brings a Part or an Ended to the agent's thread; called from another one.
        feed: Gives an event to the machine; called in the agent's thread.
        begin: Lets something else post the parts of this fetch, from this byte on; by
            default a thread fetches them over HTTPS.
    """

    def __init__(
        self,
        artifacts_url: str,
        context: ssl.SSLContext | None,
        slots: Slots,
        *,
        post: Callable[[Part | Ended], None],
        feed: Callable[[Event], None],
        steady_ms: Callable[[], int],
        below: Callable[[int], int],
        patience: Patience | None = None,
        begin: Callable[[int, Assignment, int], None] | None = None,
    ) -> None:
        self._begin = begin
        self._artifacts_url = artifacts_url.rstrip("/")
        self._context = context
        self._slots = slots
        self._post = post
        self._feed = feed
        self._steady_ms = steady_ms
        self._below = below
        self._patience = patience or Patience()
        self._current: _Fetch | None = None
        self._number = 0

    def fetch(self, assignment: Assignment, slot: str, from_bytes: int) -> None:
        """Fetch from *from_bytes* on, instead of whatever is being fetched."""
        self.stop()
        self._number += 1
        fetch = _Fetch(
            self._number,
            assignment,
            slot,
            from_bytes,
            from_bytes,
            self._steady_ms(),
            threading.Semaphore(PARTS_MAX),
            threading.Event(),
        )
        self._current = fetch
        if self._begin is not None:
            self._begin(fetch.number, assignment, from_bytes)
            return
        threading.Thread(
            target=self._run, args=(fetch,), name=f"fetch-{fetch.number}", daemon=True
        ).start()

    def use(self, context: ssl.SSLContext) -> None:
        """Show another certificate from the next fetch on."""
        self._context = context

    def stop(self) -> None:
        """Fetch nothing; parts under way are forgotten."""
        if self._current is not None:
            self._current.stopping.set()
            self._current.room.release(PARTS_MAX)
            self._current = None

    def handle(self, message: Part | Ended) -> None:
        """Write a part, or end; in the agent's thread."""
        fetch = self._current
        if fetch is None or message.fetch != fetch.number:
            return
        try:
            if isinstance(message, Part):
                self._write(fetch, message)
            else:
                self._end(fetch, message)
        except StorageError as error:
            self._fail(fetch, Reason.STORAGE, str(error))

    def _write(self, fetch: _Fetch, part: Part) -> None:
        self._slots.write(fetch.slot, part.offset, part.data)
        fetch.done_bytes = part.offset + len(part.data)
        fetch.room.release()
        grown = fetch.done_bytes - fetch.durable_bytes
        waited_ms = self._steady_ms() - fetch.durable_at_ms
        is_last = fetch.done_bytes >= fetch.assignment.size_bytes
        if not is_last and (grown >= CHECKPOINT_BYTES or waited_ms >= CHECKPOINT_MS):
            self._slots.checkpoint(fetch.slot)
            fetch.durable_bytes, fetch.durable_at_ms = fetch.done_bytes, self._steady_ms()
            assignment = fetch.assignment
            self._feed(
                Checkpointed(assignment.assignment_id, assignment.attempt, fetch.durable_bytes)
            )

    def _end(self, fetch: _Fetch, ended: Ended) -> None:
        if ended.reason is not None:
            self._fail(fetch, ended.reason, ended.detail)
            return
        self._slots.finish(fetch.slot, fetch.assignment.size_bytes)
        self._current = None
        self._feed(Fetched(fetch.assignment.assignment_id, fetch.assignment.attempt))

    def _fail(self, fetch: _Fetch, reason: Reason, detail: str) -> None:
        self.stop()
        assignment = fetch.assignment
        self._feed(FetchFailed(assignment.assignment_id, assignment.attempt, reason, detail))

    def _run(self, fetch: _Fetch) -> None:
        """Fetch in a thread of its own; nothing here touches slot or machine."""

        def take(offset: int, data: bytes) -> None:
            fetch.room.acquire()
            if not fetch.stopping.is_set():
                self._post(Part(fetch.number, offset, data))

        stream = Stream(
            f"{self._artifacts_url}/{fetch.assignment.sha256}",
            fetch.done_bytes,
            fetch.assignment.size_bytes,
            self._context,
            take,
            fetch.stopping,
            self._steady_ms,
            self._below,
            self._patience,
        )
        try:
            stream.run()
        except WrongSizeError as error:
            self._post(Ended(fetch.number, Reason.WRONG_SIZE, str(error)))
        except RetryError as error:
            self._post(Ended(fetch.number, Reason.DOWNLOAD, str(error)))
        else:
            self._post(Ended(fetch.number, None))
