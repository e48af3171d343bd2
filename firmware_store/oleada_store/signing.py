"""Building and signing bundles, on the signer's machine.

Build makes the next version of the model's metadata on the published base; sign says
in words what it is about to sign, checks that the image in the bundle is that one, and
adds one signature. The file is replaced only when the new one is whole.
"""

import hashlib
import os
import secrets
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

from oleada_wire.envelope import keyid_of
from oleada_wire.release import IMAGE_BYTES_MAX, ReleaseInfo, target_path
from tuf.api.metadata import Targets

from oleada_store import blobs, bundle, image_header, keys, repository, roles
from oleada_store.errors import (
    BadBundleError,
    BadImageError,
    ImageTooLargeError,
    SignatureRefusedError,
    UnexpectedChangeError,
)
from oleada_store.files import sync_directory
from oleada_store.new_release import check_new
from oleada_store.repository import NewRelease
from oleada_store.text import printable
from oleada_store.trust_files import TrustedModel

SUFFIX: Final = ".oleada"


@dataclass(frozen=True, slots=True)
class Statement:
    """What a signature on a bundle says.

    Attributes:
        also: Releases of the model that were signed before and are signed again.
        signed_by: Key ids that have signed already.
        may_sign: Key ids that may, as ``bundle.json`` says; empty if it does not.
    """

    hardware_model: str
    role_version: int
    release: NewRelease
    also: tuple[NewRelease, ...]
    signed_by: tuple[str, ...]
    may_sign: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """Yield the statement in words, a fact a line.

        The bundle may come from a stranger: nothing in it may move the cursor, clear the
        screen or begin a line of its own, or one would sign something else than one sees.
        """
        yield from map(printable, self._facts())

    def _facts(self) -> Iterator[str]:
        info = self.release.info
        yield f"Model             {', '.join(info.hardware_models)}"
        yield f"Version           {info.version}"
        yield f"Image             {self.release.size_bytes} bytes"
        yield f"SHA-256           {self.release.sha256}"
        yield f"Security version  {info.security_version} (boxes never go below it again)"
        yield f"Comes from        {info.min_version or 'any version'}"
        yield f"Provides          {', '.join(info.provides) or 'nothing new'}"
        yield f"Needs             {', '.join(info.depends or ()) or 'nothing of the box'}"
        yield f"May be skipped    {'no, boxes go through it' if info.must_pass else 'yes'}"
        yield f"Fixes             {', '.join(info.fixes) or 'no fault'}"
        for language, text in sorted(info.notes.items()):
            yield f"Note ({language})         {text}"
        yield f"Metadata          version {self.role_version} of {self.hardware_model}"
        for release in self.also:
            yield f"Also stays        {release.info.version} ({release.sha256[:16]}…)"
        yield f"Signed so far     {len(self.signed_by)} of {roles.MODEL_THRESHOLD}"


def build(
    image: Path,
    info: ReleaseInfo,
    base: TrustedModel,
    out: Path,
    *,
    base_name: str,
    now: datetime,
) -> bundle.Description:
    """Write an unsigned bundle of *image* to *out*.

    Raises:
        BadImageError: the image can not be read, is empty, too large, or changes meanwhile.
        MisnamedReleaseError: the image says it is of another model or version, or the
            release says of itself what none may.
        UnexpectedChangeError: the base holds this version already.
    """
    check_new(info)
    hardware_model = info.hardware_models[0]
    path = target_path(hardware_model, info.version)
    try:
        with image.open("rb") as file:
            sha256, size_bytes = blobs.hash_chunks(blobs.file_chunks(file))
            _check_size(size_bytes)
            release = NewRelease(path, size_bytes, sha256, info)
            role = repository.with_release(base.role, release, now + roles.MODEL_VALID)
            description = bundle.Description(
                format=bundle.FORMAT,
                hardware_model=hardware_model,
                version=info.version,
                role_version=role.signed.version,
                target_path=path,
                size_bytes=size_bytes,
                sha256=sha256,
                image_name=image.name,
                base=base_name,
                may_sign=tuple(base.targets.get_delegated_role(hardware_model).keyids),
            )
            file.seek(0)
            described = image_header.as_described(blobs.file_chunks(file), info, size_bytes)
            chunks = _same_image(described, sha256)
            with _replacing(out) as target:
                head = bundle.Head(description, repository.write(role))
                bundle.write(target, head, chunks)
    except OSError as error:
        raise BadImageError(f"{error.filename or image}: {error.strerror}.") from error
    return description


def read_statement(path: Path) -> Statement:
    """Return what the bundle in *path* would have its signer say.

    Raises:
        BadBundleError: it is not a bundle, or its description and metadata disagree.
        MisnamedReleaseError: path, model and version in it do not agree.
    """
    with _open(path) as file:
        return statement(bundle.Reader(file).head())


