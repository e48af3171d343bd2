"""The one disk model: what a cut leaves, what a fault refuses, what a fork shares."""

import os
from pathlib import Path
from random import Random

import pytest
from oleada_agent.boot.disk import RealDisk
from oleada_agent.errors import StorageError
from oleada_lab.sim.crash import NAMED, Kept
from oleada_lab.sim.disk import IO_ERROR, Fault, Op, PowerCutError, SimDisk

OLD, NEW = b"o" * 2048, b"n" * 2048


def overwritten() -> SimDisk:
    """Return a disk with a durable file over which new bytes were written, not yet synced."""
    disk = SimDisk()
    disk.create("data/file")
    disk.pwrite("data/file", 0, OLD)
    disk.fsync("data/file")
    disk.fsync_dir("data")
    disk.pwrite("data/file", 0, NEW)
    return disk


def renamed() -> SimDisk:
    """Return a disk on which a new file took an old one's name, unsynced bytes and name."""
    disk = overwritten()
    disk.fsync("data/file")
    disk.create("data/beside")
    disk.pwrite("data/beside", 0, b"beside")
    disk.rename("data/beside", "data/file")
    return disk


@pytest.mark.parametrize(
    ("kept", "found"),
    [
        (Kept.ALL, NEW),
        (Kept.NONE, OLD),
        (Kept.NAMES, OLD),
        (Kept.BYTES, NEW),
        (Kept.TORN, NEW[:1024] + OLD[1024:]),
    ],
)
def test_each_mode_keeps_its_share_of_bytes_that_were_not_synced(kept: Kept, found: bytes) -> None:
    assert overwritten().after_cut(kept).read("data/file") == found


@pytest.mark.parametrize(
    ("kept", "found"),
    [
        (Kept.ALL, b"beside"),
        (Kept.NONE, NEW),
        (Kept.NAMES, b""),
        (Kept.BYTES, NEW),
        (Kept.TORN, b"bes"),
    ],
)
def test_each_mode_keeps_its_share_of_names_that_were_not_synced(kept: Kept, found: bytes) -> None:
    assert renamed().after_cut(kept).read("data/file") == found


@pytest.mark.parametrize("kept", Kept)
def test_what_was_synced_survives_every_mode(kept: Kept) -> None:
    disk = renamed()
    disk.fsync("data/file")
    disk.fsync_dir("data")

    after = disk.after_cut(kept, Random(3))

    assert after.list("data") == ["file"]
    assert after.read("data/file") == b"beside"


def test_random_cuts_mix_sectors_and_never_invent_bytes() -> None:
    found = {overwritten().after_cut(Kept.RANDOM, Random(n)).read("data/file") for n in range(40)}

    sectors = {data[at : at + 512] for data in found for at in range(0, 2048, 512)}
    assert len(found) > 10
    assert sectors == {OLD[:512], NEW[:512]}


def test_a_random_cut_is_the_same_for_the_same_dice() -> None:
    first, second = (renamed().after_cut(Kept.RANDOM, Random(5)) for _ in range(2))

    assert first.files() == second.files()


def test_a_file_that_shrank_may_have_its_old_end_back() -> None:
    disk = overwritten()
    disk.fsync("data/file")
    disk.truncate("data/file", 10)

    assert disk.read("data/file") == NEW[:10]
    assert disk.after_cut(Kept.NONE).read("data/file") == NEW
    assert disk.after_cut(Kept.ALL).read("data/file") == NEW[:10]


def test_a_file_that_shrinks_and_grows_shows_zeros() -> None:
    disk = overwritten()
    disk.truncate("data/file", 10)
    disk.truncate("data/file", 20)

    assert disk.read("data/file") == NEW[:10] + bytes(10)


def test_a_folder_made_for_a_file_is_durable_before_the_file_is_there() -> None:
    disk = SimDisk()
    log: list[Op] = []
    disk.watch = log.append

    disk.create("data/new/file")

    assert [(op.kind, op.path) for op in log] == [
        ("mkdir", "data/new"),
        ("fsync_dir", "data"),
        ("create", "data/new/file"),
    ]


