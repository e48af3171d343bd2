"""A download over real sockets: cut, slow, lying and busy servers."""

import hashlib
import queue
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from oleada_agent import clock
from oleada_agent.download import (
    FETCHED_AGAIN_BYTES_MAX,
    PARTS_MAX,
    Downloader,
    Ended,
    Part,
)
from oleada_agent.errors import StorageError
from oleada_agent.http_range import PART_BYTES, Patience
from oleada_agent.machine_events import Checkpointed, Event, Fetched, FetchFailed
from oleada_wire.messages import Assignment
from oleada_wire.words import Reason

IMAGE = random.Random(7).randbytes(3 * 1024 * 1024 + 77)
DIGEST = hashlib.sha256(IMAGE).hexdigest()
HURRY = Patience(attempts_max=4, backoff_ms=1, backoff_max_ms=2, timeout_s=5)
ASSIGNED = Assignment("A-1", 1, "R-1", 1, "VX-410/1.img", DIGEST, len(IMAGE), "1", 1, 0, 9)

Answer = Callable[["Handler", int], None]


class Handler(BaseHTTPRequestHandler):
    """Answers each request as the door's script says; without one, as it should."""

    protocol_version = "HTTP/1.1"
    server: "Door"

    def do_GET(self) -> None:
        """Answer a range of the image."""
        self.server.asked.append(self.headers["Range"])
        first = int(self.headers["Range"].removeprefix("bytes=").partition("-")[0])
        script = self.server.script
        answer = script.pop(0) if script else whole
        answer(self, first)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay quiet."""


class Door(ThreadingHTTPServer):
    """A device door on a loopback port."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Answer] = []
        self.asked: list[str] = []
        self.hung_up_on = 0
        self.url = f"http://127.0.0.1:{self.server_port}/artifacts"

    def handle_error(self, request: object, client_address: object) -> None:
        """Count a box that hangs up; it is entitled to."""
        self.hung_up_on += 1


@pytest.fixture
def door() -> Iterator[Door]:
    server = Door()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def begin(handler: Handler, first: int, status: int = 206, **headers: str) -> None:
    handler.send_response(status)
    usual = {
        "Content-Length": str(len(IMAGE) - first),
        "Content-Range": f"bytes {first}-{len(IMAGE) - 1}/{len(IMAGE)}",
        "Content-Type": "application/octet-stream",
    }
    for name, value in (usual | {k.replace("_", "-"): v for k, v in headers.items()}).items():
        handler.send_header(name, value)
    handler.end_headers()


def whole(handler: Handler, first: int) -> None:
    begin(handler, first)
    handler.wfile.write(IMAGE[first:])


def cut_after(size_bytes: int) -> Answer:
    def answer(handler: Handler, first: int) -> None:
        begin(handler, first)
        handler.wfile.write(IMAGE[first : first + size_bytes])

    return answer


def lying(status: int = 206, **headers: str) -> Answer:
    def answer(handler: Handler, first: int) -> None:
        begin(handler, first, status, **headers)
        handler.wfile.write(IMAGE[first:])

    return answer


def whole_file_without_range(handler: Handler, first: int) -> None:
    begin(handler, 0, 200)
    handler.wfile.write(IMAGE)


@dataclass
class MemorySlots:
    """Slots that hold what was written, and know what of it is durable."""

    written: bytearray = field(default_factory=lambda: bytearray(len(IMAGE)))
    durable_bytes: int = 0
    is_finished: bool = False
    is_full: bool = False

    def capacity_bytes(self, slot: str) -> int:
        """Return plenty."""
        return 1 << 30

    def begin(self, slot: str) -> None:
        """Forget what was there."""
        self.is_finished = False

    def write(self, slot: str, offset: int, data: bytes) -> None:
        """Write a part."""
        if self.is_full:
            raise StorageError("no space left in the slot")
        self.written[offset : offset + len(data)] = data
        self.end = offset + len(data)

    def checkpoint(self, slot: str) -> None:
        """Make what was written durable."""
        self.durable_bytes = self.end

    def finish(self, slot: str, size_bytes: int) -> None:
        """Make all of it durable."""
        self.durable_bytes, self.is_finished = size_bytes, True

    def read_back(self, slot: str, assignment: Assignment) -> Event | None:
        """Say nothing."""
        return None

    def tidy(self) -> None:
        """Leave nothing."""


