"""TUF metadata as values: read, verified by who delegates, and built on what is published.

No disk and no clock in here: bytes and *now* come in, metadata or an error comes out.
python-tuf does the cryptography and the format; this module adds our own policy.
Source: TUF specification 1.0; trust design 1.2 for the attacks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from oleada_wire import canonical
from oleada_wire.errors import MalformedMessageError, WireError
from oleada_wire.release import ReleaseInfo, parse_target_path, target_path
from securesystemslib.signer import Signer
from tuf.api.exceptions import RepositoryError, UnsignedMetadataError
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from oleada_store import roles
from oleada_store.errors import (
    BadMetadataError,
    ExpiredMetadataError,
    MisnamedReleaseError,
    NotSignedError,
    UnexpectedChangeError,
    UnknownModelError,
)

METADATA_BYTES_MAX: Final = 512 * 1024
ROOTS_MAX: Final = 256

S = TypeVar("S", Root, Targets, Snapshot, Timestamp)
Role = Root | Targets | Snapshot | Timestamp


@dataclass(frozen=True, slots=True)
class NewRelease:
    """The one release that a version of a model's role adds."""

    path: str
    size_bytes: int
    sha256: str
    info: ReleaseInfo


@dataclass(frozen=True, slots=True)
class OnlineSigners:
    """The server's two TUF keys."""

    snapshot: Signer
    timestamp: Signer


def read(shape: type[S], data: bytes, name: str) -> Metadata[S]:
    """Return the metadata of *shape* in *data*; nothing is verified yet.

    Raises:
        BadMetadataError: *data* is not strict JSON, or not metadata of this role.
    """
    try:
        canonical.loads(data, name, METADATA_BYTES_MAX)
        metadata = Metadata[S].from_bytes(data)
    except (WireError, RepositoryError, ValueError) as error:
        raise BadMetadataError(f"{name} is not TUF metadata: {error}") from error
    if not isinstance(metadata.signed, shape):
        raise BadMetadataError(
            f"{name} is metadata of type {metadata.signed.type!r}; {shape.type!r} was expected."
        )
    return metadata


def write(metadata: Metadata[S]) -> bytes:
    """Return the bytes that are stored and sent for *metadata*."""
    return metadata.to_bytes(JSONSerializer(compact=True))


def verify(delegator: Root | Targets, role: str, metadata: Metadata[S], now: datetime) -> None:
    """Check that *delegator* lets the signers of *metadata* speak as *role*, at *now*.

    Raises:
        NotSignedError: fewer than the threshold of the role's keys sign it.
        ExpiredMetadataError: it is signed, but its time is over.
    """
    verify_signatures(delegator, role, metadata)
    if metadata.signed.is_expired(now):
        raise ExpiredMetadataError(
            f"The metadata of {role!r} was valid until {metadata.signed.expires:%Y-%m-%d %H:%M} "
            "UTC. Sign a new version with the offline keys (oleada keys renew)."
        )


def verify_signatures(delegator: Root | Targets, role: str, metadata: Metadata[S]) -> None:
    """As `verify`, without looking at the clock: an old root may have expired.

    Raises:
        NotSignedError: fewer than the threshold of the role's keys sign it.
    """
    try:
        delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except UnsignedMetadataError as error:
        result = delegator.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
        command = "oleada keys sign" if role in ("root", "targets") else "oleada release sign"
        raise NotSignedError(
            f"The metadata of {role!r} carries {len(result.signed)} of the {result.threshold} "
            f"signatures it needs from the role's keys. Sign it with: {command}"
        ) from error
    except ValueError as error:
        raise NotSignedError(f"Nobody is named who may sign for {role!r}.") from error


def verify_roots(chain: Sequence[bytes], now: datetime) -> Metadata[Root]:
    """Return the newest root of *chain*, each signed by its predecessor and by itself.

    The first is trusted because somebody carried it here; only the last must not have
    expired (specification 5.3.10).

    Raises:
        BadMetadataError: empty, too long, a gap in the versions, or badly signed.
    """
    if not 1 <= len(chain) <= ROOTS_MAX:
        raise BadMetadataError(f"A chain of 1 to {ROOTS_MAX} roots is needed, not {len(chain)}.")
    trusted: Metadata[Root] | None = None
    for data in chain:
        root = read(Root, data, "root")
        if trusted is not None:
            if root.signed.version != trusted.signed.version + 1:
                raise BadMetadataError(
                    f"Root {trusted.signed.version} is followed by root {root.signed.version}; "
                    f"{trusted.signed.version + 1} was expected."
                )
            verify_signatures(trusted.signed, "root", root)
        verify_signatures(root.signed, "root", root)
        if root.signed.roles["root"].threshold < roles.ROOT_THRESHOLD:
            raise BadMetadataError(
                f"Root {root.signed.version} needs only {root.signed.roles['root'].threshold} "
                f"signature; boxes refuse fewer than {roles.ROOT_THRESHOLD}."
            )
        trusted = root
    assert trusted is not None  # noqa: S101 - the chain is not empty
    verify(trusted.signed, "root", trusted, now)
    return trusted


