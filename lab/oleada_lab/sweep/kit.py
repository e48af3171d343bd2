"""What a sweep installs and who signs it: made once, the same for every cut.

Keys are made anew in each run; nothing that is decided depends on their bytes.
"""

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from oleada_agent.boot.image import HEADER_BYTES
from oleada_agent.config import Config
from oleada_wire.envelope import KeySigner

from oleada_lab.real.repository import MODEL, NOON, Repository, replace_a_root_key
from oleada_lab.sim.images import Image, an_image

SPARE, RUNNING, NEW, NEWER = "0.9.0", "1.0.0", "1.1.0", "1.2.0"
"""What lies in slot B, what runs in slot A, and what is offered: first, and after that."""
SECURITY_VERSIONS: Final = {SPARE: 1, RUNNING: 1, NEW: 2, NEWER: 3}
DEVICE: Final = "VX417Q3K0928"
PART_BYTES: Final = 4096
IMAGE_BYTES: Final = 6 * PART_BYTES
"""Six parts, of which two make a segment: checkpoints come after a second each."""
PART_MS: Final = 500
SLOT_BYTES: Final = 1 << 20
AGENT_BYTES: Final = 64
START_MS: Final = int((NOON + timedelta(hours=1)).timestamp() * 1000)
CONFIG: Final = Config("SN-417", MODEL, "https://door.example", "ca.pem", "claim-token")
TOKEN: Final = "claim-me"  # noqa: S105 - it opens nothing but a box in memory


class Place(NamedTuple):
    """Where a version runs."""

    slot: str
    version: str

    @property
    def security_version(self) -> int:
        """Return what going back from this version would be a danger for."""
        return SECURITY_VERSIONS[self.version]


class Release(NamedTuple):
    """What is offered to a box.

    Attributes:
        number: From 1; names its assignment, wave, command and deny list.
        old: What runs when it is offered.
        new: What it is, and where it goes.
    """

    number: int
    old: Place
    new: Place

    @property
    def target_path(self) -> str:
        """Return where it lies among the targets."""
        return f"{MODEL}/{self.new.version}.img"


FIRST: Final = Release(1, Place("A", RUNNING), Place("B", NEW))
SECOND: Final = Release(2, Place("B", NEW), Place("A", NEWER))


@dataclass(frozen=True, slots=True)
class Line:
    """How an image comes over the network.

    Attributes:
        part_bytes: Of one part.
        part_ms: That it takes.
        parts_ahead: Fetched, but not written yet; a cut loses them.
    """

    part_bytes: int = PART_BYTES
    part_ms: int = PART_MS
    parts_ahead: int = 1


@dataclass(frozen=True, slots=True)
class Kit:
    """All that is signed, and the images by version.

    Attributes:
        first: Metadata files as of enrolment, by plain name.
        second: As of the update: a key of the root was replaced, the first release is in.
        third: The second release is in as well.
        director: Signs assignments, leases, commands and deny lists.
        authority: Signs device certificates.
    """

    images: dict[str, Image]
    first: dict[str, str]
    second: dict[str, str]
    third: dict[str, str]
    root: str
    director: KeySigner
    approvers: tuple[KeySigner, ...]
    authority: Ed25519PrivateKey

    @property
    def image_bytes_max(self) -> int:
        """Return how long the largest image is."""
        return max(len(image.data) for image in self.images.values())

    def image_of(self, sha256: str) -> bytes:
        """Return the image with digest *sha256*."""
        return next(image.data for image in self.images.values() if image.sha256 == sha256)


@cache
def a_kit(image_bytes: int = IMAGE_BYTES) -> Kit:
    """Return the kit whose new image has *image_bytes*."""
    images = {version: an_image(version, MODEL, IMAGE_BYTES) for version in (SPARE, RUNNING)}
    images |= {version: an_image(version, MODEL, image_bytes) for version in (NEW, NEWER)}
    repository = Repository(now=NOON)
    first = repository.plain_files()
    replace_a_root_key(repository)
    second, third = (_published(repository, one, images) for one in (FIRST, SECOND))
    return Kit(
        images,
        first,
        second,
        third,
        first["1.root.json"],
        repository.director,
        tuple(repository.approvers),
        Ed25519PrivateKey.generate(),
    )


def _published(
    repository: Repository, release: Release, images: dict[str, Image]
) -> dict[str, str]:
    """Return the metadata with *release*; the root goes with the first one."""
    version, data = release.new.version, images[release.new.version].data
    security_version = release.new.security_version
    repository.add_target(
        release.target_path, data, version=version, security_version=security_version
    )
    repository.publish(*(["root"] if release is FIRST else []), MODEL)
    return repository.plain_files()


def agent_of(image: Image) -> bytes:
    """Return the agent that *image* carries."""
    return image.data[HEADER_BYTES : HEADER_BYTES + AGENT_BYTES]
