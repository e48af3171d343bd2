"""Every way to spoil a bundle, and the error that it must end with.

Each takes the signers of a server with release 1.0.0 of VX-410, and the time.
"""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from oleada_server.errors import ServerError
from oleada_server.releases import errors
from oleada_store import bundle, repository, roles
from oleada_wire import canonical
from oleada_wire.release import ReleaseInfo
from tuf.api.metadata import Delegations, Metadata, TargetFile, Targets

from tests.support.releases import Signers, a_release, some_info

IMAGE = b"an image of a box" * 200
NEXT = some_info("1.1.0")
LONG = "n" * 4000
MORE = {f"x{number}": LONG for number in range(60)}
Make = Callable[[Signers, datetime], bytes]


def _role(signers: Signers, now: datetime, model: str = "VX-410") -> Metadata[Targets]:
    """A next version of the model's metadata with NEXT in it, ready to be spoilt."""
    return repository.with_release(
        signers.models[model], a_release(NEXT, IMAGE), now + roles.MODEL_VALID
    )


def _spoilt(spoil: Callable[[Targets], None]) -> Make:
    """A bundle whose metadata was spoilt before both people signed it."""

    def make(signers: Signers, now: datetime) -> bytes:
        role = _role(signers, now)
        spoil(role.signed)
        return signers.pack("VX-410", NEXT, role, IMAGE)

    return make


def _said(spoil: Callable[[ReleaseInfo], ReleaseInfo]) -> Make:
    """A bundle whose release says something of itself that it should not."""
    return lambda signers, now: signers.bundle(spoil(NEXT), IMAGE, now=now)


def _rewritten(spoil: Callable[[bytes], bytes]) -> Make:
    """A good bundle whose bytes were changed on the way."""
    return lambda signers, now: spoil(signers.bundle(NEXT, IMAGE, now=now))


def _by(*names: str) -> Make:
    return lambda signers, now: signers.bundle(NEXT, IMAGE, names, now=now)


def _target(path: str, info: ReleaseInfo = NEXT) -> TargetFile:
    digest = hashlib.sha256(IMAGE).hexdigest()
    return TargetFile(len(IMAGE), {"sha256": digest}, path, {"custom": info.to_custom()})


def _rename(path: str, info: ReleaseInfo = NEXT) -> Callable[[Targets], None]:
    def rename(role: Targets) -> None:
        del role.targets["VX-410/1.1.0.img"]
        role.targets[path] = _target(path, info)

    return rename


def _without(path: str) -> Callable[[Targets], None]:
    def remove(role: Targets) -> None:
        del role.targets[path]

    return remove


def _delegate(role: Targets) -> None:
    role.delegations = Delegations({}, {})


def _change_published(role: Targets) -> None:
    role.targets["VX-410/1.0.0.img"].length += 1


def _other_role_signed(signers: Signers, now: datetime) -> bytes:
    """The role of another model, signed by the right people, under this model's name."""
    info = some_info("1.1.0", "VX-240")
    role = repository.with_release(
        signers.models["VX-240"], a_release(info, IMAGE), now + roles.MODEL_VALID
    )
    return signers.pack("VX-410", NEXT, role, IMAGE)


def _replayed(signers: Signers, now: datetime) -> bytes:
    """Signatures of the published version, put on the next one."""
    content = signers.bundle(NEXT, IMAGE, (), now=now)
    old = signers.models["VX-410"]
    head = bundle.Reader(io.BytesIO(content)).head()
    role = repository.read(Targets, head.metadata, "VX-410")
    role.signatures.update(old.signatures)
    return _packed(replace(head, metadata=repository.write(role)))


def _two_versions_on(signers: Signers, now: datetime) -> bytes:
    role = _role(signers, now)
    role.signed.version += 1
    return signers.pack("VX-410", NEXT, role, IMAGE)


def _packed(head: bundle.Head, image: bytes = IMAGE) -> bytes:
    out = io.BytesIO()
    bundle.write(out, head, [image])
    return out.getvalue()


def _redescribed(**changes: object) -> Make:
    """A good bundle whose ``bundle.json`` says something else than its metadata."""

    def make(signers: Signers, now: datetime) -> bytes:
        head = bundle.Reader(io.BytesIO(signers.bundle(NEXT, IMAGE, now=now))).head()
        return _packed(replace(head, description=replace(head.description, **changes)))  # type: ignore[arg-type] # on purpose

    return make


def _of_metadata(spoil: Callable[[bytes], bytes]) -> Make:
    def make(signers: Signers, now: datetime) -> bytes:
        head = bundle.Reader(io.BytesIO(signers.bundle(NEXT, IMAGE, now=now))).head()
        return _packed(replace(head, metadata=spoil(head.metadata)))

    return make


def _flipped(content: bytes) -> bytes:
    at = content.index(IMAGE) + len(IMAGE) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def _hidden(content: bytes) -> bytes:
    at = content.index(IMAGE) + len(IMAGE)
    return content[:at] + b"!" + content[at + 1 :]


def _link(content: bytes) -> bytes:
    member = tarfile.TarInfo("bundle.json")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return member.tobuf(tarfile.GNU_FORMAT) + content[512:]


