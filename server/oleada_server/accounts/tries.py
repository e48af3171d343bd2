"""Vain tries with a password or a code, by name: each beyond the first few doubles a wait.

A row for names that nobody has makes an unknown user and a wrong password look alike.
"""

from datetime import datetime

from sqlalchemy import delete

from oleada_server.accounts import passwords
from oleada_server.accounts.errors import TooManyAttemptsError
from oleada_server.accounts.models import SignInDelay
from oleada_server.accounts.sessions import digest
from oleada_server.db import db, insert


def count_attempt(name: str, now: datetime) -> None:
    """Count a try before it is looked at, so that many at once do not slip past the delay.

    Raises:
        TooManyAttemptsError: The delay of this name still runs.
    """
    key = digest(name)
    row = db.session.get(SignInDelay, key, with_for_update=True, populate_existing=True)
    left_s = passwords.wait_s(row.attempts, row.last_at, now) if row else 0
    if left_s:
        db.session.rollback()
        raise TooManyAttemptsError(left_s)
    forgotten = row is not None and now - row.last_at > passwords.FORGET_AFTER
    attempts = 1 if forgotten else SignInDelay.attempts + 1
    db.session.execute(
        insert(SignInDelay)
        .values(name_sha256=key, attempts=1, last_at=now)
        .on_conflict_do_update(
            index_elements=["name_sha256"], set_={"attempts": attempts, "last_at": now}
        )
    )
    db.session.execute(
        delete(SignInDelay).where(SignInDelay.last_at < now - passwords.FORGET_AFTER)
    )
    db.session.commit()


def forget(name: str) -> None:
    """Forget the tries of *name*: one has succeeded. Part of the caller's transaction."""
    db.session.execute(delete(SignInDelay).where(SignInDelay.name_sha256 == digest(name)))
