"""Errors of enrolment: why a box does not get a certificate."""

from oleada_server.errors import BadInputError, ConflictError, NotAllowedError, ServerError


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


class EnrolTooOftenError(ServerError):
    """Too many vain tries to enrol from one address or with one token; Retry-After says when."""

    status = 429
    code = "enrol-too-often"

    def __init__(self, wait_s: int) -> None:
        super().__init__(
            f"Too many tries to enrol in vain. Check the claim token, and try again in {wait_s} s."
        )
        self.wait_s = wait_s
