"""What an image says of itself in its first 1 024 bytes, compared with what is signed.

An image with our header boots only on the model it names and only if every byte after
the header has the digest in it, so a release that says otherwise would end on every
box that tries it. An image without our header (a RAUC bundle, say) is not judged.
Source: ADR 0007; the boot program's reader is ``oleada_agent.boot.image``.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from oleada_wire import canonical, codec
from oleada_wire.errors import WireError
from oleada_wire.release import ReleaseInfo

from oleada_store.errors import BadImageError, MisnamedReleaseError

MAGIC: Final = b"OLEADA1\n"
HEADER_BYTES: Final = 1024
_TEXT_AT: Final = len(MAGIC) + 32


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The header; *body_sha256* covers everything after it."""

    image_bytes: int
    body_sha256: str
    hardware_model: str
    version: str


def as_described(chunks: Iterable[bytes], info: ReleaseInfo, size_bytes: int) -> Iterator[bytes]:
    """Yield *chunks* of an image of *size_bytes*, once what it says of itself fits *info*.

    Raises:
        MisnamedReleaseError: it is an image of another model or version.
        BadImageError: its header is damaged, or does not fit the bytes after it.
    """
    header: ImageHeader | None = None
    first, body, is_read = b"", hashlib.sha256(), False
    for chunk in chunks:
        if is_read:
            body.update(chunk)
        else:
            first += chunk
            if len(first) >= HEADER_BYTES:
                header, is_read = _check(first[:HEADER_BYTES], info, size_bytes), True
                body.update(first[HEADER_BYTES:])
        yield chunk
    if header is not None and body.hexdigest() != header.body_sha256:
        raise BadImageError(
            f"The image's own header names SHA-256 {header.body_sha256} for what follows it, "
            f"which has {body.hexdigest()}: no box could start it. Build the image again."
        )


def _check(data: bytes, info: ReleaseInfo, size_bytes: int) -> ImageHeader | None:
    if not data.startswith(MAGIC):
        return None
    header = _read(data)
    if header.hardware_model not in info.hardware_models or header.version != info.version:
        raise MisnamedReleaseError(
            f"The image says it is {header.version} for {header.hardware_model}, but the release "
            f"says {info.version} for {', '.join(info.hardware_models)}. Name it as it is."
        )
    if header.image_bytes != size_bytes:
        raise BadImageError(
            f"The image has {size_bytes} bytes, but its own header says {header.image_bytes}. "
            "Build the image again."
        )
    return header


def _read(data: bytes) -> ImageHeader:
    digest, text = data[len(MAGIC) : _TEXT_AT], data[_TEXT_AT:].rstrip(b"\0")
    if hashlib.sha256(text).digest() != digest:
        raise BadImageError("The image's own header is damaged: no box could start it.")
    try:
        found = canonical.loads(text, "image header", HEADER_BYTES)
        return codec.from_json(ImageHeader, found, "image header")
    except WireError as error:
        raise BadImageError(f"The image's own header can not be read: {error}") from error
