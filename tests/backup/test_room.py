"""A disk without room and a place that is none: told in a sentence, and nothing half done."""

import errno
import os
import shutil
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from oleada_server.backup import archive, making, restoring
from oleada_server.backup.errors import NoRoomToRestoreError, NotEmptyError
from oleada_server.backup.manifest import Manifest
from oleada_server.cli import main
from oleada_server.config import Config
from oleada_store.blobs import Blobs
from oleada_store.errors import StorageFullError

from tests.backup.places import NOON, NewConfig, server
from tests.server.rollouts import fleet

IMAGE = b"an image of a box" * 1000
DIGEST = sha256(IMAGE).hexdigest()


def _backed_up(config: Config, path: Path) -> Manifest:
    """Make a server with three boxes and a release, and a backup of it."""
    with server(config) as app:
        fleet.a_fleet(3)
        fleet.a_release(sha256=DIGEST, size_bytes=len(IMAGE))
        with Blobs(config.blobs_dir).receive([IMAGE], DIGEST, len(IMAGE)) as image:
            image.keep()
        return making.make(app, path, None, NOON)


def test_a_disk_without_room_is_told_in_a_sentence(
    new_config: NewConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setenv("OLEADA_DATA_DIR", str(new_config("old", "sqlite").data_dir))
    monkeypatch.setattr(archive.Writer, "add", add)

    found = CliRunner().invoke(main, ["backup", str(tmp_path / "a.oleada-backup")])

    assert isinstance(found.exception, SystemExit)
    assert "No space left on device. Make room" in found.output


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(
    new_config: NewConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, new = tmp_path / "a.oleada-backup", tmp_path / "somewhere" / "new"
    made = _backed_up(new_config("old", "sqlite"), path)
    free = made.size_bytes - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))

    with pytest.raises(NoRoomToRestoreError, match=f"{made.size_bytes} bytes .* {free} are free"):
        restoring.restore(path, new, None, NOON)

    assert not new.parent.exists()


def test_a_disk_that_fills_up_meanwhile_is_told_and_the_restore_is_run_again(
    new_config: NewConfig, tmp_path: Path
) -> None:
    def refuse(*_: object) -> None:
        raise StorageFullError("no room")

    path, new = tmp_path / "a.oleada-backup", new_config("new", "sqlite", has_tables=False)
    _backed_up(new_config("old", "sqlite"), path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Blobs, "receive", refuse)
        with pytest.raises(NoRoomToRestoreError, match="run the same command again"):
            restoring.restore(path, new.data_dir, None, NOON)

    _, found = restoring.restore(path, new.data_dir, None, NOON)
    assert found.devices == 3


def test_a_file_is_no_place_for_a_server(new_config: NewConfig, tmp_path: Path) -> None:
    path, place = tmp_path / "a.oleada-backup", tmp_path / "file"
    _backed_up(new_config("old", "sqlite"), path)
    place.write_text("precious")

    with pytest.raises(NotEmptyError, match="is a file"):
        restoring.restore(path, place, None, NOON)

    assert place.read_text() == "precious"