REFUSALS: dict[str, tuple[type[ServerError], Make]] = {
    "nobody signed": (errors.UnsignedBundleError, _by()),
    "only the release signer": (errors.UnsignedBundleError, _by("release-signer")),
    "only the approver": (errors.UnsignedBundleError, _by("approver")),
    "a stranger instead": (errors.UnsignedBundleError, _by("release-signer", "stranger")),
    "keys of other roles": (errors.UnsignedBundleError, _by("root-1", "root-2", "targets-1")),
    "signatures of the last one": (errors.UnsignedBundleError, _replayed),
    "other metadata than signed": (
        errors.UnsignedBundleError,
        _of_metadata(lambda text: text.replace(b'"security_version":1', b'"security_version":2')),
    ),
    "another model's metadata": (errors.MisnamedReleaseError, _other_role_signed),
    "two versions ahead": (errors.StaleBaseError, _two_versions_on),
    "a path of another model": (
        errors.MisnamedReleaseError,
        _spoilt(_rename("VX-240/1.1.0.img", some_info("1.1.0", "VX-240"))),
    ),
    "a path of another version": (errors.MisnamedReleaseError, _spoilt(_rename("VX-410/9.img"))),
    "a path that climbs": (errors.MisnamedReleaseError, _spoilt(_rename("VX-410/../1.1.0.img"))),
    "a description of another version": (
        errors.MisnamedReleaseError,
        _spoilt(_rename("VX-410/1.1.0.img", some_info("1.2.0"))),
    ),
    "a description of another model": (
        errors.MisnamedReleaseError,
        _spoilt(_rename("VX-410/1.1.0.img", some_info("1.1.0", "VX-240"))),
    ),
    "no description": (
        errors.MisnamedReleaseError,
        _spoilt(lambda role: role.targets["VX-410/1.1.0.img"].unrecognized_fields.clear()),
    ),
    "another hash function": (
        errors.MisnamedReleaseError,
        _spoilt(lambda role: role.targets["VX-410/1.1.0.img"].hashes.update(sha512="0" * 128)),
    ),
    "no new release": (
        errors.MalformedBundleError,
        _spoilt(_without("VX-410/1.1.0.img")),
    ),
    "two new releases": (
        errors.UnexpectedChangeError,
        _spoilt(
            lambda role: role.targets.update(
                {"VX-410/1.2.0.img": _target("VX-410/1.2.0.img", some_info("1.2.0"))}
            )
        ),
    ),
    "a published release is gone": (
        errors.UnexpectedChangeError,
        _spoilt(_without("VX-410/1.0.0.img")),
    ),
    "a published release is changed": (errors.UnexpectedChangeError, _spoilt(_change_published)),
    "a delegation to somebody": (errors.UnexpectedChangeError, _spoilt(_delegate)),
    "expired": (
        errors.ExpiredMetadataError,
        _spoilt(lambda role: setattr(role, "expires", role.expires - timedelta(days=366))),
    ),
    "a lower security version": (
        errors.SecurityVersionError,
        lambda signers, now: signers.bundle(some_info("1.1.0", security_version=1), now=now),
    ),
    "boxes from a newer version": (
        errors.MisnamedReleaseError,
        _said(lambda info: replace(info, min_version="1.2.0")),
    ),
    "notes that no box could receive": (
        errors.MetadataTooLargeError,
        _said(
            lambda info: replace(info, notes={f"x{i}": "n" * 4000 for i in range(70)} | {"en": "n"})
        ),
    ),
    "bundle.json of another version": (
        errors.MalformedBundleError,
        _redescribed(version="1.1.1"),
    ),
    "bundle.json of another digest": (errors.MalformedBundleError, _redescribed(sha256="0" * 64)),
    "bundle.json of another path": (
        errors.MalformedBundleError,
        _redescribed(target_path="VX-410/1.0.0.img"),
    ),
    "a model nobody signs for": (
        errors.UnknownModelError,
        _redescribed(hardware_model="VX-999"),
    ),
    "metadata that is no JSON": (errors.BadMetadataError, _of_metadata(lambda text: text[:-1])),
    "metadata with a key twice": (
        errors.BadMetadataError,
        _of_metadata(lambda text: text.replace(b'"version":3', b'"version":3,"version":3')),
    ),
    "an image with a flipped bit": (errors.WrongImageError, _rewritten(_flipped)),
    "something in the padding": (errors.MalformedBundleError, _rewritten(_hidden)),
    "something behind the end": (
        errors.MalformedBundleError,
        _rewritten(lambda content: content + b"more"),
    ),
    "another tar behind the end": (
        errors.MalformedBundleError,
        _rewritten(lambda content: content + content),
    ),
    "a link in place of a file": (errors.MalformedBundleError, _rewritten(_link)),
    "a compressed bundle": (errors.MalformedBundleError, _rewritten(gzip.compress)),
    "an image alone": (errors.MalformedBundleError, lambda signers, now: IMAGE),
    "zeros": (errors.MalformedBundleError, lambda signers, now: bytes(4096)),
    "nothing": (errors.TruncatedBundleError, lambda signers, now: b""),
}


def _with_header(**says: object) -> Make:
    """A good bundle of an image whose own header says something else."""

    def make(signers: Signers, now: datetime) -> bytes:
        held = {"hardware_model": "VX-410", "version": "1.1.0", "image_bytes": 1024 + len(IMAGE)}
        held["body_sha256"] = hashlib.sha256(IMAGE).hexdigest()
        text = canonical.dumps(held | says)
        header = b"OLEADA1\n" + hashlib.sha256(text).digest() + text
        return signers.bundle(NEXT, header.ljust(1024, b"\0") + IMAGE, now=now)

    return make


REFUSALS |= {
    "an image of another version": (errors.MisnamedReleaseError, _with_header(version="1.1.1")),
    "an image of another model": (
        errors.MisnamedReleaseError,
        _with_header(hardware_model="VX-240"),
    ),
    "an image with another length": (errors.WrongImageError, _with_header(image_bytes=5000)),
    "an image no box could start": (errors.WrongImageError, _with_header(body_sha256="0" * 64)),
    "an image with a foreign header": (errors.WrongImageError, _with_header(version=5)),
}
