"""Files that boxes upload: only what an action asked for, once, bounded, and not for ever.

``PUT /device/v1/uploads/<order>/<name>`` of the device door, with the box's certificate.
The bytes lie in ``uploads/<order>/<name>`` of the data directory; the row comes last, so a
file without one is what an upload that was cut has left, and is cleared away.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Final

from oleada_wire import actions as wire
from oleada_wire.action_table import TABLE
from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError

from oleada_server import config as settings
from oleada_server.actions import rules, service
from oleada_server.actions.errors import (
    ActionNotFoundError,
    NoRoomForUploadsError,
    UploadRefusedError,
    UploadTooLargeError,
)
from oleada_server.actions.models import ActionFile, ActionOrder
from oleada_server.db import db
from oleada_server.live import service as live

KEEP: Final = timedelta(days=14)
"""So long a file of a home is kept: a case has been dealt with by then."""
HALF_DONE: Final = timedelta(days=1)
"""An upload that was cut is not gone on with after so long."""
ALL_BYTES_MAX: Final = 2 * 1024**3
"""Of all files together; boxes that all upload at once must not fill the server's disk."""
CHUNK_BYTES: Final = 64 * 1024


def keep(
    device_id: str, order_id: str, name: str, stream: IO[bytes], *, size_bytes: int, now: datetime
) -> ActionFile:
    """Keep file *name* of an order, read from *stream*; commits.

    Raises:
        UploadRefusedError: Nobody has asked this box for it, it is there, or it is too late.
        UploadTooLargeError: It is not as long as it says.
        NoRoomForUploadsError: Everything that boxes uploaded is as much as may lie here.
    """
    db.session.rollback()
    _demand_asked(device_id, order_id, name, now)
    _demand_room(size_bytes)
    db.session.rollback()  # no transaction is held while a box takes its time
    folder = settings.current().data_dir / "uploads" / order_id
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    half = folder / f".{name}.{secrets.token_hex(4)}"
    try:
        digest = _copy(stream, half, size_bytes)
        made = ActionFile(
            order_id=order_id, name=name, size_bytes=size_bytes, sha256=digest, uploaded_at=now
        )
        db.session.add(made)
        live.touch(f"device:{device_id}", now)
        db.session.flush()  # of two at once, one ends here, before it could replace the other
        half.rename(folder / name)
        db.session.commit()
    except IntegrityError as error:
        db.session.rollback()
        raise UploadRefusedError(f"{name} of action {order_id} is there already.") from error
    finally:
        half.unlink(missing_ok=True)
    return made


def path_of(order_id: str, name: str) -> Path:
    """Return where file *name* of an order lies.

    Raises:
        ActionNotFoundError: It is not there, or not any more.
    """
    found = db.session.get(ActionFile, (order_id, name))
    path = settings.current().data_dir / "uploads" / order_id / name
    if found is None or not path.is_file():
        raise ActionNotFoundError(f"file {name} of action {order_id}; it may be too old")
    return path


def prune(now: datetime) -> int:
    """Delete files that are old, and what uploads that were cut have left; return how many."""
    old = select(ActionFile).where(ActionFile.uploaded_at < now - KEEP)
    gone = [(one.order_id, one.name) for one in db.session.scalars(old)]
    home = settings.current().data_dir / "uploads"
    for order_id, name in gone:
        (home / order_id / name).unlink(missing_ok=True)
        db.session.execute(
            delete(ActionFile).where(ActionFile.order_id == order_id, ActionFile.name == name)
        )
    db.session.commit()
    named = set(db.session.scalars(select(ActionFile.order_id)))
    db.session.rollback()
    for folder in _folders(home):
        if folder.name not in named and _age(folder, now) > HALF_DONE:
            shutil.rmtree(folder, ignore_errors=True)
    return len(gone)


def _demand_asked(device_id: str, order_id: str, name: str, now: datetime) -> None:
    found = db.session.get(ActionOrder, order_id)
    if found is None or found.device_id != device_id:
        raise UploadRefusedError(f"Nobody has asked this box for action {order_id[:40]}.")
    action = wire.find(TABLE, found.action)
    if action is None or name not in action.files:
        raise UploadRefusedError(f"{found.action} uploads no file {name[:40]!r}.")
    if found.status is not None or now > rules.last_word_at(found.expires_at, found.timeout_ms):
        raise UploadRefusedError(f"Action {order_id} is over: {service.state_of(found, now)}.")
    if db.session.get(ActionFile, (order_id, name)) is not None:
        raise UploadRefusedError(f"{name} of action {order_id} is there already.")


def _demand_room(size_bytes: int) -> None:
    """Let a file pass if all files together, and the disk, have room for it."""
    there = int(db.session.scalar(select(func.coalesce(func.sum(ActionFile.size_bytes), 0))) or 0)
    config = settings.current()
    disk = os.statvfs(config.data_dir)
    free = disk.f_bavail * disk.f_frsize - config.disk_keep_bytes
    if there + size_bytes > ALL_BYTES_MAX or size_bytes > free:
        raise NoRoomForUploadsError(
            f"Files of boxes take {there} of {ALL_BYTES_MAX} bytes, and {max(free, 0)} are free on "
            "the disk; old ones go by themselves after two weeks."
        )


def _copy(stream: IO[bytes], path: Path, size_bytes: int) -> str:
    """Write *size_bytes* of *stream* to *path*, durably; return their digest."""
    digest, left = hashlib.sha256(), size_bytes
    with path.open("xb") as file:
        while left:
            data = stream.read(min(CHUNK_BYTES, left))
            if not data:
                raise UploadTooLargeError(f"It ended {left} bytes before its Content-Length.")
            left -= len(data)
            digest.update(data)
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _folders(home: Path) -> Iterator[Path]:
    return iter(sorted(home.iterdir())) if home.is_dir() else iter(())


def _age(folder: Path, now: datetime) -> timedelta:
    return now - datetime.fromtimestamp(folder.stat().st_mtime, now.tzinfo)
