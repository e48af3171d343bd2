"""Errors of enrolment: why a box does not get a certificate."""

from oleada_server.errors import (
    BadInputError,
    ConflictError,
    NotAllowedError,
    NotSignedInError,
    ServerError,
)


class BadRequestForCertificateError(BadInputError):
    """The certificate request is not one that is signed by a P-256 key of its own."""

    code = "bad-csr"

    def __init__(self, why: str) -> None:
        super().__init__(
            f"The certificate request is refused: {why} Send a PEM PKCS#10 request for a new "
            "P-256 key, signed by that key.",
            "csr_pem",
        )


class ClaimNotValidError(NotAllowedError):
    """The claim token is unknown or was made for another serial."""

    code = "claim-not-valid"

    def __init__(self) -> None:
        super().__init__(
            "The claim token is not valid for this serial; check both, or make a new token with "
            "`oleada device claim`."
        )


class ClaimExpiredError(NotAllowedError):
    """The claim token was not used in time."""

    code = "claim-expired"

    def __init__(self) -> None:
        super().__init__("The claim token has expired; make a new one with `oleada device claim`.")


class ClaimUsedError(ConflictError):
    """The claim token was used by another key: perhaps a copy of the box."""

    code = "claim-used"

    def __init__(self) -> None:
        super().__init__(
            "The claim token was used already, with another key. If the box was wiped, make a "
            "new token with `oleada device claim`; if not, someone has a copy of the token."
        )


class RevokedTooManyError(ConflictError):
    """One person has revoked as many boxes as one may in an hour; more take two."""

    code = "revoked-too-many"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"One person revokes {most} boxes in an hour at most. Ask for the others together; "
            "another person confirms it: oleada device revoke-many."
        )


class BadRevocationsError(BadInputError):
    """The file of revocations is none, or another server's device CA has signed it."""

    code = "bad-revocations"

    def __init__(self, why: str) -> None:
        super().__init__(f"The file of revocations can not be used: {why[:200]}.", "revocations")


class EnrolTooOftenError(ServerError):
    """Too many vain tries to enrol from one address or with one token; Retry-After says when."""

    status = 429
    code = "enrol-too-often"

    def __init__(self, wait_s: int) -> None:
        super().__init__(
            f"Too many tries to enrol in vain. Check the claim token, and try again in {wait_s} s."
        )
        self.wait_s = wait_s


class RenewTooOftenError(EnrolTooOftenError):
    """A box was given too many certificates of late; Retry-After says when to ask again."""

    code = "renew-too-often"

    def __init__(self, wait_s: int) -> None:
        ServerError.__init__(
            self, f"This box was given too many certificates today. Ask again in {wait_s} s."
        )
        self.wait_s = wait_s


class ClaimMissingError(NotSignedInError):
    """Somebody wants to enrol by EST and shows no claim token."""

    code = "claim-missing"

    def __init__(self) -> None:
        super().__init__(
            "Enrol with HTTP Basic: the serial of the box as user name, its claim token as "
            "password."
        )


class CertificateMissingError(NotAllowedError):
    """Somebody wants a certificate renewed and shows none."""

    code = "certificate-missing"

    def __init__(self) -> None:
        super().__init__(
            "Show the box's certificate in TLS, at the device door; an expired one will do. A box "
            "without one enrols with a claim token. Nothing may end the TLS of the door before the "
            "server: a proxy passes it through, and a certificate in a header counts for nothing."
        )


class CertificateExpiredError(NotAllowedError):
    """The box's certificate has expired: it is good for a new one, and for nothing else."""

    code = "certificate-expired"

    def __init__(self) -> None:
        super().__init__(
            "The certificate of this box has expired. Get the next one first: "
            "POST /.well-known/est/simplereenroll"
        )


class BoxNotKnownError(NotAllowedError):
    """The certificate is one of ours, but no box with its name is enrolled."""

    code = "box-not-known"

    def __init__(self) -> None:
        super().__init__(
            "No box with the name in this certificate is enrolled here; make a new claim token "
            "with `oleada device claim`."
        )


class BoxRevokedError(NotAllowedError):
    """The box was revoked: what it held is worth nothing any more."""

    code = "box-revoked"

    def __init__(self) -> None:
        super().__init__(
            "This box was revoked. If it is in good hands again, remove data/identity on it, make "
            "a new claim token with `oleada device claim`, and put that on the box."
        )


class KeyNotNewError(ConflictError):
    """A box asked for a certificate for a key that another box has: perhaps a copy."""

    code = "key-not-new"

    def __init__(self) -> None:
        super().__init__("The key of the request is that of another box; make a new key.")


class RenewalNotDueError(ConflictError):
    """The certificate has more than half of its life before it."""

    code = "renewal-not-due"

    def __init__(self) -> None:
        super().__init__(
            "The certificate that was shown has more than half of its life before it; ask again "
            "when less is left."
        )
