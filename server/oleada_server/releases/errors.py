"""Errors of releases: each refusal of a bundle is a class of its own.

ServerError
├── RefusedBundleError              400  nothing of the bundle is kept
│   ├── MalformedBundleError             not a bundle, or it hides something
│   ├── TruncatedBundleError             it ends too early
│   ├── BadMetadataError                 not TUF metadata of a model's role
│   ├── UnsignedBundleError              fewer than two of the role's keys sign it
│   ├── ExpiredMetadataError             signed, but its time is over
│   ├── MisnamedReleaseError             path, model, version do not say the same
│   ├── UnexpectedChangeError            it changes more than one new release may
│   ├── UnknownModelError                no keys are delegated for this model
│   ├── WrongImageError                  the image is not the one that was signed
│   ├── ImageTooLargeError          413
│   ├── SecurityVersionError             below that of a published release
│   └── MetadataTooLargeError            boxes could not receive it any more
├── StaleBaseError                  409  built on metadata that is not the newest
├── OneSignerError                  409  two of the keys that signed it belong to one person
├── VersionTakenError               409  another image has this version
├── WithdrawnReleaseError           409  a withdrawn release never comes back
├── ReleaseNotFoundError            404
├── TufFileNotFoundError            404
├── ArtifactNotFoundError           404
├── ArtifactWithdrawnError          410
├── NoRoomError                     507  the disk that holds the images is full
├── TrustMissingError               409  no keys were installed yet
└── UntrustedFilesError             400  files of a ceremony that can not be installed
"""

from oleada_store import errors as store

from oleada_server.errors import BadInputError, ConflictError, NotFoundError, ServerError


class RefusedBundleError(BadInputError):
    """The bundle is refused, and nothing of it is kept."""

    code = "bundle-refused"


class MalformedBundleError(RefusedBundleError):
    """The upload is not a release bundle, or hides something in one."""

    code = "bundle-malformed"


class TruncatedBundleError(RefusedBundleError):
    """The bundle ends too early."""

    code = "bundle-truncated"


class BadMetadataError(RefusedBundleError):
    """What stands for metadata in the bundle is none."""

    code = "bundle-metadata"


class UnsignedBundleError(RefusedBundleError):
    """Fewer than the threshold of the model's keys sign the bundle."""

    code = "bundle-unsigned"


class ExpiredMetadataError(RefusedBundleError):
    """Signed metadata has expired."""

    code = "metadata-expired"


class MisnamedReleaseError(RefusedBundleError):
    """Path, model and version do not say the same."""

    code = "release-misnamed"


class UnexpectedChangeError(RefusedBundleError):
    """The bundle changes more than one new release may."""

    code = "bundle-unexpected-change"


class UnknownModelError(RefusedBundleError):
    """No keys are delegated for this hardware model."""

    code = "model-unknown"


class WrongImageError(RefusedBundleError):
    """The image is not the one that was signed."""

    code = "image-wrong"


class ImageTooLargeError(RefusedBundleError):
    """The image is larger than this server takes."""

    status = 413
    code = "image-too-large"


class SecurityVersionError(RefusedBundleError):
    """The release would be refused by boxes that have a newer one."""

    code = "security-version-low"

    def __init__(self, found: int, newest: int, version: str) -> None:
        super().__init__(
            f"The release has security version {found}, but {version} is published with {newest}; "
            f"boxes never go below that. Build it with --security-version {newest} or higher."
        )


class MetadataTooLargeError(RefusedBundleError):
    """The model's metadata would not fit into one message any more."""

    code = "metadata-too-large"

    def __init__(self, size_bytes: int, size_bytes_max: int) -> None:
        super().__init__(
            f"The model's metadata would fill a message of {size_bytes} bytes; boxes take "
            f"{size_bytes_max}. Notes weigh most: make them shorter and build again."
        )


class StaleBaseError(ConflictError):
    """The bundle was built on metadata that is not the newest any more."""

    code = "bundle-stale-base"


class VersionTakenError(ConflictError):
    """Another image, or another description, is published as this version."""

    code = "version-taken"

    def __init__(self, target_path: str) -> None:
        super().__init__(
            f"{target_path} is published already with another image or description; a release "
            "is never replaced. Give the image a new version."
        )


class WithdrawnReleaseError(ConflictError):
    """A withdrawn release never comes back."""

    code = "release-withdrawn"

    def __init__(self, target_path: str) -> None:
        super().__init__(
            f"{target_path} was withdrawn and never comes back. Give the image a new version."
        )


class ReleaseNotFoundError(NotFoundError):
    """There is no such release."""

    code = "release-not-found"

    def __init__(self, hardware_model: str, version: str) -> None:
        super().__init__(
            f"There is no release {version} of {hardware_model}. "
            "`oleada release list` shows those that are."
        )


class TufFileNotFoundError(NotFoundError):
    """There is no such metadata file, or not in this version."""

    code = "tuf-file-not-found"


class ArtifactNotFoundError(NotFoundError):
    """No release has an image of this digest."""

    code = "artifact-not-found"


class ArtifactWithdrawnError(NotFoundError):
    """Every release with this image was withdrawn, so nobody may fetch it."""

    status = 410
    code = "artifact-withdrawn"


class NoRoomError(ServerError):
    """The disk that holds the images is full."""

    status = 507
    code = "no-room"


class TrustMissingError(ConflictError):
    """No keys were installed yet, so nothing can be trusted."""

    code = "trust-missing"

    def __init__(self) -> None:
        super().__init__(
            "The server has no root of trust yet. Hold the key ceremony (oleada keys init), "
            "then: oleada release trust DIR"
        )


class UntrustedFilesError(BadInputError):
    """The files of a ceremony can not be installed."""

    code = "trust-refused"


_REFUSALS: tuple[tuple[type[store.StoreError], type[ServerError]], ...] = (
    (store.NotSignedError, UnsignedBundleError),
    (store.ExpiredMetadataError, ExpiredMetadataError),
    (store.StaleBaseError, StaleBaseError),
    (store.UnexpectedChangeError, UnexpectedChangeError),
    (store.BadMetadataError, BadMetadataError),
    (store.UnknownModelError, UnknownModelError),
    (store.MisnamedReleaseError, MisnamedReleaseError),
    (store.TruncatedBundleError, TruncatedBundleError),
    (store.BadBundleError, MalformedBundleError),
    (store.ImageTooLargeError, ImageTooLargeError),
    (store.BadImageError, WrongImageError),
    (store.StorageFullError, NoRoomError),
)


def refusal(error: store.StoreError) -> ServerError:
    """Return what the server answers to *error* of the store; its sentence stays."""
    for found, answer in _REFUSALS:
        if isinstance(error, found):
            return answer(str(error))
    return RefusedBundleError(str(error))


class OneSignerError(ConflictError):
    """Two of the keys that signed a release belong to one person."""

    code = "one-signer"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} owns two of the keys that signed this release; two persons have to sign."
        )