def test_a_folder_that_was_not_synced_takes_its_files_with_it() -> None:
    disk = SimDisk()
    disk.deaf_to = ("data",)
    disk.create("data/new/file")
    disk.deaf_to = ()
    disk.fsync("data/new/file")
    disk.fsync_dir("data/new")

    assert not disk.after_cut(Kept.NONE).exists("data/new/file")
    assert disk.after_cut(Kept.ALL).exists("data/new/file")


@pytest.mark.parametrize("passing", [0, 1, 2])
def test_the_plug_is_pulled_in_the_change_that_was_named(passing: int) -> None:
    disk = SimDisk()
    disk.create("data/file")
    disk.cut_after = passing

    for number in range(passing):
        disk.pwrite("data/file", number, b"x")
    with pytest.raises(PowerCutError):
        disk.pwrite("data/file", passing, b"x")

    assert disk.size_bytes("data/file") == passing + 1


def test_an_error_once_changes_nothing_and_does_not_come_again() -> None:
    disk = overwritten()
    disk.faults = (Fault(disk.changes + 1),)

    with pytest.raises(StorageError, match=IO_ERROR):
        disk.pwrite("data/file", 0, b"x")

    assert disk.read("data/file") == NEW
    disk.pwrite("data/file", 0, b"x")


def test_an_error_for_ever_strikes_its_paths_alone() -> None:
    disk = overwritten()
    disk.faults = (Fault(1, forever=True, on="data/file"),)

    for _ in range(3):
        with pytest.raises(StorageError):
            disk.fsync("data/file")

    disk.create("data/other")


def test_bytes_whose_sync_failed_are_lost_though_a_later_one_succeeds() -> None:
    disk = overwritten()
    disk.faults = (Fault(disk.changes + 1),)
    with pytest.raises(StorageError):
        disk.fsync("data/file")

    disk.fsync("data/file")

    assert disk.read("data/file") == NEW
    assert disk.after_cut(Kept.ALL).read("data/file") == OLD


def test_a_full_disk_takes_nothing_and_still_removes() -> None:
    disk = overwritten()
    disk.full = True

    with pytest.raises(StorageError, match="No space"):
        disk.pwrite("data/file", 0, b"x")

    disk.unlink("data/file")
    assert disk.free_bytes() == 0


def test_a_sync_that_lies_is_told_of_and_does_nothing() -> None:
    disk = overwritten()
    disk.deaf_to = ("data/file",)

    disk.fsync("data/file")

    assert disk.after_cut(Kept.NONE).read("data/file") == OLD


def test_a_fork_and_its_origin_go_their_own_ways() -> None:
    disk = overwritten()
    fork = disk.fork()

    fork.pwrite("data/file", 0, b"fork")
    disk.fsync("data/file")
    disk.unlink("data/file")

    assert fork.read("data/file", 0, 4) == b"fork"
    assert fork.after_cut(Kept.NONE).read("data/file") == OLD
    assert not disk.exists("data/file")


def test_two_disks_that_hold_the_same_compare_equal() -> None:
    one, other = overwritten(), overwritten()
    assert one.files() == other.files()

    other.pwrite("data/file", 2047, b"x")

    assert one.files() != other.files()


@pytest.mark.parametrize("kept", NAMED)
def test_a_box_that_lost_power_holds_what_lose_all_would_leave(kept: Kept) -> None:
    disk, twin = renamed(), renamed()

    disk.lose_power()

    assert disk.files() == twin.after_cut(Kept.NONE).files()
    assert disk.after_cut(kept).files() == disk.files()


def test_the_real_disk_makes_a_folder_durable_as_the_model_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    root = tmp_path
    (root / "data").mkdir()

    RealDisk(root).create("data/a/b/file")

    assert synced == [str(root / "data"), str(root / "data/a")]
    assert RealDisk(root).read("data/a/b/file") == b""
