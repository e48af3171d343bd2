"""A whole server goes into one file and comes out of it, or nothing of it does."""

import os
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from oleada_server import schema
from oleada_server.accounts import service as accounts
from oleada_server.app import create_app
from oleada_server.audit import service as audit
from oleada_server.backup import archive, making, restoring, sealed
from oleada_server.backup.errors import BadBackupError, NewerBackupError, NotEmptyError
from oleada_server.backup.manifest import Manifest
from oleada_server.backup.resync import Resynchronised
from oleada_server.cli import main
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.devices import service as devices
from oleada_server.releases.models import Release
from oleada_server.restored import MARKER, RestoreUnfinishedError
from oleada_store.blobs import Blobs

from tests.backup.places import NOON, NewConfig, opened, server, written_rows
from tests.backup.rows import fill_every_table
from tests.server.rollouts import fleet

LATER = NOON + timedelta(hours=1)
IMAGE = b"an image of a box" * 1000
DIGEST = sha256(IMAGE).hexdigest()
DATABASES = ("sqlite", pytest.param("postgresql", marks=pytest.mark.real))


@pytest.fixture(autouse=True)
def quick_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Derive keys quickly: how slow the derivation is has no part in these claims."""
    monkeypatch.setattr(sealed, "SCRYPT_N", 2)


class PlugPulledError(BaseException):
    """The power goes; no handler of ours may take it for an error."""


def _backed_up(config: Config, path: Path, passphrase: bytes | None = None) -> Manifest:
    """Make a server with three boxes and a release, and a backup of it."""
    with server(config) as app:
        fleet.a_fleet(3)
        fleet.a_release(sha256=DIGEST, size_bytes=len(IMAGE))
        with Blobs(config.blobs_dir).receive([IMAGE], DIGEST, len(IMAGE)) as image:
            image.keep()
        with (config.data_dir / "oleada.toml").open("a") as settings_file:
            settings_file.write("web_port = 4711\n")
        return making.make(app, path, passphrase, NOON)


def _restore(path: Path, target: Config, passphrase: bytes | None = None) -> Resynchronised:
    directory, url = target.data_dir, target.database_url or None
    _, found = restoring.restore(path, directory, passphrase, LATER, url)
    return found


@pytest.mark.parametrize("source", DATABASES)
@pytest.mark.parametrize("target", DATABASES)
def test_everything_is_there_again_on_either_database(
    source: str, target: str, new_config: NewConfig, tmp_path: Path
) -> None:
    old = new_config("old", source)
    path = tmp_path / "a.oleada-backup"
    made = _backed_up(old, path, b"secret")
    new = new_config("new", target, has_tables=False)
    url = new.database_url or "sqlite:///" + str(new.data_dir / "other.db")
    found = _restore(path, replace(new, database_url=url), b"secret")

    restored = replace(new, database_url=url)
    with opened(restored):
        schema.check_current()
        assert found.devices == 3
        assert devices.known(["VX410000000", "VX410000002"]) == {"VX410000000", "VX410000002"}
        assert audit.first_broken() is None
        assert audit.events_about("server")[0].action == "server.restore"
        assert db.session.get_one(Release, 1).sha256 == DIGEST
    assert Blobs(new.blobs_dir).path(DIGEST).read_bytes() == IMAGE
    for name in ("director.pem", "snapshot.pem", "timestamp.pem", "secret_key"):
        assert (new.keys_dir / name).read_bytes() == (old.keys_dir / name).read_bytes()
        assert (new.keys_dir / name).stat().st_mode & 0o777 == 0o600
    text = (new.data_dir / "oleada.toml").read_text()
    assert "web_port = 4711" in text
    assert text.count("database_url") == 1
    assert url in text
    assert not (new.data_dir / MARKER).exists()
    assert made.database == source


@pytest.mark.parametrize("database", DATABASES)
def test_a_backup_holds_one_moment_while_the_server_goes_on_writing(
    database: str, new_config: NewConfig, tmp_path: Path
) -> None:
    path = tmp_path / "a.oleada-backup"
    with server(new_config("old", database)) as app:
        fleet.a_fleet(3)
        before = written_rows()
        others = sa.create_engine(db.engine.url)
        counter = sa.table("counter", sa.column("name"), sa.column("value"))
        written: list[str] = []

        def write_between_two_tables(*seen: Any) -> None:
            if not seen[2].startswith("SELECT"):  # before its moment
                return
            with others.begin() as connection:
                connection.exec_driver_sql("UPDATE device SET boot_count = boot_count + 1")
                row = {"name": f"of {len(written)}", "value": 1}
                connection.execute(sa.insert(counter).values(row))
            written.append(seen[2])

        sa.event.listen(db.engine, "after_cursor_execute", write_between_two_tables)
        try:
            making.make(app, path, None, NOON)
        finally:
            sa.event.remove(db.engine, "after_cursor_execute", write_between_two_tables)
            others.dispose()
        assert written_rows() != before

    kept = {
        member.name.removeprefix("tables/").removesuffix(".jsonl"): b"".join(member.chunks())
        for member in archive.read(path, None)
        if member.name.startswith("tables/")
    }
    assert kept == before
    assert len(written) > len(before)


@pytest.mark.parametrize("target", DATABASES)
def test_the_numbers_of_rows_go_on_where_they_were(
    new_config: NewConfig, tmp_path: Path, target: str
) -> None:
    path = tmp_path / "a.oleada-backup"
    _backed_up(new_config("old", "sqlite"), path)
    new = new_config("new", target, has_tables=False)
    _restore(path, new)

    with opened(new):
        assert fleet.a_release("9.9.9").id == 2


def test_a_backup_of_the_first_schema_comes_up_to_this_one(
    new_config: NewConfig, tmp_path: Path
) -> None:
    path = tmp_path / "a.oleada-backup"
    with server(new_config("old", "sqlite", has_tables=False)) as app:
        schema.upgrade("0001")
        with db.engine.begin() as connection:
            fill_every_table(connection)
        making.make(app, path, None, NOON)

    new = new_config("new", "sqlite", has_tables=False)
    _restore(path, new)

    with opened(new):
        schema.check_current()
        assert written_rows()["device"].count(b"\n") == 3


def test_a_newer_backup_is_refused_before_anything_is_written(
    new_config: NewConfig, tmp_path: Path
) -> None:
    path = tmp_path / "a.oleada-backup"
    with archive.written(path, None) as writer:
        writer.finish(Manifest(1, NOON.isoformat(), "9.0.0", "9999", "sqlite", "", 0, (), ()))
    new = new_config("new", "sqlite", has_tables=False)

    with pytest.raises(NewerBackupError, match=r"Install 9\.0\.0 or newer"):
        _restore(path, new)

    assert list(new.data_dir.iterdir()) == []


def test_nothing_is_written_into_a_directory_that_holds_something(
    new_config: NewConfig, tmp_path: Path
) -> None:
    path = tmp_path / "a.oleada-backup"
    _backed_up(new_config("old", "sqlite"), path)
    new = new_config("new", "sqlite", has_tables=False)
    (new.data_dir / "somebody's.db").write_text("precious")

    with pytest.raises(NotEmptyError, match=r"not empty \(somebody's\.db\)"):
        _restore(path, new)

    assert [p.name for p in new.data_dir.iterdir()] == ["somebody's.db"]


@pytest.mark.real
def test_nothing_is_written_beside_a_database_that_holds_something(
    new_config: NewConfig, tmp_path: Path
) -> None:
    path = tmp_path / "a.oleada-backup"
    _backed_up(new_config("old", "sqlite"), path)
    new = new_config("new", "postgresql")

    with pytest.raises(NotEmptyError, match=r"not empty .* --database-url"):
        _restore(path, new)

    assert list(new.data_dir.iterdir()) == []


def _at_fsync(number: int) -> Callable[[pytest.MonkeyPatch], None]:
    def arm(patch: pytest.MonkeyPatch) -> None:
        left, real = [number], os.fsync

        def fsync(descriptor: int) -> None:
            left[0] -= 1
            if left[0] <= 0:
                raise PlugPulledError
            real(descriptor)

        patch.setattr(os, "fsync", fsync)

    return arm


def _pulled(*_: object, **__: object) -> None:
    raise PlugPulledError


def _while_the_database_is_filled(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(restoring, "_follow", _pulled)


def _before_it_is_resynchronised(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(accounts, "record_restore", _pulled)


def _before_the_marker_goes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Path, "unlink", _pulled)


def _lose_power(arm: Callable[[pytest.MonkeyPatch], None], path: Path, target: Config) -> None:
    """Restore, with the plug pulled at the moment that *arm* prepares."""
    with pytest.MonkeyPatch.context() as patch:
        arm(patch)
        with pytest.raises(PlugPulledError):
            _restore(path, target)


MOMENTS = {
    "at the marker": _at_fsync(2),
    "at the first file": _at_fsync(4),
    "among the files": _at_fsync(15),
    "while the database is filled": _while_the_database_is_filled,
    "before it is resynchronised": _before_it_is_resynchronised,
    "before the marker goes": _before_the_marker_goes,
}


@pytest.mark.parametrize("database", DATABASES)
def test_a_restore_that_lost_power_is_repeated_and_no_server_starts_before(
    database: str, new_config: NewConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.oleada-backup"
    _backed_up(new_config("old", "sqlite"), path)
    new = new_config("new", database, has_tables=False)

    for name, arm in MOMENTS.items():
        _lose_power(arm, path, new)
        monkeypatch.setenv("OLEADA_DATA_DIR", str(new.data_dir))
        with pytest.raises(RestoreUnfinishedError, match="was interrupted"):
            create_app()
        assert (new.data_dir / MARKER).exists(), name

    assert _restore(path, new).devices == 3
    with opened(new):
        assert audit.first_broken() is None
        assert len(devices.known([f"VX41000000{n}" for n in range(3)])) == 3


def test_an_interrupted_restore_is_not_gone_on_with_from_another_backup(
    new_config: NewConfig, tmp_path: Path
) -> None:
    first, second = tmp_path / "a.oleada-backup", tmp_path / "b.oleada-backup"
    _backed_up(new_config("old", "sqlite"), first)
    _backed_up(new_config("other", "sqlite"), second)
    new = new_config("new", "sqlite", has_tables=False)
    _lose_power(_before_the_marker_goes, first, new)

    with pytest.raises(NotEmptyError, match="another backup"):
        _restore(second, new)


def test_an_image_that_is_lost_is_told_and_keeps_no_backup_from_being_made(
    new_config: NewConfig, tmp_path: Path
) -> None:
    path = tmp_path / "a.oleada-backup"
    with server(new_config("old", "sqlite")) as app:
        fleet.a_fleet(1)
        fleet.a_release(sha256=DIGEST)
        made = making.make(app, path, None, NOON)

    assert made.lost_blobs == (DIGEST,)
    assert archive.check(path, None) == made


def test_an_image_of_any_size_takes_no_more_memory(new_config: NewConfig, tmp_path: Path) -> None:
    old, path = new_config("old", "sqlite"), tmp_path / "a.oleada-backup"
    size = 48 * 1024 * 1024
    piece = os.urandom(1024 * 1024)
    digest = sha256(piece * 48).hexdigest()
    with server(old) as app:
        fleet.a_fleet(1)
        fleet.a_release(sha256=digest, size_bytes=size)
        with Blobs(old.blobs_dir).receive([piece] * 48, digest, size) as image:
            image.keep()
        tracemalloc.start()
        try:
            making.make(app, path, b"secret", NOON)
            new = new_config("new", "sqlite", has_tables=False)
            _restore(path, new, b"secret")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert Blobs(new.blobs_dir).path(digest).stat().st_size == size
    assert peak < 24 * 1024 * 1024


def test_the_commands_say_what_they_did_and_what_is_to_do(
    new_config: NewConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = new_config("old", "sqlite")
    _backed_up(old, tmp_path / "first.oleada-backup")
    path, secret = tmp_path / "a.oleada-backup", tmp_path / "passphrase"
    secret.write_text("a horse, a battery and a staple\n")
    key = ["--passphrase-file", str(secret)]

    def run(*words: str) -> str:
        found = CliRunner().invoke(main, list(words))
        assert found.exception is None or isinstance(found.exception, SystemExit)
        return found.output

    monkeypatch.setenv("OLEADA_DATA_DIR", str(old.data_dir))
    assert "holds a backup of" in run("backup", *key, str(path))
    assert "exists; choose another name" in run("backup", *key, str(path))
    assert "is whole: a backup of" in run("backup", "--check", *key, str(path))
    assert "is encrypted; give its passphrase" in run("backup", "--check", str(path))
    monkeypatch.setenv("OLEADA_DATA_DIR", str(tmp_path / "new"))
    assert "3 boxes are known" in run("restore", *key, str(path))
    assert "is not empty" in run("restore", *key, str(path))


def test_what_is_no_backup_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_bytes(b"Dear operator, " * 100)

    with pytest.raises(BadBackupError, match="is not a backup, or was cut short"):
        archive.check(path, None)