def statement(head: bundle.Head) -> Statement:
    """Return what the metadata in *head* says, once ``bundle.json`` agrees with it.

    Raises:
        BadBundleError: they disagree.
        MisnamedReleaseError: path, model and version do not agree.
    """
    said = head.description
    role = repository.read(Targets, head.metadata, said.hardware_model)
    found = {
        path: repository.describe(said.hardware_model, target)
        for path, target in role.signed.targets.items()
    }
    release = found.pop(said.target_path, None)
    if release is None:
        raise BadBundleError(f"The metadata in the bundle does not hold {said.target_path}.")
    told = (said.version, said.role_version, said.size_bytes, said.sha256)
    if told != (release.info.version, role.signed.version, release.size_bytes, release.sha256):
        raise BadBundleError(
            "bundle.json and the metadata in the bundle do not say the same; build it again."
        )
    return Statement(
        said.hardware_model,
        role.signed.version,
        release,
        tuple(found.values()),
        tuple(role.signatures),
        said.may_sign,
    )


def check_against_base(path: Path, base: TrustedModel) -> None:
    """Check that the bundle in *path* adds one release to *base* and changes nothing else.

    Raises:
        UnexpectedChangeError: it changes more, or was built on another version.
    """
    with _open(path) as file:
        head = bundle.Reader(file).head()
    model = head.description.hardware_model
    role = repository.read(Targets, head.metadata, model)
    repository.added_release(model, base.role.signed, role.signed)
    if role.signed.version != base.role.signed.version + 1:
        raise UnexpectedChangeError(
            f"The bundle was built on version {role.signed.version - 1} of {model!r}; version "
            f"{base.role.signed.version} is published. Build it again."
        )


def sign(path: Path, key: keys.SigningKey, base: TrustedModel | None = None) -> Statement:
    """Add the signature of *key* to the bundle in *path*.

    Args:
        path: Replaced when the signed bundle is whole, else untouched.
        key: Must not have signed this bundle yet.
        base: When given, the key must be one that this base lets sign for the model.

    Returns:
        The statement, with the new signature counted.

    Raises:
        BadBundleError, BadImageError: the bundle, or the image in it, is damaged.
        SignatureRefusedError: the key has signed already, or may not sign.
    """
    keyid = keyid_of(key.public_key())
    with _open(path) as file:
        reader = bundle.Reader(file)
        head = reader.head()
        found = statement(head)
        _check_key(keyid, found, base)
        role = repository.read(Targets, head.metadata, found.hardware_model)
        role.sign(keys.tuf_signer(key), append=True)
        signed = replace(head, metadata=repository.write(role))
        with _replacing(path) as target:
            release = found.release
            described = image_header.as_described(reader.image(), release.info, release.size_bytes)
            bundle.write(target, signed, _same_image(described, release.sha256))
    return replace(found, signed_by=(*found.signed_by, keyid))


def repeat_command(description: bundle.Description, info: ReleaseInfo) -> str:
    """Return the command that builds this release again on the published base."""
    words = ["oleada", "release", "build", description.image_name, "--model"]
    words += [info.hardware_models[0], "--version", info.version]
    for other in info.hardware_models[1:]:
        words += ["--also-model", other]
    words += ["--security-version", str(info.security_version)]
    if info.min_version is not None:
        words += ["--min-version", info.min_version]
    for name in info.provides:
        words += ["--provides", name]
    for name in info.depends or ():
        words += ["--depends", name]
    if info.must_pass:
        words.append("--must-pass")
    for fault in info.fixes:
        words += ["--fixes", fault]
    for language, text in sorted(info.notes.items()):
        words += ["--note", f"{language}={text}"]
    out = f"{info.hardware_models[0]}-{info.version}{SUFFIX}"
    return shlex.join([*words, "--base", description.base, "-o", out])


def _check_key(keyid: str, found: Statement, base: TrustedModel | None) -> None:
    if keyid in found.signed_by:
        raise SignatureRefusedError(
            "This key has signed this bundle already. The second signature comes from another "
            "person's key: release signer and approver both sign."
        )
    may_sign: Sequence[str] = found.may_sign
    if base is not None:
        may_sign = base.targets.get_delegated_role(found.hardware_model).keyids
    if may_sign and keyid not in may_sign:
        raise SignatureRefusedError(
            f"This key (id {keyid[:16]}…) is not one of those that sign for "
            f"{found.hardware_model}; use release-signer.pem or approver.pem."
        )


def _check_size(size_bytes: int) -> None:
    if size_bytes == 0:
        raise BadImageError("The image is empty.")
    if size_bytes > IMAGE_BYTES_MAX:
        raise ImageTooLargeError(size_bytes, IMAGE_BYTES_MAX)


def _same_image(chunks: Iterator[bytes], sha256: str) -> Iterator[bytes]:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != sha256:
        raise BadImageError(
            f"The image has SHA-256 {digest.hexdigest()}, the metadata says {sha256}. "
            "It has changed or is damaged; build the bundle again."
        )


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise BadBundleError(f"{path} can not be read: {error.strerror}.") from error


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that takes the place of *path* if the block ends well, and else is gone."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