def model_names(targets: Targets) -> list[str]:
    """Return the hardware models that *targets* delegates, sorted."""
    delegated = targets.delegations.roles if targets.delegations else None
    return sorted(set(delegated or {}) - set(roles.ENVELOPE_ROLES))


def require_model(targets: Targets, hardware_model: str) -> None:
    """Check that *targets* delegates *hardware_model*.

    Raises:
        UnknownModelError: it does not.
    """
    known = model_names(targets)
    if hardware_model not in known:
        raise UnknownModelError(hardware_model, known)


def with_release(
    base: Metadata[Targets], release: NewRelease, expires: datetime
) -> Metadata[Targets]:
    """Return the next version of model role *base*, unsigned, with *release* added.

    Raises:
        UnexpectedChangeError: *base* already holds a release of this path.
    """
    if release.path in base.signed.targets:
        raise UnexpectedChangeError(
            f"{release.path} is already published; a release is never replaced. "
            "Give the image a new version."
        )
    added = TargetFile(
        release.size_bytes,
        {"sha256": release.sha256},
        release.path,
        {"custom": release.info.to_custom()},
    )
    return Metadata(
        Targets(
            version=base.signed.version + 1,
            expires=roles.whole_seconds(expires),
            targets={**base.signed.targets, release.path: added},
        )
    )


def added_release(role: str, old: Targets, new: Targets) -> NewRelease:
    """Return the one release that *new* adds to *old*.

    Raises:
        UnexpectedChangeError: *new* adds none or several, or changes anything else.
        MisnamedReleaseError: its path, model and version do not agree.
    """
    if new.delegations is not None or new.unrecognized_fields:
        raise UnexpectedChangeError(f"The metadata of {role!r} may hold releases and nothing else.")
    for path, target in old.targets.items():
        if new.targets.get(path) != target:
            raise UnexpectedChangeError(
                f"{path} is published, but the bundle removes or changes it. "
                "Build the bundle again on the published base."
            )
    added = sorted(set(new.targets) - set(old.targets))
    if len(added) != 1:
        raise UnexpectedChangeError(
            f"The bundle adds {len(added)} releases to {role!r}; exactly one is expected."
        )
    return describe(role, new.targets[added[0]])


def describe(role: str, target: TargetFile) -> NewRelease:
    """Return what *target* of model *role* says, once all of it agrees.

    Raises:
        MisnamedReleaseError: path, model, version or hash are missing or do not agree.
    """
    try:
        hardware_model, version = parse_target_path(target.path)
        info = ReleaseInfo.from_custom(target.custom)
    except MalformedMessageError as error:
        raise MisnamedReleaseError(str(error)) from error
    if hardware_model != role or info.hardware_models[0] != role:
        raise MisnamedReleaseError(
            f"{target.path} names model {info.hardware_models[0]!r}, but {role!r} signs it."
        )
    if version != info.version or target.path != target_path(role, info.version):
        raise MisnamedReleaseError(
            f"{target.path} says version {version}, its description {info.version}."
        )
    sha256 = target.hashes.get("sha256", "")
    if set(target.hashes) != {"sha256"} or len(sha256) != 64 or not _is_hex(sha256):
        raise MisnamedReleaseError(f"{target.path} needs a SHA-256, and no other hash.")
    if target.length < 1:
        raise MisnamedReleaseError(f"{target.path} says its image has {target.length} bytes.")
    return NewRelease(target.path, target.length, sha256, info)


def sign_snapshot(
    signers: OnlineSigners, version: int, versions: Mapping[str, int], now: datetime
) -> bytes:
    """Return snapshot *version*, naming the *versions* of targets and each model's role."""
    snapshot = Snapshot(
        version=version,
        expires=roles.whole_seconds(now + roles.SNAPSHOT_VALID),
        meta={f"{name}.json": MetaFile(number) for name, number in sorted(versions.items())},
    )
    metadata = Metadata(snapshot)
    metadata.sign(signers.snapshot)
    return write(metadata)


def sign_timestamp(
    signers: OnlineSigners, version: int, snapshot: bytes, snapshot_version: int, now: datetime
) -> bytes:
    """Return timestamp *version*, naming *snapshot* by version, length and hash."""
    named = MetaFile.from_data(snapshot_version, snapshot, ["sha256"])
    timestamp = Timestamp(
        version=version,
        expires=roles.whole_seconds(now + roles.TIMESTAMP_VALID),
        snapshot_meta=named,
    )
    metadata = Metadata(timestamp)
    metadata.sign(signers.timestamp)
    return write(metadata)


def _is_hex(text: str) -> bool:
    return set(text) <= set("0123456789abcdef")