@dataclass
class Agent:
    """The agent's one thread, as far as a download needs it."""

    door: Door
    patience: Patience = HURRY
    slots: MemorySlots = field(default_factory=MemorySlots)
    events: list[Event] = field(default_factory=list)
    steady_ms: Callable[[], int] = clock.steady_ms

    def __post_init__(self) -> None:
        self.posted: queue.Queue[Part | Ended] = queue.Queue()
        self.downloader = Downloader(
            self.door.url,
            None,
            self.slots,
            post=self.posted.put,
            feed=self.events.append,
            steady_ms=self.steady_ms,
            below=random.Random(7).randrange,
            patience=self.patience,
        )

    def run(self, from_bytes: int = 0) -> Event:
        """Fetch, and return the event that ends it."""
        self.downloader.fetch(ASSIGNED, "B", from_bytes)
        while not (self.events and isinstance(self.events[-1], Fetched | FetchFailed)):
            self.downloader.handle(self.posted.get(timeout=60))
        return self.events[-1]


def test_the_slot_holds_the_image_and_the_checkpoints_never_run_ahead(door: Door) -> None:
    agent = Agent(door)

    assert agent.run() == Fetched("A-1", 1)
    assert bytes(agent.slots.written) == IMAGE
    assert agent.slots.is_finished
    checkpoints = [e.done_bytes for e in agent.events if isinstance(e, Checkpointed)]
    assert len(checkpoints) >= 2
    assert checkpoints == sorted(set(checkpoints))


def test_a_cut_connection_is_taken_up_where_it_was_cut(door: Door) -> None:
    cuts = [1, 100_000, 0, 1_000_000, 64 * 1024]
    door.script = [cut_after(size) for size in cuts]
    agent = Agent(door)

    assert agent.run() == Fetched("A-1", 1)
    assert bytes(agent.slots.written) == IMAGE
    starts = [int(text[6:].partition("-")[0]) for text in door.asked]
    assert starts == [0, 1, 100_001, 100_001, 1_100_001, 1_165_537]


def test_after_a_power_cut_only_what_is_not_durable_is_fetched_again(door: Door) -> None:
    agent = Agent(door)
    agent.slots.written[: 2 << 20] = IMAGE[: 2 << 20]

    assert agent.run(from_bytes=2 << 20) == Fetched("A-1", 1)
    assert door.asked == [f"bytes={2 << 20}-{len(IMAGE) - 1}"]
    assert bytes(agent.slots.written) == IMAGE


