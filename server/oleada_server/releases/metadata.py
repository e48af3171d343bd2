"""The TUF metadata that the server publishes: rows first, files on disk as a copy.

Rows belong to the transaction of the release they describe, so that a killed process
leaves the old state or the new one (ADR 0010). Only snapshot and timestamp are signed
here; everything else was signed offline and is kept as the bytes that came.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from oleada_store import keys, repository, roles
from oleada_store.errors import KeyFileError
from oleada_store.repository import OnlineSigners
from oleada_store.trust_files import TrustFiles
from oleada_wire import messages, topics
from oleada_wire.ids import BootId
from oleada_wire.messages import Header, Meta
from sqlalchemy import delete, func, select
from tuf.api.metadata import Metadata, Snapshot, Targets, Timestamp

from oleada_server import config as settings
from oleada_server.audit import heads
from oleada_server.clock import to_ms
from oleada_server.db import db
from oleada_server.messaging import service as messaging
from oleada_server.messaging.service import NoOnlineKeyError
from oleada_server.releases.errors import (
    MetadataTooLargeError,
    TrustMissingError,
    TufFileNotFoundError,
)
from oleada_server.releases.models import TufFile

META_BYTES_MAX: Final = messages.DOWN_BYTES_MAX - 4096
"""What a box takes in one message, less room for the topic and its properties."""
ONLINE_GROWTH_BYTES: Final = 3584
"""Room for snapshot and timestamp to name a few more models, and for a head of the audit trail."""
VERSIONS_KEPT: Final = 16
"""Of each role but root: a client that began with an older timestamp still ends well."""

_FILE_NAME: Final = re.compile(r"(?:([1-9][0-9]{0,17})\.)?([A-Za-z0-9-]{1,40})\.json")


def current() -> dict[str, TufFile]:
    """Return the newest version of each metadata file, by role; empty before the first install."""
    newest = select(TufFile.name, func.max(TufFile.version).label("version"))
    latest = newest.group_by(TufFile.name).subquery()
    query = select(TufFile).join(
        latest, (TufFile.name == latest.c.name) & (TufFile.version == latest.c.version)
    )
    return {row.name: row for row in db.session.scalars(query)}


def expiries() -> dict[str, datetime]:
    """Return when each role that is published now expires; part of the caller's read."""
    found = {}
    for name, row in current().items():
        said = json.loads(row.body)["signed"]["expires"]
        found[name] = datetime.fromisoformat(said)
    return found


def roots() -> list[bytes]:
    """Return the chain of roots, oldest first."""
    query = select(TufFile.body).where(TufFile.name == "root").order_by(TufFile.version)
    return list(db.session.scalars(query))


def lock() -> None:
    """Let no other transaction change metadata before this one ends.

    Raises:
        TrustMissingError: there is none yet.
    """
    first = select(TufFile).where(TufFile.name == "root", TufFile.version == 1)
    if db.session.scalar(first.with_for_update()) is None:
        raise TrustMissingError


def published() -> TrustFiles:
    """Return the offline-signed files that are published now.

    Raises:
        TrustMissingError: there are none yet.
    """
    found = current()
    if "root" not in found:
        raise TrustMissingError
    models = {
        name: row.body
        for name, row in found.items()
        if name not in {"root", "targets", "snapshot", "timestamp"}
    }
    return TrustFiles(tuple(roots()), found["targets"].body, models)


def tuf_file(name: str) -> bytes:
    """Return metadata file *name*: ``timestamp.json``, or ``3.VX-410.json`` for a version.

    Raises:
        TufFileNotFoundError: there is none of this name.
    """
    match = _FILE_NAME.fullmatch(name)
    query = select(TufFile.body).where(TufFile.name == (match[2] if match else ""))
    if match and match[1]:
        query = query.where(TufFile.version == int(match[1]))
    body = db.session.scalar(query.order_by(TufFile.version.desc()).limit(1))
    if body is None:
        raise TufFileNotFoundError(
            f"There is no metadata file {name[:80]!r}; begin with timestamp.json."
        )
    return body


def add(name: str, version: int, body: bytes) -> None:
    """Add a file in the caller's transaction; old versions but roots are forgotten."""
    db.session.add(TufFile(name=name, version=version, body=body))
    db.session.flush()
    if name != "root":
        old = (TufFile.name == name) & (TufFile.version <= version - VERSIONS_KEPT)
        db.session.execute(delete(TufFile).where(old))


