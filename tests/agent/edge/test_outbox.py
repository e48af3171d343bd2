"""A message leaves the outbox when the server has counted it, and for no lesser reason."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from oleada_agent import outbox
from oleada_agent.disk import RealDisk
from oleada_agent.errors import StorageError
from oleada_agent.machine_events import ReportAcked
from oleada_agent.machine_states import ReportDraft
from oleada_agent.outbox import DiskOutbox, Stamp
from oleada_wire import messages
from oleada_wire.ids import BootId
from oleada_wire.messages import Ack, Header, Health, Log, Report
from oleada_wire.topics import Up
from oleada_wire.words import Phase

BOOT = BootId(7, "0a1b2c3d")
UPDATED = ReportDraft("A-1", 1, 4, Phase.UPDATED, "5.8.2", "B")


@dataclass
class Clock:
    """Time that a test moves."""

    ms: int = 1_000

    def __call__(self) -> int:
        """Return the milliseconds."""
        return self.ms


@dataclass
class Box:
    """A box's outbox on a real disk, restarted at will."""

    path: Path
    clock: Clock = field(default_factory=Clock)
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def start(self, disk: RealDisk | None = None) -> DiskOutbox:
        """Return the outbox as a start of the agent makes it."""
        disk = disk or RealDisk(self.path)
        stamp = Stamp(disk, BOOT, lambda: 5, lambda: f"{next(self.ids):032x}")
        return DiskOutbox(disk, stamp, self.clock)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def a_health(header: Header) -> Health:
    return Health(header, "5.8.1", "A", ())


def an_ack(*ids: str, refused: tuple[str, ...] = ()) -> Ack:
    return Ack(Header("f" * 32, 0, BOOT, 1), ids, refused)


def sent_reports(kept: DiskOutbox) -> list[Report]:
    return [messages.decode(Report, data) for kind, data in kept.due() if kind is Up.REPORT]


def test_a_report_survives_a_restart_with_the_same_bytes(box: Box) -> None:
    kept = box.start()
    kept.put_report(UPDATED)

    assert box.start().due() == kept.due()


def test_a_report_is_kept_once_however_often_it_is_put(box: Box) -> None:
    kept = box.start()

    for _ in range(2):
        kept.put_report(UPDATED)
        kept = box.start()

    assert len(kept) == 1


def test_only_the_servers_word_removes_a_report(box: Box) -> None:
    kept = box.start()
    kept.put_report(UPDATED)
    [report] = sent_reports(kept)

    assert kept.acknowledge(an_ack("0" * 32)) == []
    assert len(box.start()) == 1
    assert kept.acknowledge(an_ack(report.header.id)) == [ReportAcked("A-1", 1, 4)]
    assert kept.acknowledge(an_ack(report.header.id)) == []
    assert len(box.start()) == 0


def test_a_refused_message_is_not_sent_for_ever(box: Box) -> None:
    kept = box.start()
    kept.put_report(UPDATED)
    [report] = sent_reports(kept)

    assert kept.acknowledge(an_ack(refused=(report.header.id,))) == [ReportAcked("A-1", 1, 4)]
    assert len(kept) == 0


def test_what_is_not_acknowledged_is_sent_again_after_a_while(box: Box) -> None:
    kept = box.start()
    kept.put_report(UPDATED)
    first = kept.due()

    assert kept.due() == []
    pause_ms = kept.next_due_ms()
    assert pause_ms is not None
    assert outbox.RESEND_MS <= pause_ms < outbox.RESEND_MS * 3 // 2
    box.clock.ms += pause_ms
    assert kept.due() == first


def test_what_was_sent_over_a_lost_connection_is_sent_again_over_the_next(box: Box) -> None:
    kept = box.start()
    kept.put_report(UPDATED)
    first = kept.due()

    kept.forget_sent()

    assert kept.due() == first


def an_ack_that_asks_for_a_pause(pause_s: int, *ids: str) -> Ack:
    return replace(an_ack(*ids), pause_s=pause_s)


