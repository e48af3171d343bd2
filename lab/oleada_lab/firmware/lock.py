"""The lock file: which Debian packages, by version and hash, each real image is made of.

``lab/firmware/firmware.lock.toml`` is the one in force. An image depends on nothing
else than it, the agent's source and the version of e2fsprogs.
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from oleada_wire.ids import is_hardware_model
from oleada_wire.version import is_version

from oleada_lab.errors import FirmwareLockError

SCHEMA: Final = "lab.firmware-lock/1"
DEFAULT_PATH: Final = Path(__file__).resolve().parents[2] / "firmware" / "firmware.lock.toml"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Package:
    """One Debian package file.

    Attributes:
        version: As dpkg spells it, with the epoch if there is one.
        sha256: Of the ``.deb`` file; 64 lowercase hex digits.
    """

    name: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The name under which the file lies in the cache."""
        return f"{self.name}_{self.version.replace(':', '%3a')}.deb"


@dataclass(frozen=True, slots=True)
class LockedImage:
    """One image: its version, and its packages in the order they are unpacked."""

    version: str
    packages: tuple[Package, ...]


@dataclass(frozen=True, slots=True)
class Lock:
    """The whole lock file.

    Attributes:
        architecture: Of the packages, such as ``amd64``.
        built_at_s: The time in every inode; seconds of Unix time.
        leave_out: Patterns (glob, from the root of the image) of what is not kept.
        images: Oldest first.
    """

    hardware_model: str
    architecture: str
    built_at_s: int
    leave_out: tuple[str, ...]
    images: tuple[LockedImage, ...]

    @property
    def packages(self) -> tuple[Package, ...]:
        """Every package once, in the order of its first use."""
        return tuple(dict.fromkeys(p for image in self.images for p in image.packages))


def read_lock(path: Path) -> Lock:
    """Return the lock at *path*.

    Raises:
        FirmwareLockError: It is not there, or not a lock file; says which part.
    """
    try:
        found = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise FirmwareLockError(
            f"There is no lock file {path}; write one with: oleada-lab firmware lock"
        ) from error
    except OSError as error:
        raise FirmwareLockError(f"{path} can not be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise FirmwareLockError(f"{path} is not TOML: {error}") from error
    if found.get("schema") != SCHEMA:
        raise FirmwareLockError(f"{path}: schema is {found.get('schema')!r}, not {SCHEMA!r}.")
    try:
        lock = Lock(
            hardware_model=_text(found, "hardware_model"),
            architecture=_text(found, "architecture"),
            built_at_s=int(found["built_at_s"]),
            leave_out=tuple(str(pattern) for pattern in found["leave_out"]),
            images=tuple(_image(entry) for entry in found["image"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise FirmwareLockError(f"{path}: {error!r} is missing or of the wrong kind.") from error
    _check(lock, path)
    return lock


def write_lock(lock: Lock, path: Path) -> None:
    """Write *lock* to *path*, so that ``read_lock`` returns an equal one."""
    lines = [
        "# What the real images are made of. `oleada-lab firmware lock` writes this file;",
        "# `oleada-lab firmware fetch` writes it again when a package has left the archive.",
        f'schema = "{SCHEMA}"',
        f'hardware_model = "{lock.hardware_model}"',
        f'architecture = "{lock.architecture}"',
        f"built_at_s = {lock.built_at_s}",
        "leave_out = [",
        *(f'    "{pattern}",' for pattern in lock.leave_out),
        "]",
    ]
    for image in lock.images:
        lines += ["", "[[image]]", f'version = "{image.version}"']
        for package in image.packages:
            lines += ["", "[[image.package]]", f'name = "{package.name}"']
            lines += [f'version = "{package.version}"', f'sha256 = "{package.sha256}"']
    unfinished = path.with_name(f".{path.name}.tmp")
    unfinished.write_text("\n".join(lines) + "\n")
    unfinished.replace(path)


def _image(entry: dict[str, Any]) -> LockedImage:
    packages = (
        Package(_text(one, "name"), _text(one, "version"), _text(one, "sha256"))
        for one in entry["package"]
    )
    return LockedImage(_text(entry, "version"), tuple(packages))


def _text(found: dict[str, Any], key: str) -> str:
    value = found[key]
    if not isinstance(value, str) or '"' in value or "\n" in value:
        raise TypeError(key)
    return value


def _check(lock: Lock, path: Path) -> None:
    if not is_hardware_model(lock.hardware_model):
        raise FirmwareLockError(f"{path}: {lock.hardware_model!r} is not a hardware model.")
    wrong = [image.version for image in lock.images if not is_version(image.version)]
    if wrong or not lock.images:
        raise FirmwareLockError(f"{path}: image versions {wrong} are not like 5.8.2.")
    for package in lock.packages:
        if not _SHA256.fullmatch(package.sha256):
            raise FirmwareLockError(f"{path}: the sha256 of {package.name} is not 64 hex digits.")
