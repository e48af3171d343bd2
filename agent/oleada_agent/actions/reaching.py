"""From a host's name to the address that is measured, and from errors to TR-181's words."""

import errno
import ipaddress
import socket
from typing import Any, Final

from oleada_wire.words import Refusal, ResultStatus

from oleada_agent.actions.order import ActionError, refused

NO_ROUTE: Final = frozenset((errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EACCES))


def address_of(host: str, family: int = socket.AF_UNSPEC) -> tuple[int, str]:
    """Return family and address of *host*.

    Raises:
        ActionError: the name can not be resolved.
    """
    try:
        found = socket.getaddrinfo(host, None, family, socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise ActionError(
            ResultStatus.CANNOT_RESOLVE, f"{host} can not be resolved: {error}."
        ) from error
    first: Any = found[0]
    return first[0], str(first[4][0])


def no_route(error: OSError, address: str) -> ActionError:
    """Return what *error*, met on the way to *address*, means."""
    if error.errno in NO_ROUTE:
        return ActionError(ResultStatus.NO_ROUTE, f"There is no way to {address}: {error}.")
    return ActionError(ResultStatus.ERROR, f"{address}: {error}.")


def must_be_allowed(host: str, settings: Any, what: str) -> None:
    """Refuse to load or flood a host that the box's own settings do not name.

    A stolen server key must not turn a fleet against somebody.

    Raises:
        ActionError: *host* is not in ``test_hosts`` of ``data/config.toml``.
    """
    allowed = settings.get("test_hosts", [])
    if host.strip("[]").lower() not in {str(one).lower() for one in allowed}:
        raise refused(
            Refusal.DENIED,
            f"This box does {what} only with hosts that its own settings name in test_hosts: "
            f"{', '.join(map(str, allowed)) or 'none'}.",
        )


def is_address(host: str) -> bool:
    """Return whether *host* is an address and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