def test_telemetry_beyond_the_quota_waits_as_long_as_the_server_asks_and_is_kept(
    box: Box,
) -> None:
    kept = box.start()
    kept.put_health(a_health)
    first = kept.due()

    kept.acknowledge(an_ack_that_asks_for_a_pause(90))

    assert kept.next_due_ms() == 90_000
    box.clock.ms += 89_999
    assert kept.due() == []
    box.clock.ms += 1
    assert kept.due() == first
    assert len(kept) == 1


def test_a_pause_holds_back_no_verdict_even_if_every_place_was_taken(box: Box) -> None:
    kept = box.start()
    for _ in range(outbox.IN_FLIGHT_MAX):
        kept.put_health(a_health)
    kept.due()
    kept.put_report(UPDATED)
    assert kept.due() == []  # every place is taken by telemetry that nobody will answer

    kept.acknowledge(an_ack_that_asks_for_a_pause(90))

    assert len(sent_reports(kept)) == 1


def test_while_every_place_is_taken_nobody_looks_again_before_one_is_free(box: Box) -> None:
    kept = box.start()
    for _ in range(outbox.IN_FLIGHT_MAX + 1):
        kept.put_health(a_health)
    kept.due()

    assert kept.due() == []
    assert kept.next_due_ms() == outbox.RESEND_MS


def test_what_nobody_answers_holds_back_a_verdict_for_half_a_minute_at_most(box: Box) -> None:
    kept = box.start()
    for _ in range(outbox.IN_FLIGHT_MAX):
        kept.put_health(a_health)
    kept.due()
    kept.put_report(UPDATED)

    box.clock.ms += outbox.RESEND_MS

    assert kept.next_due_ms() == 0
    assert len(sent_reports(kept)) == 1


def test_a_pause_is_no_reason_to_forget_what_is_acknowledged_with_it(box: Box) -> None:
    kept = box.start()
    kept.put_report(UPDATED)
    [report] = sent_reports(kept)

    assert kept.acknowledge(an_ack_that_asks_for_a_pause(5, report.header.id)) == [
        ReportAcked("A-1", 1, 4)
    ]


@pytest.mark.parametrize(("asked_s", "waited_s"), [(-1, 0), (0, 0), (10**9, 3600)])
def test_no_pause_is_longer_than_an_hour(box: Box, asked_s: int, waited_s: int) -> None:
    kept = box.start()
    kept.put_health(a_health)

    kept.acknowledge(an_ack_that_asks_for_a_pause(asked_s))

    assert kept.next_due_ms() == waited_s * 1000


def test_verdicts_go_before_telemetry(box: Box) -> None:
    kept = box.start()
    kept.put_health(a_health)
    kept.put_log(["a line"])
    kept.put_report(UPDATED)

    assert [kind for kind, _ in kept.due()] == [Up.REPORT, Up.LOG, Up.HEALTH]


def test_only_so_many_messages_wait_for_an_answer_at_a_time(box: Box) -> None:
    kept = box.start()
    for step in range(25):
        kept.put_report(replace(UPDATED, step=step + 1))

    first = sent_reports(kept)

    assert len(first) == 20
    assert kept.due() == []
    kept.acknowledge(an_ack(*(report.header.id for report in first[:3])))
    assert len(sent_reports(kept)) == 3


