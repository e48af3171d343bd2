"""Publishing: a bundle comes in as a stream and is a release, or leaves no trace.

Metadata is judged before the image is read, and once more under the lock before the
commit, since another release may have come in between. No transaction is open while
the image arrives, which may take minutes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from oleada_store import bundle, image_header, repository, signing, trust_files
from oleada_store.blobs import Incoming, hash_chunks
from oleada_store.errors import BadImageError, StoreError
from oleada_store.errors import ImageTooLargeError as ImageLargerError
from oleada_store.errors import StaleBaseError as BaseStaleError
from oleada_store.new_release import check_new
from oleada_store.repository import NewRelease
from oleada_store.trust_files import TrustedModel
from sqlalchemy import select
from tuf.api.metadata import Metadata, Targets

from oleada_server import config as settings
from oleada_server.audit import service as audit
from oleada_server.db import db, read_only
from oleada_server.live import service as live
from oleada_server.releases import disk, metadata, owners
from oleada_server.releases.errors import (
    MisnamedReleaseError,
    SecurityVersionError,
    VersionTakenError,
    WithdrawnReleaseError,
    refusal,
)
from oleada_server.releases.models import Release, ReleaseState


@dataclass(frozen=True, slots=True)
class Judged:
    """A bundle whose metadata may be published, or is already.

    Attributes:
        role: The model's next metadata, signed.
        known: The release, when this bundle was published before.
    """

    release: NewRelease
    role: Metadata[Targets]
    signed_by: list[str]
    known: Release | None


def check(stream: bundle.Readable, now: datetime) -> Judged:
    """Return what would be published of the bundle that begins in *stream*.

    Reads up to the image, so that a signer learns of a refusal before sending it.

    Raises:
        RefusedBundleError, ConflictError: as `publish`.
    """
    with _refusals():
        read_only()
        return _judge(bundle.Reader(stream).head(), now)


def publish(stream: bundle.Readable, actor: str, now: datetime) -> Release:
    """Publish the bundle in *stream*; the same bundle again changes nothing.

    Args:
        stream: The bytes of the bundle, read once, a megabyte at a time.
        actor: ``user:<name>``.
        now: Aware time of publication.

    Raises:
        RefusedBundleError: the bundle is not what it should be; a class per reason.
        StaleBaseError: it was built on metadata that is not the newest any more.
        VersionTakenError, WithdrawnReleaseError: this version is another release.
        TrustMissingError: no keys were installed yet.
    """
    reader = bundle.Reader(stream)
    with _refusals(), disk.uploading() as blobs:
        head = reader.head()
        read_only()
        judged = _judge(head, now)
        known = judged.known
        db.session.rollback()  # nothing waits for us while the image arrives
        wanted = judged.release
        if known is not None:
            _check_again(reader, wanted)
            return _again(wanted)
        disk.check_room(wanted.size_bytes)
        chunks = image_header.as_described(reader.image(), wanted.info, wanted.size_bytes)
        with blobs.receive(chunks, wanted.sha256, wanted.size_bytes) as image:
            _commit(head, image, actor, now)
    disk.copy_metadata()
    return _again(wanted)


def _judge(head: bundle.Head, now: datetime) -> Judged:
    """Return what *head* publishes, in the caller's transaction."""
    said = head.description
    model = said.hardware_model
    base = trust_files.trusted_model(metadata.published(), model, now)
    role = repository.read(Targets, head.metadata, model)
    repository.verify(base.targets, model, role, now)
    release = signing.statement(head).release
    signed_by = _signers(base, model, role)
    known = _known(release)
    if known is None:
        _check_base(said, release, base, role)
        _check_next(model, release, base, role)
        metadata.check_fits(model, head.metadata, now)
    return Judged(release, role, signed_by, known)


def _check_next(
    model: str, release: NewRelease, base: TrustedModel, role: Metadata[Targets]
) -> None:
    added = repository.added_release(model, base.role.signed, role.signed)
    if added != release:
        raise MisnamedReleaseError(
            f"The metadata adds {added.path}, but bundle.json speaks of {release.path}."
        )
    if (size_bytes_max := settings.current().image_bytes_max) < release.size_bytes:
        raise ImageLargerError(release.size_bytes, size_bytes_max)
    check_new(release.info)
    _check_security_version(model, release)


