"""The release bundle: a plain tar that carries a release from the signer to the server.

    bundle.json               what is inside, for people and for early refusal
    metadata/<model>.json     the next version of the model's TUF role, signed or not yet
    image                     the raw image

Exactly these regular files, in this order, so that the server can refuse after a few
kilobytes and never holds an image in memory. What counts is the signed metadata;
``bundle.json`` only has to agree with it. Reference: docs/reference/release-bundle.md.
"""

import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol

from oleada_wire import canonical, codec
from oleada_wire.errors import WireError
from oleada_wire.ids import is_hardware_model
from oleada_wire.release import IMAGE_BYTES_MAX

from oleada_store.blobs import CHUNK_BYTES
from oleada_store.errors import BadBundleError, TruncatedBundleError
from oleada_store.repository import METADATA_BYTES_MAX

FORMAT: Final = "oleada.bundle/1"
CONTENT_TYPE: Final = "application/vnd.oleada.bundle"
DESCRIPTION_BYTES_MAX: Final = 64 * 1024
PADDING_BYTES_MAX: Final = 20 * tarfile.BLOCKSIZE
"""Zeros after the last file: tar programs fill up a record of 20 blocks."""

_DESCRIPTION: Final = "bundle.json"
_IMAGE: Final = "image"


class Readable(Protocol):
    """Something to read bytes from: a file, or the body of a request."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most *size* bytes; none at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Description:
    """What ``bundle.json`` says.

    Attributes:
        format: ``oleada.bundle/1``.
        role_version: Of the model's metadata in the bundle; from 2.
        size_bytes: Of the image.
        sha256: Of the image; 64 lowercase hex digits.
        image_name: The file the image came from, for people.
        base: Where the published metadata came from, for people.
        may_sign: Ids of the keys that may sign, so that a wrong key is told at once.
    """

    format: str
    hardware_model: str
    version: str
    role_version: int
    target_path: str
    size_bytes: int
    sha256: str
    image_name: str
    base: str
    may_sign: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"format is {self.format[:40]!r}; {FORMAT!r} was expected")
        if not is_hardware_model(self.hardware_model):
            raise ValueError("hardware_model is not the name of a model, such as VX-410")
        if not 0 < self.size_bytes <= IMAGE_BYTES_MAX:
            raise ValueError(f"size_bytes is not 1 to {IMAGE_BYTES_MAX}")


@dataclass(frozen=True, slots=True)
class Head:
    """All of a bundle but the image."""

    description: Description
    metadata: bytes


def write(file: BinaryIO, head: Head, image: Iterable[bytes]) -> None:
    """Write a bundle to *file*; the same input gives the same bytes.

    Raises:
        BadBundleError: *image* is not as long as *head* says.
    """
    description = canonical.dumps(codec.to_json(head.description))
    _write_member(file, _DESCRIPTION, len(description), [description])
    name = _metadata_name(head.description.hardware_model)
    _write_member(file, name, len(head.metadata), [head.metadata])
    _write_member(file, _IMAGE, head.description.size_bytes, image)
    file.write(bytes(2 * tarfile.BLOCKSIZE))


class Reader:
    """Reads a bundle from a stream once, from front to back.

    Call `head`, then consume `image`; the end of the bundle is checked when the image
    has been read to its end.
    """

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._image_bytes = 0

    def head(self) -> Head:
        """Return everything that stands before the image.

        Raises:
            BadBundleError: this is not a bundle, or ends too early.
        """
        text = self._small_member(_DESCRIPTION, DESCRIPTION_BYTES_MAX)
        try:
            loaded = canonical.loads(text, _DESCRIPTION, DESCRIPTION_BYTES_MAX)
            description = codec.from_json(Description, loaded, _DESCRIPTION)
        except WireError as error:
            raise BadBundleError(f"This is not a release bundle: {error}") from error
        name = _metadata_name(description.hardware_model)
        metadata = self._small_member(name, METADATA_BYTES_MAX)
        self._image_bytes = self._member(_IMAGE, IMAGE_BYTES_MAX)
        if self._image_bytes != description.size_bytes:
            raise BadBundleError(
                f"The image in the bundle has {self._image_bytes} bytes, but bundle.json says "
                f"{description.size_bytes}. Build the bundle again."
            )
        return Head(description, metadata)

    def image(self) -> Iterator[bytes]:
        """Yield the image in chunks of at most ``CHUNK_BYTES``, then check the bundle's end.

        Raises:
            BadBundleError: the bundle ends too early, or goes on after its end.
        """
        left = self._image_bytes
        while left:
            chunk = self._exactly(min(CHUNK_BYTES, left), "the image", left)
            left -= len(chunk)
            yield chunk
        self._skip_padding(self._image_bytes, "the image")
        self._end()

    def _small_member(self, name: str, size_bytes_max: int) -> bytes:
        size_bytes = self._member(name, size_bytes_max)
        content = self._exactly(size_bytes, name, size_bytes)
        self._skip_padding(size_bytes, name)
        return content

    def _member(self, name: str, size_bytes_max: int) -> int:
        block = self._exactly(tarfile.BLOCKSIZE, f"the header of {name}", tarfile.BLOCKSIZE)
        try:
            found = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, ValueError) as error:
            raise BadBundleError(
                f"This is not a release bundle: no tar header for {name!r} ({error}). "
                "Make one with: oleada release build"
            ) from error
        if found.name != name or found.type != tarfile.REGTYPE:
            raise BadBundleError(
                f"The bundle holds {found.name[:80]!r} where the file {name!r} was expected."
            )
        if not 0 < found.size <= size_bytes_max:
            raise BadBundleError(
                f"{name} in the bundle has {found.size} bytes; 1 to {size_bytes_max} are taken."
            )
        return found.size

    def _exactly(self, size: int, where: str, missing_bytes: int) -> bytes:
        parts, have = [], 0
        while have < size:
            part = self._stream.read(size - have)
            if not part:
                raise TruncatedBundleError(where, missing_bytes - have)
            parts.append(part)
            have += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _skip_padding(self, size_bytes: int, where: str) -> None:
        size = -size_bytes % tarfile.BLOCKSIZE
        if self._exactly(size, f"the padding after {where}", size).strip(b"\0"):
            raise BadBundleError(f"Something is hidden in the padding after {where}.")

    def _end(self) -> None:
        size = 2 * tarfile.BLOCKSIZE
        rest = self._exactly(size, "the end mark", size)
        while part := self._stream.read(PADDING_BYTES_MAX):
            rest += part
            if len(rest) > size + PADDING_BYTES_MAX:
                break
        if rest.strip(b"\0") or len(rest) > size + PADDING_BYTES_MAX:
            raise BadBundleError("The bundle goes on after its end; nothing may follow the image.")


def _metadata_name(hardware_model: str) -> str:
    return f"metadata/{hardware_model}.json"


def _write_member(file: BinaryIO, name: str, size_bytes: int, chunks: Iterable[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size = size_bytes
    # ustar counts to 8 GiB - 1; GNU's form of the same field goes further
    file.write(member.tobuf(tarfile.GNU_FORMAT))
    written = 0
    for chunk in chunks:
        written += len(chunk)
        if written <= size_bytes:
            file.write(chunk)
    if written != size_bytes:
        raise BadBundleError(
            f"{name} has {written} bytes, but {size_bytes} were announced; did it change?"
        )
    file.write(bytes(-size_bytes % tarfile.BLOCKSIZE))
