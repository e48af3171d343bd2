"""gunicorn's hook for the device door: a peer that falls silent in a request is let go.

A thread of gunicorn reads without a limit; as many half handshakes or requests as there
are threads would close the door to every box. So a TLS connection of the door never waits
for ever, whatever gunicorn tells it.
"""

import errno
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

WAIT_LIMIT_S: Final = 15.0
"""For one read or write. A box whose network stands still longer goes on by Range."""


@contextmanager
def _as_hung_up() -> Iterator[None]:
    """Say that the peer has gone, which gunicorn takes for nothing to tell of."""
    try:
        yield
    except TimeoutError as error:
        raise ConnectionResetError(errno.ECONNRESET, "the peer fell silent") from error


class PatientSocket(ssl.SSLSocket):
    """A TLS connection for which "wait for ever" means ``WAIT_LIMIT_S``."""

    def settimeout(self, value: float | None, /) -> None:
        """Wait *value* seconds at most; None is no limit for others, and one for us."""
        super().settimeout(WAIT_LIMIT_S if value is None else value)

    def setblocking(self, flag: bool, /) -> None:
        """Wait, or do not wait at all."""
        self.settimeout(None if flag else 0.0)

    def do_handshake(self, block: bool = False) -> None:
        """Agree on keys, within the limit."""
        with _as_hung_up():
            super().do_handshake(block)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Return what has come, within the limit."""
        with _as_hung_up():
            return super().recv(buflen, flags)

    def send(self, data: Any, flags: int = 0) -> int:
        """Send a part of *data*, within the limit."""
        with _as_hung_up():
            return super().send(data, flags)


def ssl_context(_config: Any, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Return gunicorn's own context, with connections that do not wait for ever."""
    context = default()
    context.sslsocket_class = PatientSocket
    return context
