"""What a signed release says of itself: the ``custom`` part of its TUF target.

The target's length and SHA-256 come from TUF; everything else a box or a person
decides on is here, so that it is signed with the image.
"""

from dataclasses import dataclass
from typing import Any, Final

from oleada_wire import codec
from oleada_wire.errors import MalformedMessageError
from oleada_wire.ids import is_hardware_model
from oleada_wire.version import is_version

IMAGE_BYTES_MAX: Final = 8 * 1024**3
NOTES_CHARS_MAX: Final = 4000
SECURITY_VERSION_MAX: Final = 2**31 - 1
"""What every database of a server holds; it rises by one, a few times in a product's life."""


@dataclass(frozen=True, slots=True)
class ReleaseInfo:
    """One signed release for one hardware model.

    Attributes:
        hardware_models: Models the image runs on; the target's path names the first.
        version: Dotted numbers.
        security_version: 1 to ``SECURITY_VERSION_MAX``; the only anti-rollback floor.
        min_version: The oldest version a box may come from; None for any.
        provides: What it can do, such as ``codec:hevc-main10`` or ``drm:widevine-l1``.
        depends: What a box must be able to do before it takes the release.
        must_pass: A box below it goes through it before anything newer.
        fixes: Ids of faults it fixes, such as ``F-118``.
        notes: By language tag; ``en`` is always there.
    """

    hardware_models: tuple[str, ...]
    version: str
    security_version: int
    notes: dict[str, str]
    min_version: str | None = None
    provides: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()
    depends: tuple[str, ...] | None = None
    must_pass: bool | None = None

    def __post_init__(self) -> None:
        if not self.hardware_models or not all(map(is_hardware_model, self.hardware_models)):
            raise ValueError("hardware_models names at least one model, such as VX-410")
        if not is_version(self.version):
            raise ValueError(f"version {self.version!r} is not dotted numbers, such as 5.8.2")
        if self.min_version is not None and not is_version(self.min_version):
            raise ValueError(f"min_version {self.min_version!r} is not dotted numbers")
        if not 1 <= self.security_version <= SECURITY_VERSION_MAX:
            raise ValueError(f"security_version is not 1 to {SECURITY_VERSION_MAX}")
        if "en" not in self.notes:
            raise ValueError("notes need at least the language 'en'")
        if any(len(text) > NOTES_CHARS_MAX for text in self.notes.values()):
            raise ValueError(f"a note has more than {NOTES_CHARS_MAX} characters")

    def to_custom(self) -> dict[str, Any]:
        """Return the ``custom`` object of the TUF target."""
        found: dict[str, Any] = codec.to_json(self)
        return found

    @classmethod
    def from_custom(cls, custom: Any) -> "ReleaseInfo":
        """Return what *custom* says.

        Raises:
            MalformedMessageError: *custom* does not describe a release.
        """
        return codec.from_json(cls, custom, "custom")


def target_path(hardware_model: str, version: str) -> str:
    """Return the TUF target path of a release: ``VX-410/5.8.2.img``."""
    return f"{hardware_model}/{version}.img"


def parse_target_path(path: str) -> tuple[str, str]:
    """Return hardware model and version of target *path*.

    Raises:
        MalformedMessageError: *path* is not ``<model>/<version>.img``.
    """
    model, slash, name = path.partition("/")
    version = name.removesuffix(".img")
    if not (slash and name.endswith(".img") and is_hardware_model(model) and is_version(version)):
        raise MalformedMessageError(
            f"Target {path[:80]!r} is not <model>/<version>.img, such as VX-410/5.8.2.img."
        )
    return model, version
