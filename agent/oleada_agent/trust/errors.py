"""Errors of trust: each names the attack it refuses.

TrustError
├── MalformedMetadataError   not TUF metadata of this role
├── BadSignaturesError       fewer distinct keys sign than the role needs
├── RollbackError            older than what was trusted before
├── FreezeError              expired: somebody may be holding newer metadata back
├── MixAndMatchError         not the version that the snapshot names
├── WrongHashError           not the bytes that the signed length and hashes describe
├── EndlessDataError         longer than the limit; reading stopped there
├── MissingMetadataError     a file that must exist is not there
├── WeakPolicyError          validly signed, but by a policy this box does not accept
├── SplitViewError           the server has signed two audit trails
└── TargetNotFoundError      no role that may speak for this path names it
"""


class TrustError(Exception):
    """Something is not trusted, and nothing of it was used.

    Attributes:
        attack: Stable code of the attack that this refuses, for reports and counters.
    """

    attack = "untrusted"


class MalformedMetadataError(TrustError):
    """The bytes are not TUF metadata of the expected role."""

    attack = "malformed"


class BadSignaturesError(TrustError):
    """Fewer distinct keys of the role sign than its threshold asks."""

    attack = "signature"

    def __init__(self, role: str, good: int, threshold: int) -> None:
        super().__init__(
            f"'{role}' is signed by {good} of {threshold} needed keys. "
            "It is refused; publish metadata that enough of the role's keys sign."
        )


class RollbackError(TrustError):
    """Older than what this box has trusted before."""

    attack = "rollback"


class FreezeError(TrustError):
    """Expired, so newer metadata may have been held back."""

    attack = "freeze"


class MixAndMatchError(TrustError):
    """Validly signed, but not the version that the snapshot or timestamp names."""

    attack = "mix-and-match"


class WrongHashError(TrustError):
    """Not the bytes that a signed length and signed hashes describe."""

    attack = "hash"


class EndlessDataError(TrustError):
    """Longer than the limit; reading stopped there."""

    attack = "endless-data"

    def __init__(self, name: str, size_bytes_max: int) -> None:
        super().__init__(f"'{name}' is longer than {size_bytes_max} bytes; reading stopped there.")


class MissingMetadataError(TrustError):
    """A file that must exist is not there."""

    attack = "missing"


class WeakPolicyError(TrustError):
    """Validly signed under a policy that this box does not accept."""

    attack = "policy"


class SplitViewError(TrustError):
    """The server's key has signed two audit trails of one length."""

    attack = "split-view"


class TargetNotFoundError(TrustError):
    """No role that may speak for this path names it."""

    attack = "target"