def test_a_full_outbox_drops_the_oldest_health_and_says_how_many_but_no_report(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MESSAGES_MAX", 3)
    kept = box.start()
    for step in range(5):
        kept.put_report(replace(UPDATED, step=step + 1))
    kept.put_log(["kept"])
    for _ in range(4):
        kept.put_health(a_health)

    assert kept.dropped == 2
    again = [kind for kind, _ in box.start().due()]
    assert again == [Up.REPORT] * 5 + [Up.LOG] + [Up.HEALTH] * 2


class FullDisk(RealDisk):
    """A disk without room."""

    def pwrite(self, path: str, offset: int, data: bytes) -> None:
        """Refuse."""
        raise StorageError(f"{path}: no space left")


class ForgetfulDisk(RealDisk):
    """A disk that takes all and does not promise the names."""

    def fsync_dir(self, path: str) -> None:
        """Refuse."""
        raise StorageError(f"{path}: input/output error")


@pytest.mark.parametrize("disk", [FullDisk, ForgetfulDisk])
def test_a_disk_that_refuses_does_not_silence_the_box_and_keeps_no_rest(
    box: Box, disk: type[RealDisk]
) -> None:
    kept = box.start(disk(box.path))
    kept.put_report(UPDATED)

    [report] = sent_reports(kept)
    assert kept.acknowledge(an_ack(report.header.id)) == [ReportAcked("A-1", 1, 4)]
    assert list((box.path / outbox.DIRECTORY).iterdir()) == []


class StubbornDisk(RealDisk):
    """A disk that removes nothing at first."""

    refuses = True

    def unlink(self, path: str) -> None:
        """Refuse, or remove the file."""
        if self.refuses:
            raise StorageError(f"{path}: input/output error")
        super().unlink(path)


def test_what_could_not_be_removed_is_tried_again_and_not_sent(box: Box) -> None:
    disk = StubbornDisk(box.path)
    kept = box.start(disk)
    kept.put_report(UPDATED)
    [report] = sent_reports(kept)

    kept.acknowledge(an_ack(report.header.id))
    assert kept.next_due_ms() == outbox.RESEND_MS

    disk.refuses = False
    assert kept.due() == []
    assert list((box.path / outbox.DIRECTORY).iterdir()) == []
    assert kept.next_due_ms() is None


def test_a_name_without_its_bytes_is_cleared_away(box: Box) -> None:
    box.start().put_report(UPDATED)
    [path] = (box.path / outbox.DIRECTORY).iterdir()
    data = path.read_bytes()

    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        assert len(box.start()) == 0
        assert not path.exists()


def test_sequence_numbers_rise_over_restarts_of_the_agent_within_a_boot(box: Box) -> None:
    seen = []
    for step in range(4):
        kept = box.start()
        kept.put_report(replace(UPDATED, step=step + 1))
        seen.append(sent_reports(kept)[-1].header.seq)

    assert seen == sorted(set(seen))
    assert seen[0] == 1


def test_a_message_that_lost_its_name_to_a_power_cut_does_not_stand_in_for_the_report(
    box: Box,
) -> None:
    box.start().put_report(UPDATED)
    [path] = (box.path / outbox.DIRECTORY).iterdir()
    path.rename(f"{path}.tmp")  # every byte is durable, but it was not renamed yet

    kept = box.start()
    kept.put_report(UPDATED)

    [report] = sent_reports(kept)
    assert kept.acknowledge(an_ack(report.header.id)) == [ReportAcked("A-1", 1, 4)]
    assert list((box.path / outbox.DIRECTORY).iterdir()) == []


def test_what_a_stranger_wrote_into_a_detail_does_not_cost_the_verdict(box: Box) -> None:
    kept = box.start()
    kept.put_report(replace(UPDATED, detail="The server answered 503 Go\0 \x1baway\ud800."))

    [report] = sent_reports(kept)
    assert report.detail == "The server answered 503 Go? ?away?."


def test_boxes_that_spoke_at_once_do_not_all_repeat_at_once(box: Box) -> None:
    kept = box.start()
    for step in range(1, 11):
        kept.put_report(replace(UPDATED, step=step))
    kept.due()

    repeats = []
    for _ in range(outbox.RESEND_MS // 2 // 100):
        box.clock.ms += 100
        repeats.append(len(kept.due()))

    assert sum(repeats) == 0
    for _ in range(outbox.RESEND_MS // 100):
        box.clock.ms += 100
        repeats.append(len(kept.due()))
    assert sum(repeats) == 10
    assert max(repeats) < 5


def test_a_log_in_any_script_is_cut_at_its_beginning_to_what_the_wire_takes(box: Box) -> None:
    kept = box.start()
    kept.put_log(["\u96fb" * 300 + '"' * 10 + str(number) for number in range(200)])

    [(kind, data)] = kept.due()
    assert kind is Up.LOG
    assert messages.decode(Log, data).lines[-1].endswith("199")
    assert len(data) > messages.UP_BYTES_MAX // 2
    assert len(box.start()) == 1
