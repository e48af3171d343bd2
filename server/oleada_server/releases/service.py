"""Releases: what the desk, the scheduler and other features may ask of them.

`publish` and `install_trust` live in modules of their own and are offered here.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import Select, case, select, update

from oleada_server.audit import service as audit
from oleada_server.db import db, read_only
from oleada_server.errors import BadInputError
from oleada_server.live import service as live
from oleada_server.releases import disk, metadata
from oleada_server.releases.denying import queue_deny
from oleada_server.releases.errors import (
    ArtifactNotFoundError,
    ArtifactWithdrawnError,
    ReleaseNotFoundError,
)
from oleada_server.releases.metadata import expiries, tuf_file
from oleada_server.releases.models import DenyList, Release, ReleaseState
from oleada_server.releases.publishing import Judged, check, publish
from oleada_server.releases.trust import install_trust

__all__ = [
    "Judged",
    "artifact_path",
    "check",
    "expiries",
    "get",
    "install_trust",
    "list_releases",
    "publish",
    "record_restore",
    "recover",
    "refresh_online_metadata",
    "tuf_file",
    "withdraw",
]

log = logging.getLogger(__name__)


def list_releases(hardware_model: str | None = None) -> Sequence[Release]:
    """Return all releases, or those of one model, newest first."""
    query = select(Release).order_by(Release.published_at.desc(), Release.id.desc())
    if hardware_model is not None:
        query = query.where(Release.hardware_model == hardware_model)
    return db.session.scalars(query).all()


def get(hardware_model: str, version: str) -> Release:
    """Return one release.

    Raises:
        ReleaseNotFoundError: there is no such release.
    """
    found = db.session.scalar(_named(hardware_model, version))
    if found is None:
        raise ReleaseNotFoundError(hardware_model, version)
    return found


def artifact_path(sha256: str) -> Path:
    """Return the file of the image with digest *sha256*.

    Raises:
        ArtifactNotFoundError: no release has it, or the file is lost.
        ArtifactWithdrawnError: every release that has it was withdrawn.
    """
    states = set(db.session.scalars(select(Release.state).where(Release.sha256 == sha256)))
    if not states:
        raise ArtifactNotFoundError(f"No release has an image with SHA-256 {sha256[:80]!r}.")
    if ReleaseState.PUBLISHED not in states:
        raise ArtifactWithdrawnError("Every release with this image was withdrawn.")
    path = disk.blobs().path(sha256)
    if not path.exists():
        log.error("the image of a published release is lost: %s", path)
        raise ArtifactNotFoundError("The image is lost on this server; put the backup back.")
    return path


def withdraw(hardware_model: str, version: str, reason: str, actor: str, now: datetime) -> Release:
    """Withdraw a release: no box may install it from now on; twice is as good as once.

    Signs the model's next deny list, stops rollouts of the release, and never comes back.

    Raises:
        ReleaseNotFoundError: there is no such release.
        BadInputError: no reason is given.
    """
    if not reason.strip():
        raise BadInputError("Say why the release is withdrawn; the reason is kept.", "reason")
    db.session.rollback()
    release = db.session.scalar(_named(hardware_model, version).with_for_update())
    if release is None:
        raise ReleaseNotFoundError(hardware_model, version)
    if release.state != ReleaseState.WITHDRAWN:
        release.state = ReleaseState.WITHDRAWN
        release.withdrawn_at = now
        release.withdrawn_reason = reason
        db.session.flush()
        queue_deny(hardware_model, now)
        _stop_rollouts(release.id, f"release {version} was withdrawn: {reason}", now)
        audit.record(actor, "release.withdraw", release.target_path, now=now, reason=reason)
        live.touch("releases", now)
    db.session.commit()
    return release


def refresh_online_metadata(now: datetime) -> bool:
    """Sign timestamp and snapshot again before they expire; return whether it was time.

    They are signed anew when half of their life is over, so that a server that was off
    for a night does not leave boxes with metadata that has expired.
    """
    read_only()
    due, is_behind = any(metadata.is_due(now)), disk.is_behind()
    db.session.rollback()
    if is_behind:  # there was no room for it
        disk.copy_metadata()
    if not due:
        return False
    metadata.lock()
    snapshot_due, timestamp_due = metadata.is_due(now)  # another process may have been first
    if snapshot_due:
        metadata.sign_snapshot(now)
    elif timestamp_due:
        metadata.sign_timestamp(now)
    else:
        db.session.rollback()
        return False
    metadata.queue_meta(now)
    db.session.commit()
    disk.copy_metadata()
    return True


def recover(now: datetime) -> list[str]:
    """Put the disk in step with the database after a process was killed.

    Removes images that no release names and writes the copy of the metadata again; call
    it when the server starts.

    Returns:
        The digests of published releases whose image is lost; normally none.
    """
    for sha256 in disk.sweep():
        log.warning("removed an image that no release names: %s", sha256)
    disk.copy_metadata()
    refresh_online_metadata(now)
    read_only()
    published = select(Release.sha256).where(Release.state == ReleaseState.PUBLISHED)
    digests = set(db.session.scalars(published))
    db.session.rollback()
    blobs = disk.blobs()
    lost = sorted(sha256 for sha256 in digests if not blobs.path(sha256).exists())
    for sha256 in lost:
        log.error("the image of a published release is lost: %s", sha256)
    return lost


def record_restore(metadata_version: int, deny_version: int, now: datetime) -> None:
    """Sign online metadata and deny lists under numbers above all that boxes have seen.

    Part of the caller's transaction. A model's own metadata is signed offline: where it is
    older than what a box has trusted, the box waits until the newer one is published again.
    """
    if "root" in metadata.current():
        metadata.lock()
        metadata.sign_snapshot(now, metadata_version)
        metadata.queue_meta(now)
    higher = case((DenyList.deny_version < deny_version, deny_version), else_=DenyList.deny_version)
    db.session.execute(update(DenyList).values(deny_version=higher))
    for name in db.session.scalars(select(DenyList.hardware_model)).all():
        queue_deny(name, now)


def _named(hardware_model: str, version: str) -> Select[Release]:
    return select(Release).where(
        Release.hardware_model == hardware_model, Release.version == version
    )


def _stop_rollouts(release_id: int, reason: str, now: datetime) -> None:
    # imported here: rollouts are built on releases, and only this one word goes back
    from oleada_server.rollouts import service as rollouts  # noqa: PLC0415

    rollouts.queue_stop_for_release(release_id, reason, now)
