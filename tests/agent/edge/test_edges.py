"""Small things at the edge that must hold whatever the world does."""

import multiprocessing
from pathlib import Path

import pytest
from oleada_agent import overview, status
from oleada_agent.alone import LOCK, alone
from oleada_agent.boot.image import ImageHeader
from oleada_agent.disk import RealDisk
from oleada_agent.errors import AgentError, StorageError
from oleada_agent.machine_states import Failed, ReportDraft, State
from oleada_agent.timers import Timers
from oleada_wire.words import Phase, Reason


def test_two_agents_do_not_run_on_one_box(tmp_path: Path) -> None:
    with alone(tmp_path):
        with pytest.raises(AgentError, match="stop that one first"), alone(tmp_path):
            raise AssertionError("two agents")
        child = multiprocessing.get_context("spawn").Process(target=_hold, args=(tmp_path,))
        child.start()
        child.join()
        assert child.exitcode == 1
    with alone(tmp_path):
        assert (tmp_path / LOCK).exists()


def _hold(box: Path) -> None:
    try:
        with alone(box):
            pass
    except AgentError as error:
        raise SystemExit(1) from error


def test_a_box_whose_disk_takes_no_lock_has_its_agent(tmp_path: Path) -> None:
    (tmp_path / "run").touch()

    with alone(tmp_path):
        assert not (tmp_path / LOCK).exists()


@pytest.mark.parametrize("booted", ["[]", "{", "7", '{"slot": "B"}'])
def test_a_box_can_be_looked_at_whatever_state_it_is_in(tmp_path: Path, booted: str) -> None:
    for name, text in (
        ("data/config.toml", 'serial = "x"\nhardware_model = "VX-410"\nenrol_url = "https://h/"'),
        ("data/journal.0", "rotten"),
        ("data/identity/identity.json", "{"),
        ("run/booted.json", booted),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    found = overview.look(tmp_path)

    assert (found["device_id"], found["stage"]) == ("not enrolled", "Idle")
    assert found["running_slot"] in ("unknown", "B")
    assert (tmp_path / "data/journal.0").exists()


def test_a_wait_of_centuries_is_a_wait() -> None:
    timers = Timers()
    timers.set("wake", 1 << 62)

    assert timers.wait_s() == 86_400


def test_a_disk_that_does_not_say_is_a_disk_that_refuses(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        RealDisk(tmp_path).exists("x" * 300)


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        (Reason.DOWNLOAD, "DownloadFailed"),
        (Reason.STORAGE, "InstallationFailed"),
        (Reason.WRONG_DIGEST, "ValidationFailed"),
    ],
)
def test_a_failed_slot_says_in_which_part_it_failed(reason: Reason, word: str) -> None:
    verdict = ReportDraft("A-1", 1, 1, Phase.FAILED, "1.0", "A", reason=reason)
    header = ImageHeader(2048, "0" * 64, "VX-410", "1.0")

    _, spare = status.slot_infos(State(stage=Failed(verdict, "B")), "A", lambda _: header)
    assert spare.status == word
