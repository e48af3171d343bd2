"""A command is done at most once, whoever replays it and whenever the power goes."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from oleada_agent.commands import LAST, Commands
from oleada_agent.disk import RealDisk
from oleada_agent.errors import StorageError
from oleada_wire.ids import BootId
from oleada_wire.messages import Cmd, Header, Result
from oleada_wire.words import Refusal, ResultStatus

HEADER = Header("0" * 32, 0, BootId(1, "0a1b2c3d"), 1)


@dataclass
class Box:
    """A box that can be told to ping, restarted at will."""

    path: Path
    pings: int = 0
    results: list[Result] = field(default_factory=list)

    def start(self, disk: RealDisk | None = None) -> Commands:
        """Return the commands as a start of the agent makes them."""
        return Commands(
            disk or RealDisk(self.path),
            {"ping": self._ping},
            lambda make: self.results.append(make(HEADER)),
        )

    def _ping(self) -> str:
        self.pings += 1
        return "pong"


def a_command(**changes: Any) -> Cmd:
    found: dict[str, Any] = {"cmd_id": "C-1", "cmd_seq": 5, "verb": "ping", "expires_ms": 1_000}
    return Cmd(HEADER, "VX417Q3K0928", **{**found, **changes})


@pytest.fixture
def box(tmp_path: Path) -> Box:
    (tmp_path / "data").mkdir()
    return Box(tmp_path)


def test_a_command_is_carried_out_and_reported(box: Box) -> None:
    assert box.start().obey(a_command(), now_ms=999)
    assert box.results == [Result(HEADER, "C-1", ResultStatus.COMPLETE, "pong")]


def test_a_replay_does_nothing_even_after_a_restart(box: Box) -> None:
    box.start().obey(a_command(), now_ms=0)

    for commands in (box.start(), box.start()):
        assert not commands.obey(a_command(), now_ms=0)
        assert not commands.obey(a_command(cmd_seq=4, cmd_id="C-0"), now_ms=0)
    assert (box.pings, len(box.results)) == (1, 1)


@pytest.mark.parametrize("torn", LAST)
def test_a_torn_record_does_not_bring_an_old_command_back(box: Box, torn: str) -> None:
    box.start().obey(a_command(), now_ms=0)

    (box.path / torn).write_bytes(b"99999 0000")

    assert not box.start().obey(a_command(), now_ms=0)
    assert box.start().obey(a_command(cmd_seq=6), now_ms=0)


def test_an_expired_command_does_nothing_and_its_sender_is_told_once(box: Box) -> None:
    for _ in range(3):
        assert not box.start().obey(a_command(), now_ms=1_000)

    assert box.pings == 0
    [result] = box.results
    assert (result.cmd_id, result.status) == ("C-1", ResultStatus.REFUSED)
    assert result.error == Refusal.TOO_LATE


@pytest.mark.parametrize("change", [{"verb": "shell"}, {"arguments": {"x": "; reboot"}}])
def test_what_is_not_on_the_list_is_refused(box: Box, change: dict[str, Any]) -> None:
    box.start().obey(a_command(**change), now_ms=0)

    assert box.pings == 0
    assert box.results[0].status is ResultStatus.REFUSED


class BrokenDisk(RealDisk):
    """A disk that takes nothing."""

    def fsync(self, path: str) -> None:
        """Refuse."""
        raise StorageError("read-only file system")


def test_a_command_that_can_not_be_remembered_is_not_done(box: Box) -> None:
    assert not box.start(BrokenDisk(box.path)).obey(a_command(), now_ms=0)

    assert box.pings == 0
    assert box.results[0].status is ResultStatus.ERROR


def test_what_a_refusing_disk_left_is_cleared_away_at_the_next_start(box: Box) -> None:
    for path in LAST:
        (box.path / f"{path}.tmp").write_bytes(b"5 0000")

    box.start()

    assert not list(box.path.glob("data/*.tmp"))
