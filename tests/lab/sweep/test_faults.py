"""A disk that refuses or rots costs a box an attempt at most: short forms of the fault sweep."""

import json

import pytest
from oleada_agent.errors import StorageError
from oleada_agent.journal import FILES, Journal, write_whole
from oleada_agent.machine_states import ReportDraft, State
from oleada_agent.outbox import DIRECTORY, DiskOutbox, Stamp
from oleada_agent.refusals import TELL_AGAIN_MS, TOLD_MAX, ToldDisk
from oleada_agent.voice import Voice
from oleada_lab import cli
from oleada_lab.errors import LabError
from oleada_lab.sim.disk import FOLDERS, IO_ERROR, Fault, SimDisk
from oleada_lab.sweep import faults
from oleada_lab.sweep.faults import Plan, Trouble
from oleada_lab.sweep.finding import Kind
from oleada_lab.sweep.power import operations
from oleada_lab.sweep.story import STORIES
from oleada_wire.ids import BootId
from oleada_wire.topics import Up
from oleada_wire.words import Phase

EVERY = 61
"""Of so many operations one is struck; 'oleada-lab sweep faults' strikes each of them."""


@pytest.mark.parametrize("stories", [("update", "again"), ("unhealthy", "enrolment")])
def test_a_disk_that_fails_breaks_no_box_and_somebody_is_told(stories: tuple[str, ...]) -> None:
    result = faults.run_sweep(Plan(stories=stories, every=EVERY))

    found = faults.to_json(result)
    assert found["failures"] == [], faults.to_text(result)
    assert found["runs"] >= 4 * found["points"] > 0


def test_a_box_that_keeps_its_disks_errors_to_itself_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Voice, "tell", lambda *_: None)
    [metadata] = [n for n, op in _operations("update") if op == "create data/trust/floor.0.tmp"][:1]

    findings = faults.replay(Plan(), STORIES["update"], metadata, Trouble.ONCE)

    assert [one.kind for one in findings] == [Kind.UNTOLD]


@pytest.mark.parametrize("starts_anew", [False, True])
@pytest.mark.parametrize("at", [40, 90, 140, -3])
def test_a_message_that_has_rotted_on_the_disk_is_not_sent(at: int, starts_anew: bool) -> None:
    disk = SimDisk()
    box = an_outbox(disk)
    box.put_report(ReportDraft("AS-1", 1, 1, Phase.UPDATED, "1.1.0", "B"))
    [name] = disk.list(DIRECTORY)
    path = f"{DIRECTORY}/{name}"

    disk.rot(path, at % disk.size_bytes(path))

    assert (an_outbox(disk) if starts_anew else box).due() == []


def test_a_message_of_an_agent_that_kept_no_crc_is_sent_as_it_is() -> None:
    disk = SimDisk()
    box = an_outbox(disk)
    box.put_report(ReportDraft("AS-1", 1, 1, Phase.UPDATED, "1.1.0", "B"))
    [(_, data)] = box.due()
    [name] = disk.list(DIRECTORY)
    write_whole(disk, f"{DIRECTORY}/{name}", data)

    assert an_outbox(disk).due() == [(Up.REPORT, data)]


def an_outbox(disk: SimDisk) -> DiskOutbox:
    stamp = Stamp(disk, BootId(7, "0a1b2c3d"), lambda: 0, lambda: "0" * 32)
    return DiskOutbox(disk, stamp, lambda: 0)


def _operations(story: str) -> list[tuple[int, str]]:
    return [(op.number, f"{op.kind} {op.path}") for op in operations(STORIES[story])]


def test_a_journal_that_nobody_may_clear_away_is_read_all_the_same() -> None:
    disk = SimDisk()
    Journal(disk).store(State(security_floor=7))
    disk.create(f"{FILES[0]}.tmp")
    disk.faults = (Fault(1, IO_ERROR, forever=True, on="data/journal"),)

    loaded = Journal(disk).load()

    assert loaded.state is not None
    assert loaded.state.security_floor == 7


def test_what_a_disk_refuses_is_told_once_an_hour_by_kind_of_file() -> None:
    disk, passed = SimDisk((*FOLDERS, "data/outbox")), [0]
    told = ToldDisk(disk, lambda: passed[0])
    disk.faults = (Fault(1, IO_ERROR, forever=True),)

    lines = []
    for passed[0] in (0, 1, TELL_AGAIN_MS - 1, TELL_AGAIN_MS):
        for path in ("data/outbox/0000000001-log-aa.tmp", "data/outbox/0000000002-log-bb.tmp"):
            with pytest.raises(StorageError):
                told.create(path)
        lines.append(told.news())

    assert [len(one) for one in lines] == [1, 0, 0, 1]
    assert lines[0] == [
        "the disk refused to create data/outbox/0000000001-log-aa.tmp: Input/output error."
    ]


def test_a_file_that_is_not_there_is_no_refusal() -> None:
    told = ToldDisk(SimDisk(), lambda: 0)
    with pytest.raises(StorageError):
        told.read("data/nothing")

    assert told.news() == []


def test_a_disk_that_refuses_everything_fills_no_memory() -> None:
    disk = SimDisk()
    told = ToldDisk(disk, lambda: 0)
    disk.faults = (Fault(1, IO_ERROR, forever=True),)
    for number in range(3 * TOLD_MAX):
        with pytest.raises(StorageError):
            told.create(f"data/file{number}")

    assert len(told._told_ms) <= TOLD_MAX


def test_the_command_says_by_its_exit_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sweep", "faults", "--story", "update", "--trouble", "eio_once", "--every", "120"]

    assert cli.main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)

    assert {"points", "runs", "bricks", "stuck", "lies", "untold", "cpu_s"} <= set(found)
    assert {"commit", "seed", "machine", "command"} <= set(found)
    assert cli.main(["sweep", "faults", "--story", "update", "--strike", "40:eio_once"]) == 0
    assert "lived on" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["--strike", "40:eio_once"], ["--story", "update", "--strike", "99999:eio_once"]]
)
def test_what_can_not_be_struck_is_said(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["sweep", "faults", *words]) == 1
    assert "oleada-lab: " in capsys.readouterr().err


def test_a_story_that_is_not_there_can_not_be_replayed() -> None:
    with pytest.raises(LabError, match="no operation 0"):
        faults.replay(Plan(), STORIES["update"], 0, Trouble.ONCE)
