"""Errors of the firmware store: a file, a key or a bundle is not what it should be.

    StoreError
    ├── KeyFileError               a key file can not be read, written or unlocked
    │   ├── KeyTokenError          a security token is away, locked, or holds no such key
    │   └── CutOffError            a change was cut off; it is finished now, and nothing else
    ├── BadMetadataError           bytes are not metadata of the role they stand for
    │   ├── NotSignedError         fewer than the threshold of the role's keys sign it
    │   ├── ExpiredMetadataError   signed, but no longer valid
    │   ├── StaleBaseError         built on a version that is not the published one
    │   └── UnexpectedChangeError  it changes more than one new release may
    ├── UnknownModelError          nothing is delegated for this hardware model
    ├── MisnamedReleaseError       path, model and version do not say the same
    ├── BadBundleError             bytes are not a release bundle
    │   └── TruncatedBundleError   the bundle ends too early
    ├── BadImageError              the image is not the one that was signed
    │   └── ImageTooLargeError     the image is larger than is taken
    ├── BadEnvelopeError           bytes are not an envelope, or not the one that waits
    ├── BadRequestFileError        a file is not one of waves to sign, or lies about them
    ├── StorageFullError           there is no room for the image
    └── SignatureRefusedError      this key may not, or need not, sign this bundle

A message says what was, what was expected and what to do.
"""


class StoreError(Exception):
    """A file, a key or a bundle is not what it should be."""


class KeyFileError(StoreError):
    """A key file can not be read, written or unlocked."""


class KeyTokenError(KeyFileError):
    """A security token is away or locked, or does not hold the key that is named."""


class CutOffError(KeyFileError):
    """A change of several files was cut off; it has been finished, and nothing else was done."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(
            "The last change of this ceremony was cut off in the middle. It has been finished now "
            f"({', '.join(sorted(names))}), and nothing else was done: look with oleada keys show, "
            "then type again what is still wanted."
        )


class BadMetadataError(StoreError):
    """Bytes are not metadata of the role they stand for."""


class NotSignedError(BadMetadataError):
    """Fewer than the threshold of the role's keys sign the metadata."""


class NotBelievedError(BadMetadataError):
    """What was shown would not be believed by a box, or could not be published."""


class ExpiredMetadataError(BadMetadataError):
    """The metadata is signed, but its time is over."""


class StaleBaseError(BadMetadataError):
    """The metadata was built on a version that is not the published one."""

    def __init__(self, role: str, built_on: int, published: int, command: str) -> None:
        super().__init__(
            f"The bundle was built on version {built_on} of {role!r}, but version {published} is "
            f"published. Build and sign it again: {command}"
        )


class UnexpectedChangeError(BadMetadataError):
    """The metadata changes more than one new release may."""


class UnknownModelError(StoreError):
    """Nothing is delegated for this hardware model."""

    def __init__(self, hardware_model: str, known: list[str]) -> None:
        names = ", ".join(known) or "none"
        super().__init__(
            f"No keys are delegated for hardware model {hardware_model!r}; known: {names}. "
            "Add it with: oleada keys add-model"
        )


class MisnamedReleaseError(StoreError):
    """Path, model and version of a release do not say the same."""


class BadBundleError(StoreError):
    """The bytes are not a release bundle."""


class TruncatedBundleError(BadBundleError):
    """The bundle ends too early."""

    def __init__(self, where: str, missing_bytes: int) -> None:
        super().__init__(
            f"The bundle ends in the middle of {where}: {missing_bytes} bytes are missing. "
            "Send it again, whole."
        )


class BadImageError(StoreError):
    """The image is not the one that was signed."""


class ImageTooLargeError(BadImageError):
    """The image is larger than is taken."""

    def __init__(self, size_bytes: int, size_bytes_max: int) -> None:
        super().__init__(
            f"The image has {size_bytes} bytes; at most {size_bytes_max} are taken. "
            "Raise image_bytes_max if the boxes' slots are larger."
        )


class BadEnvelopeError(StoreError):
    """The bytes are not an envelope of this kind, or not the one that waits for signatures."""


class BadRequestFileError(StoreError):
    """The file is not one of waves to sign, or says of a wave what is not in it."""


class StorageFullError(StoreError):
    """There is no room for the image."""


class SignatureRefusedError(StoreError):
    """This key may not, or need not, sign this bundle."""
