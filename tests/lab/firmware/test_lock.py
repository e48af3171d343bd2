"""The lock file, and what happens when the archive does not hold what it names."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from oleada_lab.errors import FirmwareLockError
from oleada_lab.firmware import real
from oleada_lab.firmware.lock import DEFAULT_PATH, Package, read_lock, write_lock

LOCK = read_lock(DEFAULT_PATH)


def test_a_lock_survives_writing_and_reading(tmp_path: Path) -> None:
    write_lock(LOCK, tmp_path / "lock.toml")

    assert read_lock(tmp_path / "lock.toml") == LOCK


def test_the_lock_holds_two_successive_kernels() -> None:
    older, newer = LOCK.images

    assert older.packages[0].name != newer.packages[0].name
    assert all(p.name.startswith("linux-image-") for p in (older.packages[0], newer.packages[0]))
    assert {p.name for p in older.packages[1:]} == {"busybox-static"}


def test_a_package_that_is_not_in_the_cache_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(FirmwareLockError, match="type: oleada-lab firmware fetch"):
        real.build(LOCK, LOCK.images[0], tmp_path, tmp_path / "out.img")


def test_a_package_with_other_bytes_is_not_used(tmp_path: Path) -> None:
    for package in LOCK.packages:
        (tmp_path / package.file_name).write_bytes(b"not the package")

    with pytest.raises(FirmwareLockError, match="is not in"):
        real.build(LOCK, LOCK.images[0], tmp_path, tmp_path / "out.img")


def test_fetching_what_is_in_the_cache_asks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lock(LOCK, tmp_path / "lock.toml")
    for package in LOCK.packages:
        shutil.copy(real.DEFAULT_CACHE / package.file_name, tmp_path)
    monkeypatch.setenv("PATH", "")

    assert real.fetch(tmp_path / "lock.toml", tmp_path, print) == LOCK


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('schema = "lab.firmware-lock/1"', 'schema = "lab.firmware-lock/9"', "schema is"),
        ('hardware_model = "VX-410"', 'hardware_model = "x y"', "not a hardware model"),
        ('version = "5.8.1"', 'version = "latest"', "not like 5.8.2"),
        ("built_at_s = ", "built_at_x = ", "built_at_s"),
        ("[[image]]", "[image", "is not TOML"),
    ],
)
def test_a_broken_lock_is_refused_with_the_place(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    path = tmp_path / "lock.toml"
    path.write_text(DEFAULT_PATH.read_text().replace(old, new))

    with pytest.raises(FirmwareLockError, match=said):
        read_lock(path)


def test_a_lock_without_a_whole_hash_is_refused(tmp_path: Path) -> None:
    image = replace(LOCK.images[0], packages=(Package("busybox-static", "1:1.35", "abc"),))
    write_lock(replace(LOCK, images=(image,)), tmp_path / "lock.toml")

    with pytest.raises(FirmwareLockError, match="busybox-static is not 64 hex digits"):
        read_lock(tmp_path / "lock.toml")


def test_a_missing_lock_names_the_command_that_writes_one(tmp_path: Path) -> None:
    with pytest.raises(FirmwareLockError, match="oleada-lab firmware lock"):
        read_lock(tmp_path / "none.toml")
