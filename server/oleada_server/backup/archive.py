"""A backup as a file: a plain tar, its manifest last, under a passphrase if one is given.

Written to a name of its own beside the wanted one, made durable, then renamed. Read as
a stream, member by member; nothing is ever whole in memory.
"""

import fcntl
import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from oleada_store.files import sync_directory

from oleada_server.backup import manifest as manifests
from oleada_server.backup import sealed
from oleada_server.backup.errors import BackupExistsError, BackupSealedError, BadBackupError
from oleada_server.backup.manifest import Entry, Manifest

CHUNK_BYTES: Final = 1024 * 1024
MODE: Final = 0o600
PART: Final = (".oleada-backup-", ".part")
"""How the name of a backup that is not whole yet begins and ends."""


class Writer:
    """Adds members and remembers what they are; :func:`written` makes one."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.entries: list[Entry] = []

    def add(self, name: str, source: IO[bytes], size_bytes: int) -> Entry:
        """Add *size_bytes* bytes of *source* as member *name*.

        Raises:
            BadBackupError: *source* ended before that: the file changed meanwhile.
        """
        hashing = _Hashing(source)
        try:
            self._tar.addfile(_member(name, size_bytes), hashing)  # type: ignore[arg-type] # it reads
        except OSError as error:
            if hashing.size_bytes == size_bytes or error.errno is not None:
                raise
            raise BadBackupError(f"{name} became shorter while it was read; try again.") from error
        entry = Entry(manifests.check_name(name), size_bytes, hashing.hexdigest())
        self.entries.append(entry)
        return entry

    def finish(self, manifest: Manifest) -> None:
        """Add the manifest, after which nothing may come."""
        text = manifests.to_json(manifest)
        self.add_text(manifests.NAME, text)
        self.entries.pop()

    def add_text(self, name: str, text: bytes) -> None:
        """Add member *name* that is small enough to be in memory."""
        self.add(name, io.BytesIO(text), len(text))


@contextmanager
def written(path: Path, passphrase: bytes | None) -> Iterator[Writer]:
    """Yield a writer; when the block ends well the backup stands at *path*, else nothing does.

    Raises:
        BackupExistsError: *path* is there already.
    """
    if path.exists():
        raise BackupExistsError(path)
    _clear_left_over(path.parent)
    descriptor, name = tempfile.mkstemp(PART[1], PART[0], path.parent)
    part = Path(name)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        with os.fdopen(descriptor, "wb") as file:
            out: Any = file if passphrase is None else sealed.Sealer(file, passphrase)
            with tarfile.open(fileobj=out, mode="w|", format=tarfile.GNU_FORMAT) as tar:
                yield Writer(tar)
            if passphrase is not None:
                out.close()
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            raise BackupExistsError(path)
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    sync_directory(path.resolve().parent)


def _clear_left_over(folder: Path) -> None:
    """Remove what backups into *folder* that were killed have left: it holds keys."""
    for part in folder.glob("*".join(PART)):
        with suppress(OSError), part.open("rb") as file:  # of another user, or held by its backup
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


@dataclass(slots=True)
class Member:
    """One member that is being read; its bytes are gone once the next one is asked for."""

    name: str
    size_bytes: int
    content: "_Hashing"

    def chunks(self) -> Iterator[bytes]:
        """Yield what is left of the content, a mebibyte at a time."""
        while chunk := self.content.read(CHUNK_BYTES):
            yield chunk

    def entry(self) -> Entry:
        """Return what was read, after reading what was left."""
        for _ in self.chunks():
            pass
        return Entry(self.name, self.content.size_bytes, self.content.hexdigest())


def read(path: Path, passphrase: bytes | None) -> Iterator[Member]:
    """Yield every member of the backup at *path*, the manifest last.

    Raises:
        BackupSealedError: it is encrypted, and there is no *passphrase*.
        BadPassphraseError: *passphrase* is not the one it was made with.
        BadBackupError: it is damaged, cut short, no backup, or not encrypted though there
            is a *passphrase*.
    """
    if path.exists() and not path.is_file():  # a pipe, which opens once and never again
        raise BadBackupError(f"{path} is not a file on a disk, and a backup is read several times.")
    with path.open("rb") as file:
        source: Any = file
        beginning = file.read(len(sealed.MAGIC))
        file.seek(0)
        if sealed.is_sealed(beginning):
            if passphrase is None:
                raise BackupSealedError(path)
            source = sealed.Opener(file, passphrase)
        elif passphrase is not None:  # or anybody's file would pass for the one that was sealed
            raise BadBackupError(
                f"{path} is not an encrypted backup, though a passphrase was given. If it is the "
                "one that you want, leave the passphrase out."
            )
        try:
            with tarfile.open(fileobj=source, mode="r|") as tar:
                for info in tar:
                    yield _read_member(tar, info)
            while source.read(CHUNK_BYTES):  # what a cut or an addition would have changed
                pass
        except (tarfile.TarError, EOFError) as error:
            raise BadBackupError(
                f"{path} is not a backup, or was cut short: {error}. Copy it again from where it "
                "was made."
            ) from error


def check(path: Path, passphrase: bytes | None) -> Manifest:
    """Return the manifest of the backup at *path* after every byte of it was checked.

    Raises:
        BackupSealedError, BadPassphraseError, BadBackupError: as :func:`read`.
    """
    found: list[Entry] = []
    manifest: Manifest | None = None
    for member in read(path, passphrase):
        if manifest is not None:
            raise BadBackupError("The backup goes on after its manifest.")
        if member.name == manifests.NAME:
            manifest = manifests.from_json(_whole(member))
        else:
            found.append(member.entry())
    if manifest is None:
        raise BadBackupError(f"{path} was cut short: it has no {manifests.NAME}.")
    manifests.check_whole(manifest, found)
    return manifest


class _Hashing:
    """A file that is read once, and hashed and counted on the way."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def read(self, size_bytes: int) -> bytes:
        """Return the next bytes, up to *size_bytes*."""
        try:
            found = self._source.read(size_bytes)
        except tarfile.TarError as error:
            raise BadBackupError(f"The backup was cut short: {error}.") from error
        self._digest.update(found)
        self.size_bytes += len(found)
        return found

    def hexdigest(self) -> str:
        """Return the SHA-256 of what was read."""
        return self._digest.hexdigest()


def _member(name: str, size_bytes: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size_bytes, MODE
    return info


def _read_member(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    if not info.isreg():
        raise BadBackupError(f"The backup holds {info.name[:120]!r}, which is not a file.")
    content = tar.extractfile(info)
    assert content is not None, "a regular file has content"  # noqa: S101
    return Member(manifests.check_name(info.name), info.size, _Hashing(content))


def _whole(member: Member) -> bytes:
    if member.size_bytes > manifests.MANIFEST_BYTES_MAX:
        raise BadBackupError(f"The backup's {manifests.NAME} has {member.size_bytes} bytes.")
    return b"".join(member.chunks())
