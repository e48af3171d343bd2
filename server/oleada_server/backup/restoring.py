"""Restoring: a backup is checked to its last byte, then fills an empty server, or nothing.

A marker file stands in the data directory from the first write to the last, and no part
of the server starts while it does. A restore that was interrupted is run again: files
are written anew, and the database, filled in one transaction, is empty or done.
"""

import hashlib
import shutil
import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from oleada_store.blobs import Blobs
from oleada_store.errors import StorageFullError
from oleada_store.files import sync_directory, write_whole
from sqlalchemy import Connection

from oleada_server import config as settings
from oleada_server import schema
from oleada_server.app import create_app
from oleada_server.backup import archive, resync, tables
from oleada_server.backup import manifest as manifests
from oleada_server.backup.errors import BadBackupError, NoRoomToRestoreError, NotEmptyError
from oleada_server.backup.manifest import Manifest
from oleada_server.backup.resync import Resynchronised
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.enrolment import revoked_file
from oleada_server.restored import MARKER

DONE: Final = "restore:"
"""Counter in the database, with the backup's id: it holds the whole of that backup."""
HARMLESS: Final = frozenset({MARKER, "lost+found"})
_SETTINGS: Final = f"{manifests.FILES}{settings.FILE_NAME}"


def restore(
    path: Path,
    directory: Path,
    passphrase: bytes | None,
    now: datetime,
    database_url: str | None = None,
    *,
    revocations: Path | None = None,
) -> tuple[Manifest, Resynchronised]:
    """Fill data directory *directory* and its database from the backup at *path*.

    Args:
        path: The backup.
        directory: Empty or missing.
        passphrase: Of the backup, None for one that is not encrypted.
        now: Aware time; numbers that boxes compare are raised above all given before it.
        database_url: Instead of the one in the backup's settings; kept in the new ones.
        revocations: A file that says who is revoked now; without it that of the backup's
            settings, if it is there.

    Raises:
        BadRevocationsError: *revocations* is none of this server's; run it again without.
        BadBackupError, BackupSealedError, BadPassphraseError: *path* is not a whole backup.
        NewerBackupError: a newer version made it.
        NotEmptyError: directory or database hold something; nothing was touched.
        NoRoomToRestoreError: the disk is too small; nothing was touched, or it was filled by
            somebody else meanwhile, and the same restore is run again when there is room.
    """
    manifest = archive.check(path, passphrase)
    manifests.check_revision(manifest, schema.revisions())
    backup_id = _id(manifest)
    text = _settings_of(path, passphrase, database_url)
    is_repeated = _check_directory(directory, backup_id)
    if not is_repeated:
        _check_room(directory, manifest.size_bytes)
    config = replace(_config(text), data_dir=directory)
    is_filled = _check_database(config, backup_id if is_repeated else None)
    _mark(directory, backup_id)
    _write_files(path, passphrase, manifest, config, text)
    app = create_app(config, ())
    with app.app_context():
        try:
            if not is_filled:
                schema.fill(
                    manifest.schema_revision,
                    lambda connection: _load(connection, path, passphrase, manifest, backup_id),
                )
            made_at = datetime.fromisoformat(manifest.made_at)
            found = resync.resynchronise(made_at, now)
            found = replace(found, revoked=_revoke_again(config, revocations, now))
        finally:
            db.session.remove()
            db.engine.dispose()
    (directory / MARKER).unlink()
    sync_directory(directory)
    return manifest, found


def _revoke_again(config: Config, given: Path | None, now: datetime) -> int | None:
    """Revoke what was revoked after the backup; return how many boxes, None if nobody knows."""
    kept = Path(config.revocations_file) if config.revocations_file else None
    path = given or (kept if kept is not None and kept.exists() else None)
    return None if path is None else revoked_file.merge(path, config, now)


def _id(manifest: Manifest) -> str:
    return hashlib.sha256(manifests.to_json(manifest)).hexdigest()[:40]


def _settings_of(path: Path, passphrase: bytes | None, database_url: str | None) -> str:
    """Return the text of ``oleada.toml``, the backup's first member if it has one."""
    text = ""
    for member in archive.read(path, passphrase):
        if member.name == _SETTINGS:
            text = b"".join(member.chunks()).decode()
        break
    if database_url is None:
        return text
    kept = [line for line in text.splitlines() if not line.startswith("database_url")]
    return "\n".join([*kept, settings.line("database_url", database_url), ""])


