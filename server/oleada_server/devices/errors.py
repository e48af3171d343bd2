"""Errors of devices."""

from oleada_server.errors import BadInputError, NotFoundError


class DeviceNotFoundError(NotFoundError):
    """No box with this id is enrolled."""

    code = "device-not-found"

    def __init__(self, device_id: str) -> None:
        super().__init__(
            f"There is no device {device_id[:40]!r}; check the id, or enrol the box first."
        )


class BadPageKeyError(BadInputError):
    """A page key was not made by this server."""

    code = "bad-page-key"

    def __init__(self) -> None:
        super().__init__(
            "The page key is damaged; ask for the first page again, without a key.", "after"
        )
