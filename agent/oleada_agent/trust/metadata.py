"""TUF metadata as frozen values: what the documents say and who signs them.

A value of these types is *not yet trusted*; ``Document.check`` is what makes it so.
Source: TUF specification 1.0, 4 (document formats).
"""

import fnmatch
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from oleada_agent.trust import keys
from oleada_agent.trust.errors import BadSignaturesError, WrongHashError

TOP_LEVEL: Final = ("root", "timestamp", "snapshot", "targets")
HASHES: Final = ("sha256", "sha384", "sha512", "blake2b")

KeysById = Mapping[str, keys.Key]


@dataclass(frozen=True, slots=True)
class Role:
    """Which keys speak for a role, and how many must."""

    keyids: tuple[str, ...]
    threshold: int


@dataclass(frozen=True, slots=True)
class FileMeta:
    """What one document says of another.

    Attributes:
        length: Bytes; None when the document does not say.
        hashes: Hex digests by algorithm; empty when the document does not say.
    """

    version: int
    length: int | None
    hashes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Target:
    """One file that may be installed.

    Attributes:
        custom: As signed; ``None`` when absent.
    """

    path: str
    length: int
    hashes: Mapping[str, str]
    custom: Any


@dataclass(frozen=True, slots=True)
class Delegation:
    """One delegated role and the paths it may speak for."""

    name: str
    role: Role
    terminating: bool
    paths: tuple[str, ...] | None
    path_hash_prefixes: tuple[str, ...] | None

    def covers(self, path: str) -> bool:
        """Return whether this role may speak for target *path*."""
        if self.paths is not None:
            return any(_matches(path, pattern) for pattern in self.paths)
        digest = hashlib.sha256(path.encode()).hexdigest()
        return any(digest.startswith(prefix) for prefix in self.path_hash_prefixes or ())


@dataclass(frozen=True, slots=True)
class Bins:
    """Hash bins, delegated without naming each (TAP 15)."""

    role: Role
    bit_length: int
    name_prefix: str

    def bin_for(self, path: str) -> str:
        """Return the name of the bin that holds target *path*."""
        digits = len(f"{2**self.bit_length - 1:x}")
        first = int.from_bytes(hashlib.sha256(path.encode()).digest()[:4], "big")
        return f"{self.name_prefix}-{first >> (32 - self.bit_length):0{digits}x}"


@dataclass(frozen=True, slots=True)
class Document:
    """One metadata file, read but not yet trusted.

    Attributes:
        signed: The object that the signatures cover.
        signatures: Hex by key id.
    """

    role_type: str
    version: int
    expires: datetime
    signed: Mapping[str, Any]
    signed_bytes: bytes
    signatures: Mapping[str, str]

    def check(self, name: str, role: Role, known: KeysById) -> None:
        """Return if enough distinct keys of *role* sign this.

        Two key ids that name the same public key count once.

        Raises:
            BadSignaturesError: fewer than the threshold do.
        """
        good = {
            key.identity
            for keyid in role.keyids
            if (key := known.get(keyid)) is not None
            and keyid in self.signatures
            and key.is_signed(self.signatures[keyid], self.signed_bytes)
        }
        if len(good) < role.threshold:
            raise BadSignaturesError(name, len(good), role.threshold)


@dataclass(frozen=True, slots=True)
class Root:
    """Who speaks for the four top-level roles."""

    document: Document
    consistent_snapshot: bool
    keys: KeysById
    roles: Mapping[str, Role]


@dataclass(frozen=True, slots=True)
class Timestamp:
    """Which snapshot is the newest."""

    document: Document
    snapshot: FileMeta


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Which version of every targets role belongs together."""

    document: Document
    meta: Mapping[str, FileMeta]


@dataclass(frozen=True, slots=True)
class Targets:
    """Targets, and who else may speak for which."""

    document: Document
    targets: Mapping[str, Target]
    keys: KeysById
    delegations: tuple[Delegation, ...]
    bins: Bins | None

    def delegates_for(self, path: str) -> Iterator[tuple[str, bool]]:
        """Yield name and *terminating* of each role that may speak for *path*, in order."""
        if self.bins is not None:
            yield self.bins.bin_for(path), True
        for delegation in self.delegations:
            if delegation.covers(path):
                yield delegation.name, delegation.terminating

    def role_of(self, name: str) -> Role | None:
        """Return the delegated role *name*, None when nothing of that name is delegated."""
        for delegation in self.delegations:
            if delegation.name == name:
                return delegation.role
        if self.bins is not None and name.startswith(f"{self.bins.name_prefix}-"):
            return self.bins.role
        return None


def check_bytes(name: str, data: bytes, length: int | None, hashes: Mapping[str, str]) -> None:
    """Return if *data* has the signed *length* and every signed digest.

    Raises:
        WrongHashError: it has not.
    """
    if length is not None and len(data) != length:
        raise WrongHashError(f"'{name}' has {len(data)} bytes; {length} were signed.")
    for algorithm, expected in hashes.items():
        if algorithm not in HASHES or hashlib.new(algorithm, data).hexdigest() != expected:
            raise WrongHashError(f"'{name}' does not have the signed {algorithm[:20]} digest.")


def _matches(path: str, pattern: str) -> bool:
    """Return whether *pattern* matches *path*, a star never reaching over a slash."""
    parts, patterns = path.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(
        fnmatch.fnmatchcase(part, glob) for part, glob in zip(parts, patterns, strict=True)
    )
