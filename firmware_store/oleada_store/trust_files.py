"""The offline-signed files as a set: the chain of roots, targets, and each model's role.

They come from a directory (the ceremony's, or the server's ``tuf/``) or, over plain TUF
with a pinned root, from a server. Either way they are verified before they are used.
"""

import re
import tempfile
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from oleada_wire.release import target_path
from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.api.metadata import Metadata, Root, Targets
from tuf.ngclient import Updater
from urllib3.exceptions import HTTPError

from oleada_store import repository
from oleada_store.errors import BadMetadataError

ROOT_NAME: Final = re.compile(r"([1-9][0-9]{0,8})\.root\.json")
_NO_RELEASE: Final = "0"
"""No image has this version, so that asking for it loads the model's role and no target."""


@dataclass(frozen=True, slots=True)
class TrustFiles:
    """The files that offline keys sign, as bytes.

    Attributes:
        roots: The chain, oldest first; the first is trusted as it is.
        models: By hardware model.
    """

    roots: tuple[bytes, ...]
    targets: bytes
    models: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class TrustedModel:
    """A model's role that was verified down from the root, with who delegates it."""

    targets: Targets
    role: Metadata[Targets]


def read_directory(directory: Path) -> TrustFiles:
    """Return the files in *directory*: ``N.root.json``, ``targets.json``, ``<model>.json``.

    Raises:
        BadMetadataError: a file is missing or can not be read.
    """
    numbered = {
        int(match[1]): path
        for path in (directory.iterdir() if directory.is_dir() else ())
        if (match := ROOT_NAME.fullmatch(path.name))
    }
    if not numbered:
        raise BadMetadataError(
            f"{directory} holds no root such as 1.root.json; name the directory 'tuf' that "
            "`oleada keys init` made."
        )
    roots = tuple(_read(numbered[version]) for version in sorted(numbered))
    targets = _read(directory / "targets.json")
    delegated = repository.read(Targets, targets, "targets")
    models = {
        name: _read(directory / f"{name}.json")
        for name in repository.model_names(delegated.signed)
        if (directory / f"{name}.json").exists()
    }
    return TrustFiles(roots, targets, models)


def require_first(files: TrustFiles, root: Path) -> None:
    """Require that the chain in *files* begins with exactly the bytes of *root*.

    Raises:
        BadMetadataError: it begins with another root, so that nothing after it is known.
    """
    if files.roots[0] != _read(root):
        raise BadMetadataError(
            f"The roots beside it do not begin with {root}; somebody may have forged the whole "
            "folder. Sign nothing in it, and ask who gave it to you."
        )


def fetch(url: str, root: bytes, hardware_model: str) -> TrustFiles:
    """Return the files that the server at *url* publishes, verified from *root* on.

    Raises:
        BadMetadataError: the server can not be reached, or what it says is not trusted.
    """
    with tempfile.TemporaryDirectory(prefix="oleada-base-") as name:
        try:
            client = Updater(name, f"{url.rstrip('/')}/tuf/", bootstrap=root)
            client.refresh()
            client.get_targetinfo(target_path(hardware_model, _NO_RELEASE))
        except (DownloadError, RepositoryError, HTTPError, OSError) as error:
            raise BadMetadataError(
                f"The published metadata at {url} can not be used: "
                f"{str(error) or 'nobody answers there'}. Check the address and the root."
            ) from error
        directory = Path(name)
        newest = _read(directory / "root.json")
        models = directory / f"{hardware_model}.json"
        return TrustFiles(
            (newest,),
            _read(directory / "targets.json"),
            {hardware_model: _read(models)} if models.exists() else {},
        )


def from_root(files: TrustFiles, root: bytes) -> TrustFiles:
    """Return *files* with their chain of roots beginning at pinned *root*.

    Raises:
        BadMetadataError: *root* is not one of the chain.
    """
    if root not in files.roots:
        raise BadMetadataError("The pinned root is not in the chain of roots of this base.")
    return replace(files, roots=files.roots[files.roots.index(root) :])


def trusted_targets(files: TrustFiles, now: datetime) -> tuple[Root, Targets]:
    """Return root and targets of *files*, verified at *now*.

    Raises:
        BadMetadataError: a file is damaged, not signed as it must be, or has expired.
    """
    root = repository.verify_roots(files.roots, now)
    targets = repository.read(Targets, files.targets, "targets")
    repository.verify(root.signed, "targets", targets, now)
    return root.signed, targets.signed


def trusted_model(files: TrustFiles, hardware_model: str, now: datetime) -> TrustedModel:
    """Return the role of *hardware_model* in *files*, verified down from the root.

    An expired role is fine: its next version is what ends that.

    Raises:
        UnknownModelError: nothing is delegated for the model.
        BadMetadataError: a file is missing, damaged or not signed as it must be.
    """
    _, targets = trusted_targets(files, now)
    repository.require_model(targets, hardware_model)
    if hardware_model not in files.models:
        raise BadMetadataError(f"{hardware_model}.json is missing beside targets.json.")
    role = repository.read(Targets, files.models[hardware_model], hardware_model)
    repository.verify_signatures(targets, hardware_model, role)
    return TrustedModel(targets, role)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(repository.METADATA_BYTES_MAX + 1)
    except OSError as error:
        raise BadMetadataError(f"{path} can not be read: {error.strerror}.") from error