def _config(text: str) -> Config:
    """Return the settings in *text* and the environment.

    Raises:
        BadSettingError: one is unknown or wrong.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, settings.FILE_NAME).write_text(text)
        return settings.load(Path(folder))


def _check_directory(directory: Path, backup_id: str) -> bool:
    """Return whether a restore of this very backup was interrupted here."""
    marker = directory / MARKER
    if marker.exists():
        if marker.read_text().strip() == backup_id:
            return True
        raise NotEmptyError(
            f"A restore of another backup into {directory} was interrupted. Restore that one "
            "again, or empty the directory and its database."
        )
    if directory.exists() and not directory.is_dir():
        raise NotEmptyError(
            f"{directory} is a file; a restore fills an empty data directory. Set OLEADA_DATA_DIR "
            "to a directory; one that is missing is made."
        )
    if directory.exists() and (found := sorted({p.name for p in directory.iterdir()} - HARMLESS)):
        raise NotEmptyError(
            f"{directory} is not empty ({', '.join(found[:5])}); a restore fills an empty data "
            "directory. Move the old one aside, or set OLEADA_DATA_DIR to another."
        )
    return False


def _check_room(directory: Path, needed: int) -> None:
    """Refuse what would not fit: images, keys, and rows, which take about as much as here."""
    disk = next(place for place in (directory, *directory.resolve().parents) if place.exists())
    free = shutil.disk_usage(disk).free
    if free < needed:
        raise NoRoomToRestoreError(directory, needed, free)


def _check_database(config: Config, interrupted_id: str | None) -> bool:
    """Return whether the database holds all of the backup whose restore was interrupted."""
    url = sa.make_url(config.database)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return False
    engine = sa.create_engine(config.database)
    try:
        with engine.connect() as connection:
            names = set(sa.inspect(connection).get_table_names())
            if not names:
                return False
            if interrupted_id is not None and "counter" in names:
                counter = sa.table("counter", sa.column("name"))
                done = sa.select(counter.c.name).where(counter.c.name == f"{DONE}{interrupted_id}")
                if connection.scalar(done) is not None:
                    return True
    finally:
        engine.dispose()
    raise NotEmptyError(
        f"The database {url.render_as_string()} is not empty (it has "
        f"{len(names)} tables); a restore fills an empty one. Make a new database, and name it "
        "with --database-url."
    )


def _mark(directory: Path, backup_id: str) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    write_whole(directory / MARKER, f"{backup_id}\n".encode(), 0o600)
    sync_directory(directory.resolve().parent)


def _write_files(
    path: Path, passphrase: bytes | None, manifest: Manifest, config: Config, text: str
) -> None:
    """Write files and blobs, each checked once more against the manifest."""
    blobs = Blobs(config.blobs_dir)
    blobs.clear_incoming()
    wanted = {entry.name: entry for entry in manifest.entries}
    for member in archive.read(path, passphrase):
        if member.name.startswith(manifests.BLOBS):
            sha256 = member.name.removeprefix(manifests.BLOBS)
            try:
                with blobs.receive(member.chunks(), sha256, member.size_bytes) as image:
                    image.keep()
            except StorageFullError as error:
                free = shutil.disk_usage(config.blobs_dir).free
                raise NoRoomToRestoreError(config.blobs_dir, member.size_bytes, free) from error
        elif member.name.startswith(manifests.FILES):
            content = b"".join(member.chunks())
            if member.entry() != wanted.get(member.name):
                raise BadBackupError(f"{member.name} changed while the backup was read.")
            place = config.data_dir / member.name.removeprefix(manifests.FILES)
            _make_folders(config.data_dir, place.parent)
            write_whole(place, content, 0o600)
    write_whole(config.data_dir / settings.FILE_NAME, text.encode(), 0o600)


def _make_folders(directory: Path, folder: Path) -> None:
    for part in reversed([folder, *folder.parents]):
        if part.is_relative_to(directory) and not part.exists():
            part.mkdir(mode=0o700)
            sync_directory(part.parent)


def _load(
    connection: Connection,
    path: Path,
    passphrase: bytes | None,
    manifest: Manifest,
    backup_id: str,
) -> None:
    """Fill the tables of the backup's schema from it, parents before children."""
    found = tables.described(connection)
    wanted = {entry.name: entry for entry in manifest.entries}
    for member in archive.read(path, passphrase):
        if not member.name.startswith(manifests.TABLES):
            continue
        tables.load(connection, found, tables.split(member.chunks()))
        if member.entry() != wanted.get(member.name):
            raise BadBackupError(f"{member.name} changed while the backup was read.")
    for table in found:
        _follow(connection, table)
    counter = sa.table("counter", sa.column("name"), sa.column("value"))
    done = sa.delete(counter).where(counter.c.name.startswith(DONE))  # of an earlier restore
    connection.execute(done)
    connection.execute(sa.insert(counter).values(name=f"{DONE}{backup_id}", value=1))


def _follow(connection: Connection, table: sa.Table) -> None:
    """Let the numbers that the database gives go on after the rows that were loaded."""
    if connection.dialect.name != "postgresql":
        return  # SQLite looks at the rows
    for column in table.primary_key.columns:
        sequence = connection.scalar(
            sa.select(sa.func.pg_get_serial_sequence(f'"{table.name}"', column.name))
        )
        highest = connection.scalar(sa.select(sa.func.max(column))) if sequence else None
        if highest is not None:
            connection.execute(sa.select(sa.func.setval(sequence, highest)))
