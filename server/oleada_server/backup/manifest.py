"""What a backup holds and how it is judged; pure.

The manifest is the last member of a backup: it can only be there when everything else
is. Its fields are those of :class:`Manifest`, as JSON. *format* rises when an older
version could not read the file any more.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from oleada_server.backup.errors import BadBackupError, NewerBackupError

FORMAT: Final = 1
NAME: Final = "manifest.json"
MANIFEST_BYTES_MAX: Final = 64 * 1024 * 1024
TABLES: Final = "tables/"
FILES: Final = "files/"
BLOBS: Final = "blobs/"
_TABLE: Final = re.compile(r"tables/[a-z][a-z0-9_]{0,62}\.jsonl")
_FILE: Final = re.compile(
    r"files/(?:oleada\.toml|(?:keys|pki)(?:/[A-Za-z0-9_][A-Za-z0-9_.-]{0,120})+)"
)
_BLOB: Final = re.compile(r"blobs/[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One member: its name in the backup, its size in bytes, its SHA-256 in hex."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself.

    Attributes:
        made_at: When the snapshot of the database was taken; aware, ISO 8601.
        version: Of the Oleada that made it.
        schema_revision: Of the database.
        database: ``sqlite`` or ``postgresql``; it may be restored into either.
        audit_head: SHA-256 of the newest entry of the audit trail; empty without one.
        audit_entries: How many entries there are.
        lost_blobs: Images that releases name and that were missing on the server's disk.
        entries: Every other member, in the order of the file.
    """

    format: int
    made_at: str
    version: str
    schema_revision: str
    database: str
    audit_head: str
    audit_entries: int
    lost_blobs: tuple[str, ...]
    entries: tuple[Entry, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of all members together."""
        return sum(entry.size_bytes for entry in self.entries)


def to_json(manifest: Manifest) -> bytes:
    """Return the bytes of *manifest* in a backup."""
    return json.dumps(asdict(manifest), indent=1).encode()


def from_json(text: bytes) -> Manifest:
    """Return the manifest in *text*.

    Raises:
        BadBackupError: it is not one, or of a format that this version does not know.
    """
    try:
        found: dict[str, Any] = json.loads(text)
        if found["format"] != FORMAT:
            raise BadBackupError(
                f"The backup has format {found['format']!r}; this version reads {FORMAT}. Install "
                "the version that made it, or a newer one."
            )
        entries = tuple(Entry(**entry) for entry in found.pop("entries"))
        manifest = Manifest(**{**found, "lost_blobs": tuple(found["lost_blobs"])}, entries=entries)
        datetime.fromisoformat(manifest.made_at)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadBackupError(f"The backup's {NAME} can not be read ({error!r}).") from error
    return manifest


def check_name(name: str) -> str:
    """Return *name* if a member of a backup may have it: nothing that leads elsewhere.

    Raises:
        BadBackupError: no member is called so.
    """
    if name == NAME or _TABLE.fullmatch(name) or _BLOB.fullmatch(name):
        return name
    if _FILE.fullmatch(name) and ".." not in name:
        return name
    raise BadBackupError(f"The backup holds {name[:120]!r}, which no backup does.")


def check_whole(manifest: Manifest, found: Sequence[Entry]) -> None:
    """Accept members *found* that are exactly those of *manifest*.

    Raises:
        BadBackupError: one is missing, added, or other than when it was written.
    """
    wanted: Mapping[str, Entry] = {entry.name: entry for entry in manifest.entries}
    held: Mapping[str, Entry] = {entry.name: entry for entry in found}
    if len(held) != len(found):
        raise BadBackupError("The backup holds a member twice.")
    for name in sorted(wanted.keys() | held.keys()):
        if name not in held:
            raise BadBackupError(f"The backup lacks {name}, which its manifest names.")
        if name not in wanted:
            raise BadBackupError(f"The backup holds {name}, which its manifest does not name.")
        if wanted[name] != held[name]:
            raise BadBackupError(
                f"{name} has {held[name].size_bytes} bytes and SHA-256 {held[name].sha256}; "
                f"{wanted[name].size_bytes} bytes and {wanted[name].sha256} were written."
            )


def check_revision(manifest: Manifest, known: Sequence[str]) -> None:
    """Accept a backup whose schema is one of *known*, this code's revisions, oldest first.

    Raises:
        NewerBackupError: it is another.
    """
    if manifest.schema_revision not in known:
        raise NewerBackupError(manifest.version, manifest.schema_revision, known[-1])