def _check_base(
    said: bundle.Description, release: NewRelease, base: TrustedModel, role: Metadata[Targets]
) -> None:
    built_on, newest = role.signed.version - 1, base.role.signed.version
    if built_on != newest:
        command = signing.repeat_command(said, release.info)
        raise BaseStaleError(said.hardware_model, built_on, newest, command)


def _check_security_version(model: str, release: NewRelease) -> None:
    query = select(Release).where(
        Release.hardware_model == model, Release.state == ReleaseState.PUBLISHED
    )
    highest = db.session.scalars(query.order_by(Release.security_version.desc()).limit(1)).first()
    if highest is not None and release.info.security_version < highest.security_version:
        raise SecurityVersionError(
            release.info.security_version, highest.security_version, highest.version
        )


def _known(release: NewRelease) -> Release | None:
    found = db.session.scalar(select(Release).where(Release.target_path == release.path))
    if found is None:
        return None
    if found.state == ReleaseState.WITHDRAWN:
        raise WithdrawnReleaseError(release.path)
    if _description(found) != _fields(release):
        raise VersionTakenError(release.path)
    return found


def _fields(release: NewRelease) -> dict[str, object]:
    info = release.info
    return {
        "hardware_model": info.hardware_models[0],
        "version": info.version,
        "security_version": info.security_version,
        "min_version": info.min_version,
        "target_path": release.path,
        "sha256": release.sha256,
        "size_bytes": release.size_bytes,
        "provides": list(info.provides),
        "depends": list(info.depends) if info.depends else None,
        "must_pass": bool(info.must_pass),
        "fixes": list(info.fixes),
        "notes": dict(info.notes),
    }


def _description(row: Release) -> dict[str, object]:
    return {
        name: getattr(row, name)
        for name in (
            "hardware_model",
            "version",
            "security_version",
            "min_version",
            "target_path",
            "sha256",
            "size_bytes",
            "provides",
            "depends",
            "must_pass",
            "fixes",
            "notes",
        )
    }


def _signers(base: TrustedModel, model: str, role: Metadata[Targets]) -> list[str]:
    result = base.targets.get_verification_result(model, role.signed_bytes, role.signatures)
    return sorted(result.signed)


def _check_again(reader: bundle.Reader, wanted: NewRelease) -> None:
    """Read the image of a bundle that is published already, so that damage is still told."""
    sha256, _ = hash_chunks(reader.image())
    if sha256 != wanted.sha256:
        raise BadImageError(f"The image has SHA-256 {sha256}; {wanted.sha256} was signed.")


def _again(wanted: NewRelease) -> Release:
    read_only()
    found = _known(wanted)
    assert found is not None  # noqa: S101 - releases are never deleted
    return found


def _commit(head: bundle.Head, image: Incoming, actor: str, now: datetime) -> None:
    metadata.lock()
    judged = _judge(head, now)
    if judged.known is not None:  # somebody sent the same bundle meanwhile
        db.session.rollback()
        return
    already = image.store.path(image.sha256).exists()
    image.keep()
    try:
        _record(judged, head, actor, now)
        db.session.commit()
    except BaseException:
        db.session.rollback()
        if not already:
            image.store.delete(image.sha256)
        raise


def _record(judged: Judged, head: bundle.Head, actor: str, now: datetime) -> None:
    release = Release(
        **_fields(judged.release),
        signed_by=judged.signed_by,
        state=ReleaseState.PUBLISHED,
        published_at=now,
        published_by=actor,
    )
    owners.demand_two_owners(judged.signed_by)
    db.session.add(release)
    model = head.description.hardware_model
    metadata.add(model, judged.role.signed.version, head.metadata)
    metadata.sign_snapshot(now)
    metadata.queue_meta(now)
    after = {"sha256": release.sha256, "security_version": release.security_version}
    audit.record(actor, "release.publish", release.target_path, now=now, after=after)
    live.touch("releases", now)


@contextmanager
def _refusals() -> Iterator[None]:
    """Say refusals of the store as the server's own errors."""
    try:
        yield
    except StoreError as error:
        db.session.rollback()
        raise refusal(error) from error
    except BaseException:
        db.session.rollback()
        raise
