"""The outbox at the edge of each of its limits, and what it keeps of what it was given."""

import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from oleada_agent import crc, outbox, stamp
from oleada_agent.disk import RealDisk
from oleada_wire import canonical, messages
from oleada_wire.messages import Crash, Health, Log, Report, Result
from oleada_wire.topics import Up
from oleada_wire.words import Phase, Reason, ResultStatus

from tests.agent.edge.test_outbox import BOOT, UPDATED, Box, Clock, a_health, an_ack

FAILED = replace(
    UPDATED, phase=Phase.FAILED, reason=Reason.DOWNLOAD, detail="the server hung up", done_bytes=7
)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def orders(box: Box) -> list[int]:
    """Return the numbers in the names of the kept files."""
    found = (box.path / outbox.DIRECTORY).iterdir()
    return sorted(int(path.name.partition("-")[0]) for path in found)


def test_a_report_says_all_that_the_machine_said(box: Box) -> None:
    kept = box.start()
    kept.put_report(FAILED)

    [(_, data)] = kept.due()

    report = messages.decode(Report, data)
    assert report == Report(
        report.header, "A-1", 1, 4, Phase.FAILED, "5.8.2", "B", 7, Reason.DOWNLOAD,
        "the server hung up",
    )  # fmt: skip
    assert report.header.boot == BOOT


def test_results_and_crashes_are_kept_as_they_were_given(box: Box) -> None:
    kept = box.start()
    kept.put_result(lambda header: Result(header, "c" * 32, ResultStatus.COMPLETE, "done"))
    kept.put_crash("player", "SIGSEGV", "5.8.1")

    (first, result), (second, crash) = box.start().due()

    assert (first, second) == (Up.RESULT, Up.CRASH)
    assert messages.decode(Result, result).output == "done"
    found = messages.decode(Crash, crash)
    assert (found.process_name, found.reason, found.firmware_version) == (
        "player",
        "SIGSEGV",
        "5.8.1",
    )


@pytest.mark.parametrize(("room_bytes", "lines"), [(33, 3), (32, 2), (11, 1), (10, 0)])
def test_a_log_takes_lines_to_the_last_byte_that_the_wire_takes(
    box: Box, monkeypatch: pytest.MonkeyPatch, room_bytes: int, lines: int
) -> None:
    line = "8 chars."
    assert len(canonical.dumps(line)) + len(",") == 11
    monkeypatch.setattr(outbox, "LOG_BYTES_MAX", room_bytes)
    kept = box.start()

    kept.put_log([line] * 5)

    [(_, data)] = kept.due()
    assert len(messages.decode(Log, data).lines) == lines


def test_messages_are_numbered_from_1_and_never_take_the_number_of_one_that_is_kept(
    box: Box,
) -> None:
    kept = box.start()
    for _ in range(3):
        kept.put_health(a_health)
    assert orders(box) == [1, 2, 3]

    first = messages.decode(Health, kept.due()[0][1])
    kept.acknowledge(an_ack(first.header.id))
    kept.put_health(a_health)

    assert orders(box) == [2, 3, 4]


@pytest.mark.parametrize("short_bytes", [0, 1])
def test_telemetry_takes_the_room_it_has_to_the_last_byte_and_the_oldest_goes(
    box: Box, monkeypatch: pytest.MonkeyPatch, short_bytes: int
) -> None:
    kept = box.start()
    kept.put_health(a_health)
    [path] = (box.path / outbox.DIRECTORY).iterdir()
    monkeypatch.setattr(outbox, "BYTES_MAX", 3 * path.stat().st_size - short_bytes)

    for _ in range(3):
        kept.put_health(a_health)

    assert orders(box) == ([2, 3, 4] if not short_bytes else [3, 4])
    assert kept.dropped == 1 + short_bytes


def test_an_empty_outbox_is_never_due(box: Box) -> None:
    assert box.start().next_due_ms() is None


def test_the_next_is_due_when_the_first_of_all_is(box: Box) -> None:
    kept = box.start()
    kept.put_report(UPDATED)
    kept.due()
    assert (kept.next_due_ms() or 0) >= outbox.RESEND_MS

    kept.put_health(a_health)

    assert kept.next_due_ms() == 0
    box.clock.ms += 10 * outbox.RESEND_MS
    assert kept.next_due_ms() == 0, "what is overdue is due now"


def test_telemetry_goes_at_once_even_if_the_clock_has_only_begun(tmp_path: Path) -> None:
    kept = Box(tmp_path, Clock(0)).start()
    kept.put_health(a_health)

    assert len(kept.due()) == 1


