"""What releases leave on disk: images, the copy of the metadata, and the lock between them.

Both can be made again from the database; `recover` does so after a process was killed.
"""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from oleada_store.blobs import Blobs
from oleada_store.files import write_whole
from sqlalchemy import select

from oleada_server import config as settings
from oleada_server import outage
from oleada_server.db import db, read_only
from oleada_server.releases import metadata
from oleada_server.releases.errors import NoRoomError
from oleada_server.releases.models import Release, TufFile

log = logging.getLogger(__name__)

_UPLOADS: Final = ".uploads.lock"
_COPY: Final = ".copy.lock"


def blobs() -> Blobs:
    """Return the store of images."""
    return Blobs(settings.current().blobs_dir)


@contextmanager
def uploading() -> Iterator[Blobs]:
    """Yield the blobs while nobody may clear away what is not named by a release yet."""
    store = blobs()
    with _locked(store.directory / _UPLOADS, fcntl.LOCK_SH):
        yield store


def sweep() -> list[str]:
    """Remove images that no release names, and what was half written; return their digests.

    Does nothing while an upload is on its way: that one may be about to name them. The
    lock ends with its process, so a killed upload does not block this.
    """
    store = blobs()
    try:
        with _locked(store.directory / _UPLOADS, fcntl.LOCK_EX | fcntl.LOCK_NB):
            read_only()
            named = set(db.session.scalars(select(Release.sha256)))
            db.session.rollback()
            orphans = [sha256 for sha256 in store.digests() if sha256 not in named]
            for sha256 in orphans:
                store.delete(sha256)
            store.clear_incoming()
            return orphans
    except BlockingIOError:
        return []


def check_room(size_bytes: int) -> None:
    """Check that an image of *size_bytes* leaves the database the room it needs to go on.

    Raises:
        NoRoomError: it does not.
    """
    config = settings.current()
    found = os.statvfs(blobs().directory)
    free_bytes = found.f_bavail * found.f_frsize
    if free_bytes - size_bytes < config.disk_keep_bytes:
        raise NoRoomError(
            f"There is no room for an image of {size_bytes} bytes in {config.blobs_dir}: "
            f"{free_bytes} are free, of which {config.disk_keep_bytes} are kept for the database "
            "(disk_keep_bytes). Make room, then send the bundle again."
        )


def copy_metadata() -> bool:
    """Bring the copy in step, or say that there is no room; return whether it is in step.

    The rows count, the copy is for signers on this machine: it can wait for room.
    """
    try:
        _copy_metadata()
    except OSError as error:
        if outage.meaning(error) is None:
            raise
        log.error("the copy of the metadata waits for room on the disk: %s", error.strerror)
        return False
    return True


def is_behind() -> bool:
    """Return whether the copy is not what is published; part of the caller's transaction."""
    newest = metadata.current().get("timestamp")
    path = settings.current().tuf_dir / "timestamp.json"
    return newest is not None and (not path.exists() or path.read_bytes() != newest.body)


def _copy_metadata() -> None:
    """Write the published metadata into the ``tuf`` directory, the timestamp last.

    A reader of the directory sees the old state or the new one: what the old timestamp
    names stays until the new one is there.
    """
    folder = settings.current().tuf_dir
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / _COPY, fcntl.LOCK_EX):
        read_only()
        files = metadata.file_names(db.session.scalars(select(TufFile)))
        db.session.rollback()
        for name in sorted(files, key=lambda name: (name == "timestamp.json", name)):
            _write_changed(folder / name, files[name])
        for path in folder.glob("*.json"):
            if path.name not in files:
                path.unlink(missing_ok=True)


def _write_changed(path: Path, content: bytes) -> None:
    if not path.exists() or path.read_bytes() != content:
        write_whole(path, content)


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, how)
        yield
    finally:
        os.close(handle)
