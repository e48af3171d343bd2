"""Images of a story: a real header over random bytes, since nothing of them is executed."""

from dataclasses import dataclass, field
from hashlib import sha256
from random import Random

from oleada_agent.boot import image
from oleada_agent.boot.image import ImageHeader


@dataclass(frozen=True, slots=True)
class Image:
    """One release as bytes; *sha256* of all of them, 64 hex digits."""

    version: str
    data: bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class Kit:
    """What every box of a fleet has in common; *images* by digest."""

    hardware_model: str
    factory: Image
    images: dict[str, Image]
    _checked: dict[bytes, ImageHeader] = field(default_factory=dict)

    def check(self, data: bytes) -> ImageHeader:
        """Return the header of *data*, every byte checked; equal bytes are checked once.

        Raises:
            ImageError: it may not boot.
        """
        key = sha256(data).digest()
        found = self._checked.get(key)
        if found is None:
            found = image.check(lambda offset, size: data[offset : offset + size])
            self._checked[key] = found
        return found


def an_image(version: str, hardware_model: str, size_bytes: int) -> Image:
    """Return an image of *size_bytes* that no other version shares a byte with, but by chance."""
    body = Random(version).randbytes(size_bytes - image.HEADER_BYTES)
    header = ImageHeader(size_bytes, sha256(body).hexdigest(), hardware_model, version)
    data = header.to_bytes() + body
    return Image(version, data, sha256(data).hexdigest())