def test_a_message_that_the_disk_has_lost_is_counted_unless_the_machine_makes_it_again(
    box: Box,
) -> None:
    kept = box.start()
    kept.put_health(a_health)
    kept.put_health(a_health)
    kept.put_report(UPDATED)
    for path in (box.path / outbox.DIRECTORY).iterdir():
        path.unlink()

    assert kept.due() == []
    assert len(kept) == 0
    assert kept.dropped == 2


def test_repeats_are_spread_over_half_of_the_pause(box: Box) -> None:
    kept = box.start()
    pauses_ms = []
    for step in range(1, 201):
        kept.put_report(replace(UPDATED, step=step))
        [(_, data)] = kept.due()
        pauses_ms.append(kept.next_due_ms() or 0)
        kept.acknowledge(an_ack(messages.decode(Report, data).header.id))

    assert 30_000 <= min(pauses_ms) < 33_000
    assert 42_000 < max(pauses_ms) < 45_000


def test_a_message_that_nobody_acknowledges_is_sent_ever_more_rarely(box: Box) -> None:
    kept = box.start()
    kept.put_report(UPDATED)

    waits_ms = []
    for _ in range(12):
        assert len(kept.due()) == 1
        waits_ms.append(kept.next_due_ms() or 0)
        box.clock.ms += waits_ms[-1]

    ceilings = [min(15_000 << sends, 570_000) for sends in range(12)]
    name = f"{1:032x}"
    assert waits_ms == [
        30_000 + zlib.crc32(f"{name}/{sends}".encode()) % (ceiling + 1)
        for sends, ceiling in enumerate(ceilings, 1)
    ]
    assert max(waits_ms) > 300_000


def test_over_a_new_connection_it_is_sent_as_often_as_the_first_time(box: Box) -> None:
    kept = box.start()
    kept.put_report(UPDATED)
    for _ in range(8):
        kept.due()
        box.clock.ms += 600_000

    kept.forget_sent()
    kept.due()

    assert (kept.next_due_ms() or 0) <= 45_000


def test_numbers_that_the_operator_of_a_box_would_notice() -> None:
    assert outbox.MESSAGES_MAX == 400, "telemetry of a box that was away for days"
    assert outbox.BYTES_MAX == 4_194_304, "what telemetry may take of its disk"
    assert messages.UP_BYTES_MAX - outbox.LOG_BYTES_MAX == 1024, "what a log is sent in"


@pytest.mark.parametrize("text", [b"", b"a few", b"\xff"])
def test_a_counter_that_can_not_be_read_begins_anew(box: Box, text: bytes) -> None:
    path = box.path / stamp.COUNTERS
    path.parent.mkdir()
    path.write_bytes(text)
    kept = box.start()

    kept.put_report(UPDATED)

    [(_, data)] = kept.due()
    assert messages.decode(Report, data).header.seq == 1


class Counting(RealDisk):
    """A real disk that counts how often the counter was written."""

    writes = 0

    def rename(self, old: str, new: str) -> None:
        """Count, and do it."""
        self.writes += new == stamp.COUNTERS
        super().rename(old, new)


def test_a_first_number_and_one_for_each_of_64_more_cost_one_write(box: Box) -> None:
    disk = Counting(box.path)
    kept = box.start(disk)

    for step in range(1, 66):
        kept.put_report(replace(UPDATED, step=step))
    assert disk.writes == 1

    kept.put_report(replace(UPDATED, step=66))
    assert disk.writes == 2


def the_file(box: Box) -> Path:
    """Return the one message that is kept."""
    [found] = (box.path / outbox.DIRECTORY).iterdir()
    return found


def test_an_agent_of_before_reads_what_is_kept_now_and_finds_its_sum(box: Box) -> None:
    box.start().put_report(UPDATED)

    found = canonical.loads(the_file(box).read_bytes(), "message", crc.KEPT_BYTES_MAX)

    said = found.pop(crc.CRC)
    assert said == zlib.crc32(canonical.dumps(found))
    assert canonical.dumps(found) == box.start().due()[0][1]


def test_what_an_agent_of_before_has_kept_is_sent_to_the_byte(box: Box) -> None:
    first = box.start()
    first.put_report(UPDATED)
    [(_, data)] = first.due()
    kept = canonical.loads(the_file(box).read_bytes(), "message", crc.KEPT_BYTES_MAX)
    the_file(box).write_bytes(canonical.dumps(kept))
    assert not the_file(box).read_bytes().endswith(b'"crc32":%d}' % zlib.crc32(data))

    assert box.start().due() == [(Up.REPORT, data)]


def test_no_byte_of_a_kept_message_rots_without_being_seen_before_it_is_sent(box: Box) -> None:
    box.start().put_crash("player", "SIGSEGV", "5.8.1")
    path = the_file(box)
    whole = path.read_bytes()

    for at in range(0, whole.index(b',"crc32"'), 9):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])

        assert box.start().due() == []
