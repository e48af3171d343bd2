"""Images: a raw ext4 file system whose first 1 024 bytes hold our header.

ext4 leaves those bytes free. The header is ``MAGIC``, the SHA-256 of its JSON (32
bytes), the JSON ``{body_sha256, hardware_model, image_bytes, version}``, and zeros.
``body_sha256`` covers byte 1 024 to the end, so that one flipped byte anywhere makes the
image unbootable. Source: docs/explanation/how-the-parts-fit.md.
"""

import hashlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from oleada_agent.boot.errors import ImageError

MAGIC: Final = b"OLEADA1\n"
HEADER_BYTES: Final = 1024
FIRST_BLOCK_BYTES: Final = 4096
"""Written last, so that a slot half written holds nothing that looks like an image."""
RELEASE_PATH: Final = "/oleada/release.json"
AGENT_PATH: Final = "/oleada/agent.pyz"
INNER_BYTES_MAX: Final = 64 * 1024 * 1024
CHUNK_BYTES: Final = 1024 * 1024
DEBUGFS_LIMIT_S: Final = 60


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What an image says of itself.

    Attributes:
        image_bytes: Length of the whole image, this header included.
        body_sha256: Of everything after the header; 64 lowercase hex digits.
    """

    image_bytes: int
    body_sha256: str
    hardware_model: str
    version: str

    def to_bytes(self) -> bytes:
        """Return the header, 1 024 bytes.

        Raises:
            ImageError: it does not fit.
        """
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()
        found = MAGIC + hashlib.sha256(text).digest() + text
        if len(found) > HEADER_BYTES:
            raise ImageError(f"The header has {len(found)} bytes; {HEADER_BYTES} are free.")
        return found.ljust(HEADER_BYTES, b"\0")


def parse_header(data: bytes) -> ImageHeader:
    """Return the header that *data* begins with.

    Raises:
        ImageError: there is none, or one byte of it is not right.
    """
    start = len(MAGIC) + hashlib.sha256().digest_size
    if len(data) < HEADER_BYTES or not data.startswith(MAGIC):
        raise ImageError("There is no image: its first bytes are not those of a header.")
    digest, text = data[len(MAGIC) : start], data[start:HEADER_BYTES].rstrip(b"\0")
    if hashlib.sha256(text).digest() != digest:
        raise ImageError("The image's header is damaged: its SHA-256 is another.")
    try:
        header = ImageHeader(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise ImageError(f"The image's header is not one of ours: {error}.") from error
    numbers = type(header.image_bytes) is int
    if (
        not numbers
        or header.image_bytes <= HEADER_BYTES
        or header.to_bytes() != data[:HEADER_BYTES]
    ):
        raise ImageError("The image's header is not spelt as a builder spells it.")
    return header


def read_header(path: Path) -> ImageHeader:
    """Return the header of the image in *path*; its body is not looked at.

    Raises:
        ImageError: there is none.
    """
    try:
        with path.open("rb") as file:
            return parse_header(file.read(HEADER_BYTES))
    except OSError as error:
        raise ImageError(f"{path.name}: {error.strerror}.") from error


def check(read: Callable[[int, int], bytes]) -> ImageHeader:
    """Return the header of an image of which every byte is right.

    Args:
        read: Takes an offset and a length and returns at most that much.

    Raises:
        ImageError: one byte is not right, or the image is cut short.
    """
    header = parse_header(read(0, HEADER_BYTES))
    found = hashlib.sha256()
    at = HEADER_BYTES
    while at < header.image_bytes:
        part = read(at, min(CHUNK_BYTES, header.image_bytes - at))
        if not part:
            raise ImageError(f"The image ends at byte {at}; {header.image_bytes} were expected.")
        found.update(part)
        at += len(part)
    if found.hexdigest() != header.body_sha256:
        raise ImageError(f"Image {header.version} is damaged: the SHA-256 of its body is another.")
    return header


def check_file(path: Path) -> ImageHeader:
    """Return the header of the image in *path*, every byte of which is right.

    Raises:
        ImageError: there is none.
    """
    try:
        with path.open("rb", buffering=0) as file:

            def read(offset: int, size_bytes: int) -> bytes:
                file.seek(offset)
                return file.read(size_bytes)

            return check(read)
    except OSError as error:
        raise ImageError(f"{path.name}: {error.strerror}.") from error


def seal_header(path: Path, *, hardware_model: str, version: str) -> ImageHeader:
    """Write the header into the file system image *path*, in place, and return it.

    Raises:
        ImageError: the file is too short to be an image.
    """
    image_bytes = path.stat().st_size
    if image_bytes <= HEADER_BYTES:
        raise ImageError(f"{path.name} has {image_bytes} bytes; a file system has more.")
    body = hashlib.sha256()
    with path.open("r+b") as file:
        file.seek(HEADER_BYTES)
        while part := file.read(CHUNK_BYTES):
            body.update(part)
        header = ImageHeader(image_bytes, body.hexdigest(), hardware_model, version)
        file.seek(0)
        file.write(header.to_bytes())
    return header


def read_inner(path: Path, inner: str) -> bytes:
    """Return the file *inner* out of the file system in image *path*, without mounting it.

    Raises:
        ImageError: it is not there, is too large, or the file system can not be read.
    """
    with TemporaryDirectory(prefix="oleada-image-") as folder:
        out = Path(folder) / "out"
        try:
            done = subprocess.run(
                ["debugfs", "-R", f"dump {inner} {out}", str(path)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=DEBUGFS_LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ImageError(f"debugfs can not read {path.name}: {error}.") from error
        if not out.is_file() or out.stat().st_size == 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise ImageError(f"{path.name} holds no {inner}: {' '.join(said)}")
        if out.stat().st_size > INNER_BYTES_MAX:
            raise ImageError(f"{inner} has {out.stat().st_size} bytes; too large to be ours.")
        return out.read_bytes()