def test_a_power_cut_at_any_time_costs_at_most_a_mebibyte(door: Door) -> None:
    agent = Agent(door, steady_ms=lambda: 0)  # no checkpoint comes by time alone
    agent.downloader.fetch(ASSIGNED, "B", 0)
    waiting: list[Part | Ended] = []
    most = 0
    while not agent.slots.is_finished:
        with suppress(queue.Empty):  # the thread runs ahead as far as it may
            while len(waiting) < PARTS_MAX:
                waiting.append(agent.posted.get(timeout=0.2))
        fetched = max(p.offset + len(p.data) for p in waiting if isinstance(p, Part)) + PART_BYTES
        most = max(most, fetched - agent.slots.durable_bytes)
        while waiting:
            agent.downloader.handle(waiting.pop(0))

    assert most <= FETCHED_AGAIN_BYTES_MAX


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lying(200, Content_Type="text/html"), "text/html"),
        (lying(Content_Encoding="gzip"), "gzip"),
        (lying(Content_Range="bytes 1-2/x"), "can not be read"),
        (lying(Content_Range=f"bytes 7-{len(IMAGE) - 1}/{len(IMAGE)}"), "from byte 7"),
        (lying(Content_Length="12"), "announced 12 bytes"),
        (lying(500), "answered 500"),
        (lying(404), "answered 404"),
        (lying(302, Location="http://127.0.0.1:1/"), "answered 302"),
        (lying(503, Retry_After="\u00b2"), "answered 503"),
        (lying(Content_Range="bytes 0-1/" + "9" * 5000), "ValueError"),
    ],
)
def test_an_answer_that_is_not_the_asked_range_is_refused_before_a_byte_is_used(
    door: Door, answer: Answer, said: str
) -> None:
    door.script = [answer] * HURRY.attempts_max
    agent = Agent(door)

    failed = agent.run()

    assert isinstance(failed, FetchFailed)
    assert failed.reason is Reason.DOWNLOAD
    assert said in failed.detail
    assert not any(agent.slots.written)


def test_a_whole_file_instead_of_the_range_is_not_appended(door: Door) -> None:
    door.script = [cut_after(1000), whole_file_without_range]
    agent = Agent(door)

    assert agent.run() == Fetched("A-1", 1)
    assert bytes(agent.slots.written) == IMAGE


@pytest.mark.parametrize("total", [len(IMAGE) - 1, len(IMAGE) + 1, 10 << 30])
def test_another_total_than_the_signed_one_is_a_wrong_size(door: Door, total: int) -> None:
    door.script = [lying(Content_Range=f"bytes 0-{total - 1}/{total}")]

    failed = Agent(door).run()

    assert isinstance(failed, FetchFailed)
    assert failed.reason is Reason.WRONG_SIZE


def test_a_busy_server_is_given_the_time_it_asks_for(door: Door) -> None:
    door.script = [lying(503, Retry_After="1")]
    started = clock.steady_ms()

    assert Agent(door).run() == Fetched("A-1", 1)
    assert clock.steady_ms() - started >= 1000


def test_a_server_that_trickles_is_hung_up_on(door: Door) -> None:
    ticks = iter(range(0, 10**9, 400))
    patience = Patience(attempts_max=2, backoff_ms=1, rate_window_ms=1_000,
                        rate_bytes_per_s_min=10_000_000)  # fmt: skip

    failed = Agent(door, patience, steady_ms=lambda: next(ticks)).run()

    assert isinstance(failed, FetchFailed)
    assert "too slow" in failed.detail


def test_a_line_that_we_hold_back_ourselves_is_not_a_slow_server(door: Door) -> None:
    patience = Patience(attempts_max=1, rate_window_ms=300, rate_bytes_per_s_min=4_000_000,
                        rate_bytes_per_s_max=3_000_000)  # fmt: skip

    assert Agent(door, patience).run() == Fetched("A-1", 1)


def test_a_slot_without_room_ends_the_download_as_storage(door: Door) -> None:
    agent = Agent(door)
    agent.slots.is_full = True

    failed = agent.run()

    assert isinstance(failed, FetchFailed)
    assert failed.reason is Reason.STORAGE


def test_parts_of_a_stopped_download_are_not_written(door: Door) -> None:
    agent = Agent(door)
    agent.downloader.fetch(ASSIGNED, "B", 0)
    part = agent.posted.get(timeout=60)

    agent.downloader.stop()
    agent.downloader.handle(part)

    assert not any(agent.slots.written)


def test_nobody_at_home_is_a_failed_download_not_a_crash(door: Door) -> None:
    agent = Agent(door)
    agent.downloader._artifacts_url = "http://127.0.0.1:1/artifacts"

    failed = agent.run()

    assert isinstance(failed, FetchFailed)
    assert "Gave up after 4 attempts" in failed.detail