def sign_snapshot(now: datetime, at_least: int = 1) -> None:
    """Sign a new snapshot and timestamp over the current files, in the caller's transaction.

    Their versions are *at_least* that number.
    """
    found = current()
    versions = {
        name: row.version
        for name, row in found.items()
        if name not in {"root", "snapshot", "timestamp"}
    }
    version = max(at_least, found["snapshot"].version + 1 if "snapshot" in found else 1)
    add("snapshot", version, repository.sign_snapshot(online_signers(), version, versions, now))
    sign_timestamp(now, at_least)


def sign_timestamp(now: datetime, at_least: int = 1) -> None:
    """Sign a new timestamp over the current snapshot, in the caller's transaction."""
    found = current()
    snapshot = found["snapshot"]
    version = max(at_least, found["timestamp"].version + 1 if "timestamp" in found else 1)
    body = repository.sign_timestamp(
        online_signers(), version, snapshot.body, snapshot.version, now
    )
    add("timestamp", version, body)


def is_due(now: datetime) -> tuple[bool, bool]:
    """Return whether snapshot and timestamp have half of their life behind them at *now*."""
    found = current()
    if "timestamp" not in found:
        return False, False
    snapshot: Metadata[Snapshot] = repository.read(Snapshot, found["snapshot"].body, "snapshot")
    timestamp: Metadata[Timestamp] = repository.read(
        Timestamp, found["timestamp"].body, "timestamp"
    )
    return (
        snapshot.signed.expires - now < roles.SNAPSHOT_VALID / 2,
        timestamp.signed.expires - now < roles.TIMESTAMP_VALID / 2,
    )


def queue_meta(now: datetime) -> None:
    """Queue the metadata of every model for its boxes, in the caller's transaction.

    The newest signed head of the audit trail rides along, the same for every box.

    Raises:
        MetadataTooLargeError: it does not fit into one message.
    """
    found = {name: row.body for name, row in current().items()}
    chain = roots()
    targets = repository.read(Targets, found["targets"], "targets")
    queued: list[messaging.Queued] = []
    head = heads.newest()
    for model in repository.model_names(targets.signed):
        files = _files_for(model, found, chain)
        meta = Meta(messaging.next_header(now), files, head.envelope if head else None)
        payload = messages.encode(meta)
        _check_fits(len(payload))
        queued.append((topics.model(model, topics.Model.META), payload, None))
    messaging.queue_retained_many(queued)


def check_fits(hardware_model: str, role: bytes, now: datetime) -> None:
    """Check that boxes of *hardware_model* could still receive its metadata with *role*.

    Raises:
        MetadataTooLargeError: they could not.
    """
    found = {name: row.body for name, row in current().items()}
    files = _files_for(hardware_model, {**found, hardware_model: role}, roots())
    # Not next_header: it may count this process's start, and a check writes nothing.
    header = Header("0" * 32, to_ms(now), BootId(0, "0" * 8), 1)
    _check_fits(len(messages.encode(Meta(header, files))) + ONLINE_GROWTH_BYTES)


def online_signers() -> OnlineSigners:
    """Return the server's own two TUF keys.

    Raises:
        NoOnlineKeyError: a key file is missing, damaged or readable by others.
    """
    folder = settings.current().keys_dir
    try:
        return OnlineSigners(
            *(
                keys.tuf_signer(keys.read_online(folder / f"{role}.pem"))
                for role in ("snapshot", "timestamp")
            )
        )
    except KeyFileError as error:
        raise NoOnlineKeyError(str(error)) from error


def file_names(rows: Iterable[TufFile]) -> dict[str, bytes]:
    """Return the files that *rows* are on disk: each version, and the newest plainly."""
    files: dict[str, bytes] = {}
    for row in sorted(rows, key=lambda row: row.version):
        files[f"{row.version}.{row.name}.json"] = row.body
        files[f"{row.name}.json"] = row.body
    return files


def _files_for(model: str, found: Mapping[str, bytes], chain: list[bytes]) -> dict[str, str]:
    names = ["timestamp", "snapshot", "targets", model]
    files = {f"{name}.json": found[name].decode() for name in names if name in found}
    return files | {f"{i}.root.json": body.decode() for i, body in enumerate(chain, 1)}


def _check_fits(size_bytes: int) -> None:
    if size_bytes > META_BYTES_MAX:
        raise MetadataTooLargeError(size_bytes, META_BYTES_MAX)
