"""A package that has left the archive: said so, and what is there is locked instead.

The archive is a real one of a few tiny packages on disk, read by the real apt.
"""

import subprocess
from pathlib import Path

import pytest
from oleada_lab.errors import FirmwareLockError
from oleada_lab.firmware import real
from oleada_lab.firmware.image import sha256_of
from oleada_lab.firmware.lock import read_lock

pytestmark = pytest.mark.real


def test_a_package_that_is_gone_is_said_and_the_newest_two_kernels_are_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    for abi in (8, 9, 10):
        _package(repository, f"linux-image-6.1.0-{abi}-cloud-amd64", f"6.1.{abi}-1")
    _package(repository, "busybox-static", "1:1.35.0-4")
    _use_only(repository, tmp_path, monkeypatch)
    lock_path = tmp_path / "lock.toml"
    real.relock(lock_path, "amd64", tmp_path / "cache", lambda _: None)
    before = read_lock(lock_path)
    for path in (tmp_path / "cache").glob("*.deb"):
        path.unlink()
    (repository / "linux-image-6.1.0-10-cloud-amd64.deb").unlink()
    _index(repository)
    said: list[str] = []

    lock = real.fetch(lock_path, tmp_path / "cache", said.append)

    assert [image.packages[0].version for image in before.images] == ["6.1.9-1", "6.1.10-1"]
    assert [image.packages[0].version for image in lock.images] == ["6.1.8-1", "6.1.9-1"]
    assert read_lock(lock_path) == lock
    assert any("linux-image-6.1.0-10-cloud-amd64" in line and "locking" in line for line in said)


def test_a_package_with_another_hash_than_locked_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    for abi in (8, 9):
        _package(repository, f"linux-image-6.1.0-{abi}-cloud-amd64", f"6.1.{abi}-1")
    _package(repository, "busybox-static", "1:1.35.0-4")
    _use_only(repository, tmp_path, monkeypatch)
    lock_path = tmp_path / "lock.toml"
    lock = real.relock(lock_path, "amd64", tmp_path / "cache", lambda _: None)
    locked = lock.images[1].packages[0].sha256
    lock_path.write_text(lock_path.read_text().replace(locked, "0" * 64))

    with pytest.raises(FirmwareLockError, match="Do not use it"):
        real.fetch(lock_path, tmp_path / "cache", lambda _: None)

    assert not list((tmp_path / "cache").glob("linux-image-6.1.0-9-*.deb"))


def test_an_archive_without_two_kernels_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    _package(repository, "linux-image-6.1.0-8-cloud-amd64", "6.1.8-1")
    _use_only(repository, tmp_path, monkeypatch)

    with pytest.raises(FirmwareLockError, match="1 cloud kernels for amd64; two are needed"):
        real.relock(tmp_path / "lock.toml", "amd64", tmp_path / "cache", lambda _: None)


def _package(repository: Path, name: str, version: str) -> None:
    tree = repository.parent / f"tree-{name}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: amd64\n"
        "Maintainer: Lab <lab@example.org>\nDescription: a package of a test\n"
    )
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-b", str(tree), str(repository / f"{name}.deb")],
        check=True,
        capture_output=True,
    )
    _index(repository)


def _index(repository: Path) -> None:
    """Write the index of *repository*, as dpkg-scanpackages would."""
    stanzas = []
    for path in sorted(repository.glob("*.deb")):
        fields = subprocess.run(
            ["dpkg-deb", "-f", str(path)], check=True, capture_output=True, text=True
        ).stdout
        stanzas.append(
            f"{fields.strip()}\nFilename: ./{path.name}\nSize: {path.stat().st_size}\n"
            f"SHA256: {sha256_of(path)}\n"
        )
    (repository / "Packages").write_text("\n".join(stanzas))


def _use_only(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make *repository* the only source of every apt that this test starts."""
    sources = tmp_path / "sources.list"
    sources.write_text(f"deb [trusted=yes] copy:{repository} ./\n")
    (tmp_path / "no-parts").mkdir()
    conf = tmp_path / "apt.conf"
    conf.write_text(
        f'Dir::Etc::sourcelist "{sources}";\nDir::Etc::sourceparts "{tmp_path / "no-parts"}";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(conf))
