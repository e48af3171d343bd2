"""What a database or a disk that refuses means, and when that is worth a line in the log.

An outage is told twice: when it begins and when it is over. Source of the codes: SQLite's
result codes (sqlite.org/rescode.html), PostgreSQL's appendix A.
"""

import errno
import logging
import sqlite3
import threading
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from oleada_server.errors import ServerError

RETRY_AFTER_S: Final = 5
"""What whoever asks is told to wait."""
_SQLITE_AWAY: Final = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL}
)
_SQLITE_FULL: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})
_POSTGRESQL_AWAY: Final = ("08", "53", "55P03", "57P", "58")
"""Classes: connection, resources, a lock not to be had, operator, system."""
_POSTGRESQL_FULL: Final = "53100"
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class DatabaseAwayError(ServerError):
    """The database does not answer or is busy; the same may be tried again as it is."""

    status = 503
    code = "database-away"


class DiskFullError(ServerError):
    """A disk of the server has no room left, so nothing was written."""

    status = 507
    code = "disk-full"


def meaning(error: BaseException) -> ServerError | None:
    """Return what *error* of a library means to whoever asked; None if it is no outage."""
    if isinstance(error, OSError):
        return _no_room() if error.errno in _NO_ROOM else None
    if isinstance(error, PoolTimeoutError):
        return _away("it has no connection left")
    if not isinstance(error, DBAPIError):
        return None
    if isinstance(error.orig, sqlite3.Error):
        return _of_sqlite(error.orig)
    return _of_postgresql(error)


def of_all(error: BaseException) -> ServerError | None:
    """Return what *error* means, as :func:`meaning`; of a group only if all of it is outage."""
    if not isinstance(error, BaseExceptionGroup):
        return meaning(error)
    found = [of_all(one) for one in error.exceptions]
    return found[0] if all(found) else None


def _of_sqlite(error: sqlite3.Error) -> ServerError | None:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _SQLITE_FULL:
        return _no_room()
    return _away(str(error)) if code in _SQLITE_AWAY else None


def _of_postgresql(error: DBAPIError) -> ServerError | None:
    state = getattr(error.orig, "sqlstate", None)
    if state == _POSTGRESQL_FULL:
        return _no_room()
    if state is None:  # no answer came at all
        is_away = error.connection_invalidated or type(error).__name__ == "OperationalError"
    else:
        is_away = state.startswith(_POSTGRESQL_AWAY)
    return _away(str(error.orig).strip().partition("\n")[0]) if is_away else None


def _away(why: str) -> DatabaseAwayError:
    return DatabaseAwayError(
        f"The database does not answer ({why}). Nothing is lost: boxes go on as they are, and "
        "the broker keeps what they say. Try again in a moment."
    )


def _no_room() -> DiskFullError:
    return DiskFullError(
        "A disk of the server is full, so nothing was written. Make room on it, then try again."
    )


class Spell:
    """One outage of something: told when it begins and when it is over, not in between.

    It is over when every *part* of the work that failed has worked again.

    Args:
        log: Where it is told.
        what: Such as ``database``; begins both lines.
    """

    def __init__(self, log: logging.Logger, what: str) -> None:
        self._log = log
        self._what = what
        self._lock = threading.Lock()
        self._since_s: float | None = None
        self._failures = 0
        self._parts: set[str] = set()

    @property
    def is_on(self) -> bool:
        """Whether it goes on now."""
        return self._since_s is not None

    def failed(self, error: object, now_s: float, part: str = "") -> None:
        """Take note of a failure at *now_s* of the steady clock; the first is told."""
        with self._lock:
            self._parts.add(part)
            self._failures += 1
            if self._since_s is not None:
                return
            self._since_s = now_s
        self._log.error("%s: %s It is tried again until it works.", self._what, error)

    def worked(self, now_s: float, part: str = "") -> None:
        """Take note that *part* works; told if with it all is well again."""
        if self._since_s is None:
            return
        with self._lock:
            self._parts.discard(part)
            if self._parts:
                return
            since_s, self._since_s = self._since_s, None
            failures, self._failures = self._failures, 0
        if since_s is not None:
            self._log.warning(
                "%s: works again after %.0f s and %d failed tries",
                self._what, now_s - since_s, failures,
            )  # fmt: skip
