"""gunicorn's threaded worker, for peers that are slow, silent or mean.

* A connection that has said nothing holds no thread: it waits in the poller.
* A request holds its thread for as long as its peer keeps a pace (patience.py): in the
  TLS handshake, the headers and the body, and while it takes the answer.
* A connection is closed by the thread that served it; gunicorn's own way lets the one
  thread that accepts wait up to two seconds for each peer that does not hang up.

Some of what is used here is gunicorn's inside (27.x, gthread); the tests hold it.
"""

import errno
import selectors
import socket
import ssl
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from gunicorn import util
from gunicorn.workers.gthread import TConn, ThreadWorker

from oleada_server import clock, patience
from oleada_server.patience import Allowance

FIRST_WORD_S: Final = 15.0
"""How long a connection that has said nothing is kept."""
SLICE_S: Final = 0.5
"""How soon a thread that waits notices a crowd."""
SILENCE_S: Final = 15.0
"""For whatever is no request's, instead of for ever."""
LINGER_S: Final = 0.5
"""How long the peer may take to read our last word and hang up (RFC 9112, 9.6)."""
NO_CHECK_TIME: Final = ssl.VerifyFlags(0x200000)
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, for which Python has no name."""
Found = TypeVar("Found")


class _Request(threading.local):
    """The request that this thread serves; between requests there is none."""

    reading: Allowance | None = None
    writing: Allowance | None = None
    is_crowd: Callable[[], bool] | None = None

    def begin(self, is_crowd: Callable[[], bool]) -> None:
        """Give the peer its time."""
        self.reading = Allowance(patience.READING, patience.READING_IN_A_CROWD)
        self.writing = Allowance(patience.WRITING, patience.WRITING_IN_A_CROWD)
        self.is_crowd = is_crowd

    def end(self) -> None:
        """Serve nobody."""
        self.reading = self.writing = self.is_crowd = None


request_of_this_thread = _Request()


def _patiently(
    sock: socket.socket,
    allowance: Allowance | None,
    act: Callable[[], Found],
    size: Callable[[Found], int],
) -> Found:
    """Return what *act* does, tried again while the peer of *sock* has time left.

    Raises:
        ConnectionResetError: It has none left; gunicorn has nothing to tell of that.
    """
    if allowance is None:
        return act()
    while True:
        is_crowd = request_of_this_thread.is_crowd is not None and request_of_this_thread.is_crowd()
        left_s = allowance.left_s(is_crowd=is_crowd)
        if left_s <= 0:
            raise ConnectionResetError(errno.ECONNRESET, "the peer keeps no pace")
        sock.settimeout(min(left_s, SLICE_S))
        began_s = clock.monotonic_s()
        try:
            found = act()
        except TimeoutError:
            allowance.add(0, clock.monotonic_s() - began_s)
        else:
            allowance.add(size(found), clock.monotonic_s() - began_s)
            return found


class PatientSocket(socket.socket):
    """A connection without TLS whose peer must keep a pace."""

    def settimeout(self, value: float | None, /) -> None:
        """Wait *value* seconds at most; None is no limit for others, and one for us."""
        super().settimeout(SILENCE_S if value is None else value)

    def setblocking(self, flag: bool, /) -> None:
        """Wait, or do not wait at all."""
        self.settimeout(None if flag else 0.0)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Return what has come."""
        plain = super().recv
        return _patiently(self, request_of_this_thread.reading, lambda: plain(bufsize, flags), len)

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Send a part of *data*; return how many bytes."""
        plain = super().send
        return _patiently(self, request_of_this_thread.writing, lambda: plain(data, flags), int)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send all of *data*."""
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self.send(rest, flags) :]


class PatientTls(ssl.SSLSocket):
    """A connection with TLS whose peer must keep a pace, from the handshake on."""

    def settimeout(self, value: float | None, /) -> None:
        """Wait *value* seconds at most; None is no limit for others, and one for us."""
        super().settimeout(SILENCE_S if value is None else value)

    def setblocking(self, flag: bool, /) -> None:
        """Wait, or do not wait at all."""
        self.settimeout(None if flag else 0.0)

    def do_handshake(self, block: bool = False) -> None:
        """Agree on keys."""
        plain = super().do_handshake
        _patiently(self, request_of_this_thread.reading, lambda: plain(block), lambda _: 0)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Return what has come."""
        plain = super().recv
        return _patiently(self, request_of_this_thread.reading, lambda: plain(buflen, flags), len)

    def send(self, data: Any, flags: int = 0) -> int:
        """Send a part of *data*; return how many bytes."""
        plain = super().send
        return _patiently(self, request_of_this_thread.writing, lambda: plain(data, flags), int)


class PatientWorker(ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """Serves requests in threads; says in each class above how long a peer may take."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._asked = 0
        self._asked_lock = threading.Lock()

    def enqueue_req(self, conn: TConn) -> None:
        """Give *conn* a thread once its peer has said something."""
        if conn.initialized or conn.data_ready:
            self._ask(1)
            super().enqueue_req(conn)
            return
        conn.sock.setblocking(False)
        conn.timeout = clock.monotonic_s() + FIRST_WORD_S
        self.pending_conns.append(conn)
        heard = partial(self.on_pending_socket_readable, conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, heard)

    def handle(self, conn: TConn) -> Any:
        """Serve one request of *conn*; return whether the connection goes on."""
        request_of_this_thread.begin(lambda: patience.is_crowd(self._asked, self.cfg.threads))
        try:
            if not conn.initialized and not self.cfg.is_ssl:
                conn.sock = PatientSocket(fileno=conn.sock.detach())
            goes_on = super().handle(conn)
        finally:
            request_of_this_thread.end()
            self._ask(-1)
        if not goes_on:
            util.close_graceful(conn.sock, LINGER_S)
            conn.close = _is_closed
        return goes_on

    def _keepalive_after(self, conn: TConn, keepalive: bool) -> bool:
        request_of_this_thread.end()  # what is left of the body has a limit of gunicorn's own
        return bool(super()._keepalive_after(conn, keepalive))

    def _ask(self, change: int) -> None:
        with self._asked_lock:
            self._asked += change


def _is_closed(*, graceful: bool = False) -> None:
    """Do nothing: the thread has closed the connection, and closing twice would be counted."""


def ssl_context(_config: Any, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Return gunicorn's own context, whose connections' peers must keep a pace.

    A client's certificate may be too late, for it is the only thing by which a box can
    prove who it is when it asks for the next one; enrolment/peer.py looks at its time.

    gunicorn's hook of this name: ``--config python:oleada_server.patient_worker``.
    """
    context = default()
    context.sslsocket_class = PatientTls
    context.verify_flags |= NO_CHECK_TIME
    return context
