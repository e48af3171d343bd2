"""Images by digest, as files: ``<2>/<sha256>`` under one directory.

A blob is written to ``incoming/``, hashed on the way, made durable and renamed into
place only when its digest is the one that was signed; a reader never sees half of one.
Runs of zeros become holes, so that a sparse image stays sparse. Memory stays flat.
"""

import errno
import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from oleada_store.errors import BadImageError, StorageFullError
from oleada_store.files import sync_directory

CHUNK_BYTES: Final = 1024 * 1024
DIGEST_PATTERN: Final = re.compile(r"[0-9a-f]{64}")
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_INCOMING: Final = "incoming"
_ZEROS: Final = bytes(CHUNK_BYTES)


@dataclass(slots=True)
class Incoming:
    """An image that is complete and durable, but not in place yet.

    As a context manager it leaves nothing behind unless `keep` was called.
    """

    path: Path
    sha256: str
    size_bytes: int
    store: "Blobs"

    def keep(self) -> Path:
        """Put the image in place under its digest, durably; doing so twice is harmless."""
        place = self.store.path(self.sha256)
        place.parent.mkdir(exist_ok=True)
        os.replace(self.path, place)
        sync_directory(place.parent)
        sync_directory(self.store.directory)
        return place

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.path.unlink(missing_ok=True)


class Blobs:
    """The blobs under *directory*, which is made when missing."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / _INCOMING).mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Return where the blob of digest *sha256* is, or would be.

        Raises:
            ValueError: *sha256* is not 64 lowercase hex digits.
        """
        if not DIGEST_PATTERN.fullmatch(sha256):
            raise ValueError(f"{sha256[:80]!r} is not a SHA-256: 64 lowercase hex digits")
        return self.directory / sha256[:2] / sha256

    def receive(self, chunks: Iterable[bytes], sha256: str, size_bytes: int) -> Incoming:
        """Write *chunks* to disk and check them against the digest and size that were signed.

        Raises:
            BadImageError: too long, too short, or of another digest; nothing is left.
            StorageFullError: there is no room for it; nothing is left.
        OSError: the disk is broken; nothing is left.
        """
        part = self.directory / _INCOMING / f"{secrets.token_hex(8)}.part"
        try:
            with part.open("xb") as file:
                found = _copy(chunks, file, size_bytes)
                file.flush()
                os.fsync(file.fileno())
            if found != sha256:
                raise BadImageError(
                    f"The image has SHA-256 {found}; {sha256} was signed. It was changed after "
                    "signing, or damaged on the way: send it again."
                )
        except BaseException as error:
            part.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                raise StorageFullError(
                    f"There is no room for an image of {size_bytes} bytes in {self.directory} "
                    f"({error.strerror}). Make room, then send the bundle again."
                ) from error
            raise
        return Incoming(part, sha256, size_bytes, self)

    def digests(self) -> Iterator[str]:
        """Yield the digest of every blob in place."""
        for folder in sorted(self.directory.iterdir()):
            if len(folder.name) == 2 and folder.is_dir():
                yield from (p.name for p in folder.iterdir() if DIGEST_PATTERN.fullmatch(p.name))

    def delete(self, sha256: str) -> None:
        """Remove the blob of digest *sha256*, if it is there."""
        place = self.path(sha256)
        place.unlink(missing_ok=True)
        with suppress(OSError):  # another blob shares the folder, or it was never there
            place.parent.rmdir()

    def clear_incoming(self) -> None:
        """Remove what a killed process left half written."""
        for part in (self.directory / _INCOMING).iterdir():
            part.unlink(missing_ok=True)

    def open_range(self, sha256: str, start: int = 0) -> BinaryIO:
        """Return the blob of digest *sha256*, open at byte *start*; the caller closes it.

        Raises:
            FileNotFoundError: there is no such blob.
        """
        file = self.path(sha256).open("rb")
        file.seek(start)
        return file


def hash_chunks(chunks: Iterable[bytes]) -> tuple[str, int]:
    """Return SHA-256 (64 hex digits) and size in bytes of *chunks*."""
    digest, size_bytes = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        size_bytes += len(chunk)
    return digest.hexdigest(), size_bytes


def file_chunks(file: BinaryIO) -> Iterator[bytes]:
    """Yield *file* from where it stands, in chunks of ``CHUNK_BYTES`` or less."""
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def _copy(chunks: Iterable[bytes], file: BinaryIO, size_bytes: int) -> str:
    digest, written = hashlib.sha256(), 0
    for chunk in chunks:
        written += len(chunk)
        if written > size_bytes:
            raise BadImageError(f"The image has more than the {size_bytes} bytes that were signed.")
        digest.update(chunk)
        if chunk == _ZEROS[: len(chunk)]:
            file.seek(len(chunk), os.SEEK_CUR)
        else:
            file.write(chunk)
    if written < size_bytes:
        raise BadImageError(
            f"The image ends after {written} bytes; {size_bytes} were signed. Send it again."
        )
    file.truncate(size_bytes)
    return digest.hexdigest()
