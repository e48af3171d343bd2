"""Making a backup: one moment of the database, then the files that it needs.

The server may run meanwhile. The snapshot of the database is taken first; images that
it names are never deleted or changed, and keys and certificates only ever replaced
whole, so what is read after it fits it. Not in a backup, because a restored server
makes it again: the copy of the TUF metadata, the broker's configuration and store, logs.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, Final

import sqlalchemy as sa
from flask import Flask
from oleada_store.blobs import Blobs
from sqlalchemy import Connection, Engine, Table

from oleada_server import config as settings
from oleada_server import schema
from oleada_server.backup import archive, tables
from oleada_server.backup import manifest as manifests
from oleada_server.backup.manifest import Manifest
from oleada_server.config import Config
from oleada_server.db import db

UNFINISHED: Final = ".part"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one moment of the database held, with its tables in temporary files.

    Attributes:
        tables: Name in the backup and the open file of each, from its beginning.
        blobs: Digests of the images that releases name.
    """

    revision: str
    database: str
    tables: Sequence[tuple[str, IO[bytes]]]
    blobs: list[str]
    audit_head: str
    audit_entries: int


def make(app: Flask, path: Path, passphrase: bytes | None, now: datetime) -> Manifest:
    """Write a backup of the server of *app* to *path* and return its manifest.

    Args:
        app: With the settings and the database of the server; it may be running.
        path: A new file; appears when it is whole, readable by its owner only.
        passphrase: Encrypts the backup, which holds the server's online keys.
        now: Aware time, kept as that of the backup.

    Raises:
        BackupExistsError: *path* is there already.
        SchemaNotCurrentError: the database has no tables yet.
    """
    with app.app_context(), ExitStack() as files:
        config = settings.current()
        with archive.written(path, passphrase) as writer:
            taken = _snapshot(db.engine, config, files)
            for name, place in _files(config):
                with place.open("rb") as file:
                    writer.add(name, file, os.fstat(file.fileno()).st_size)
            lost = _add_blobs(writer, Blobs(config.blobs_dir), taken.blobs)
            for name, table in taken.tables:
                writer.add(name, table, os.fstat(table.fileno()).st_size)
            manifest = Manifest(
                format=manifests.FORMAT,
                made_at=now.isoformat(),
                version=version("oleada"),
                schema_revision=taken.revision,
                database=taken.database,
                audit_head=taken.audit_head,
                audit_entries=taken.audit_entries,
                lost_blobs=tuple(lost),
                entries=tuple(writer.entries),
            )
            writer.finish(manifest)
    return manifest


def _snapshot(engine: Engine, config: Config, files: ExitStack) -> Snapshot:
    with tables.snapshot(engine) as connection:
        revision = schema.revision_of(connection)
        if revision is None:
            raise schema.SchemaNotCurrentError(None, schema.head())
        found = tables.described(connection)
        written = []
        for table in found:
            # Beside the database, whose rows these are, and without a name.
            file = files.enter_context(tempfile.TemporaryFile(dir=config.data_dir))  # noqa: SIM115 - it is closed there
            file.writelines(tables.lines(connection, table))
            file.seek(0)
            written.append((f"{manifests.TABLES}{table.name}.jsonl", file))
        by_name = {table.name: table for table in found}
        head, entries = _audit(connection, by_name["audit_event"])
        return Snapshot(
            revision, engine.dialect.name, written, _blobs(connection, by_name), head, entries
        )


def _blobs(connection: Connection, found: dict[str, Table]) -> list[str]:
    """Return the digests of the images in the snapshot; none before the first revision with any."""
    if "release" not in found:
        return []
    digest = found["release"].c.sha256
    return list(connection.scalars(sa.select(digest).distinct().order_by(digest)))


def _audit(connection: Connection, events: Table) -> tuple[str, int]:
    newest = sa.select(events.c.entry_sha256).order_by(events.c.id.desc()).limit(1)
    entries = connection.scalar(sa.select(sa.func.count()).select_from(events))
    return connection.scalar(newest) or "", int(entries or 0)


def _files(config: Config) -> Iterator[tuple[str, Path]]:
    """Yield name in the backup and path of each file, the settings first."""
    if (path := config.data_dir / settings.FILE_NAME).exists():
        yield f"{manifests.FILES}{settings.FILE_NAME}", path
    for directory in (config.keys_dir, config.pki_dir):
        for path in sorted(directory.rglob("*")):
            if path.is_file() and path.suffix != UNFINISHED:
                yield f"{manifests.FILES}{path.relative_to(config.data_dir)}", path


def _add_blobs(writer: archive.Writer, blobs: Blobs, digests: list[str]) -> list[str]:
    """Add every blob; return those that are lost, for a backup is needed most on bad days."""
    lost = []
    for sha256 in digests:
        try:
            with blobs.open_range(sha256) as file:
                source: Any = file
                writer.add(f"{manifests.BLOBS}{sha256}", source, os.fstat(file.fileno()).st_size)
        except FileNotFoundError:
            lost.append(sha256)
    return lost
