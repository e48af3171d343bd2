"""What is kept twice is made equal again when a power cut has parted the copies."""

from pathlib import Path

import pytest
from oleada_agent.commands import LAST, Commands
from oleada_agent.disk import RealDisk
from oleada_agent.trust.client import BOX, TrustedClient
from oleada_agent.trust.floor import TimeFloor
from oleada_agent.trust.store import SECOND_COPY, MetadataStore
from oleada_wire.ids import BootId
from oleada_wire.messages import Cmd, Header

from tests.agent.edge.repository import MODEL, NOON, Repository

PATH = f"{MODEL}/5.8.2.img"
FLOORS = ("floor.0", "floor.1")
HEADER = Header("0" * 32, 0, BootId(1, "0a1b2c3d"), 1)


def other(names: tuple[str, str], one: str) -> str:
    return names[1 - names.index(one)]


@pytest.mark.parametrize("folder", ["", f"{SECOND_COPY}/"])
@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets", MODEL])
def test_metadata_is_whole_in_both_copies_after_the_next_look(
    tmp_path: Path, role: str, folder: str
) -> None:
    repository, store = Repository(), MetadataStore(RealDisk(tmp_path))
    store.write("root", repository.files["1.root.json"])

    for _ in range(2):
        client = TrustedClient(store, repository.get, NOON, BOX)
        client.refresh()
        client.find(PATH)
        first, second = store.read(role)
        assert first == second != b"torn"
        (tmp_path / f"{folder}{role}.json").write_bytes(b"torn")


@pytest.mark.parametrize("lost", FLOORS)
def test_the_time_floor_is_there_twice_after_the_next_signed_time(
    tmp_path: Path, lost: str
) -> None:
    disk = RealDisk(tmp_path)
    TimeFloor(disk).raise_to(5_000_000)
    disk.unlink(lost)

    TimeFloor(disk).raise_to(5_000_001)
    disk.unlink(other(FLOORS, lost))

    assert TimeFloor(disk).floor_ms == 5_000_001


@pytest.mark.parametrize("lost", LAST)
def test_the_number_of_the_last_command_is_there_twice_after_the_next_start(
    tmp_path: Path, lost: str
) -> None:
    disk = RealDisk(tmp_path)
    ping = Cmd(HEADER, "VX417Q3K0928", "C-1", 5, "ping", expires_ms=10)

    def start() -> Commands:
        return Commands(disk, {"ping": lambda: "pong"}, lambda make: None)

    assert start().obey(ping, now_ms=0)
    disk.unlink(lost)
    start()
    disk.unlink(other(LAST, lost))

    assert not start().obey(ping, now_ms=0)
