"""What is in a bundle, or in a folder of signed metadata, for whoever looks and signs nothing.

Says in words what is there, and what speaks against believing it; an objection is a
sentence, and nothing that is found wrong hides what comes after it.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from tuf.api.metadata import Metadata, Root, Targets

from oleada_store import bundle, repository, signing, succession, trust_files
from oleada_store.errors import StoreError
from oleada_store.text import printable
from oleada_store.trust_files import TrustedModel, TrustFiles

KEYID_CHARS: Final = 12


@dataclass(slots=True)
class Shown:
    """What was found: *lines* in words, and *objections* to believing it."""

    lines: list[str] = field(default_factory=list)
    objections: list[str] = field(default_factory=list)


def of_bundle(
    path: Path, base: TrustedModel | None, names: Mapping[str, str], now: datetime
) -> Shown:
    """Return what is in the bundle in *path*.

    Args:
        path: Read to its end: the image is compared with its signed digest.
        base: What is published; without it no signature can be checked.
        names: What people call a key, by its id.
        now: Whether what is signed has expired by now.

    Raises:
        BadBundleError: It is no bundle.
    """
    said = signing.read_statement(path)
    found = Shown(list(said.lines()))
    with path.open("rb") as file:
        reader = bundle.Reader(file)
        role = repository.read(Targets, reader.head().metadata, said.hardware_model)
        found.lines += _signers(role, base, names)
        found.lines.append(f"Signed until      {role.signed.expires:%Y-%m-%d %H:%M} UTC")
        with _objecting(found):
            _check_image(reader, said.release.sha256)
    if role.signed.expires <= now:
        found.objections.append("What was signed has expired.")
    if base is None:
        found.objections.append("No signature was checked; give what is published by --base.")
        return found
    with _objecting(found):
        signing.check_against_base(path, base)
    with _objecting(found):
        repository.verify_signatures(base.targets, said.hardware_model, role)
    return found


def of_folder(directory: Path, names: Mapping[str, str], now: datetime) -> Shown:
    """Return what the metadata in *directory* says, down from its first root.

    Raises:
        BadMetadataError: There is no root or targets that can be read.
    """
    files = trust_files.read_directory(directory)
    found = Shown()
    before: Metadata[Root] | None = None
    for body in files.roots:
        root = repository.read(Root, body, "root")
        found.lines += succession.lines(root, before, names)
        before = root
    targets = repository.read(Targets, files.targets, "targets")
    found.lines += succession.lines(targets, None, names)
    with _objecting(found):
        trust_files.trusted_targets(files, now)
    for model in repository.model_names(targets.signed):
        found.lines += _of_model(files, model, found, now)
    return found


def _of_model(files: TrustFiles, model: str, found: Shown, now: datetime) -> Iterator[str]:
    if model not in files.models:
        found.objections.append(f"{model}.json is missing.")
        return
    role = repository.read(Targets, files.models[model], model)
    signed = role.signed
    yield f"{model}, version {signed.version}, until {signed.expires:%Y-%m-%d}"
    for path, target in sorted(signed.targets.items()):
        digest = target.hashes.get("sha256", "")
        yield printable(f"  {path}  {target.length} bytes, SHA-256 {digest}")
    with _objecting(found):
        trust_files.trusted_model(files, model, now)
    if signed.expires <= now:
        found.objections.append(f"{model} has expired.")


def _signers(
    role: Metadata[Targets], base: TrustedModel | None, names: Mapping[str, str]
) -> Iterator[str]:
    for keyid in sorted(role.signatures):
        called = printable(names.get(keyid, f"{keyid[:KEYID_CHARS]}…"))
        yield f"  {'by' if base is not None else 'it says, by':<16}{called}"


def _check_image(reader: bundle.Reader, sha256: str) -> None:
    digest = hashlib.sha256()
    for chunk in reader.image():
        digest.update(chunk)
    if digest.hexdigest() != sha256:
        raise StoreError(f"The image has SHA-256 {digest.hexdigest()}, not the signed one.")


@contextmanager
def _objecting(found: Shown) -> Iterator[None]:
    """Take an error of the store for an objection, and go on."""
    try:
        yield
    except StoreError as error:
        found.objections.append(str(error))
