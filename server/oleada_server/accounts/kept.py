"""Forms that outlive a session: what was typed comes back after signing in, unsent.

While nobody is signed in the server keeps nothing: what was typed travels in the sign-in
form, sealed so that nobody else can have written it. Once somebody is signed in it waits
for an hour with their session, and the page that has the form fills it again. Passwords,
files and form tokens are never part of it, and nothing is done until a person presses the
button once more.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from flask import current_app
from itsdangerous import BadData, URLSafeTimedSerializer
from sqlalchemy import delete, select

from oleada_server.accounts.models import KeptForm
from oleada_server.accounts.service import digest
from oleada_server.db import db

KEEP: Final = timedelta(hours=1)
SEAL_AGE: Final = timedelta(hours=12)
FIELDS_CHARS_MAX: Final = 200_000
"""A plan for 10 000 listed boxes has 140 000; a form may have 500 000 bytes in all."""
NEVER_KEPT: Final = frozenset(
    {"csrf_token", "password", "again", "code", "key", "passkey", "a-pin"}
)


@dataclass(frozen=True, slots=True)
class Typed:
    """What was typed into one form.

    Attributes:
        action: The path that the form is sent to.
        page: The address of the page that has the form, with its query.
        fields: Names and values in the order of the form.
    """

    action: str
    page: str
    fields: tuple[tuple[str, str], ...]


def typed(action: str, page: str, fields: Iterable[tuple[str, str]]) -> Typed:
    """Return what may be kept of a form: no password, no token, nothing at all if too long."""
    found = tuple((name, value) for name, value in fields if name not in NEVER_KEPT)
    is_too_long = sum(len(name) + len(value) for name, value in found) > FIELDS_CHARS_MAX
    return Typed(action, page, () if is_too_long else found)


def seal(form: Typed) -> str:
    """Return *form* as a text that only this server can have written."""
    found: str = _sealer().dumps([form.action, form.page, form.fields])
    return found


def unseal(text: str) -> Typed | None:
    """Return the form in *text*, None if it is not ours or too old."""
    try:
        action, page, fields = _sealer().loads(text, max_age=int(SEAL_AGE.total_seconds()))
    except BadData:
        return None
    return Typed(action, page, tuple((name, value) for name, value in fields))


def keep(secret: str, form: Typed, now: datetime) -> None:
    """Let *form* wait with the session of *secret*, in place of any other."""
    row = KeptForm(
        session_sha256=digest(secret),
        action=form.action[:400],
        fields=[list(field) for field in form.fields],
        kept_at=now,
    )
    db.session.merge(row)
    db.session.commit()


def of_session(secret: str, now: datetime) -> KeptForm | None:
    """Return the form that waits with the session of *secret*, if it is not too old."""
    return db.session.scalar(
        select(KeptForm).where(
            KeptForm.session_sha256 == digest(secret), KeptForm.kept_at > now - KEEP
        )
    )


def forget(secret: str, action: str) -> None:
    """Forget the form for *action* that waits with the session of *secret*: it was sent."""
    db.session.execute(
        delete(KeptForm).where(
            KeptForm.session_sha256 == digest(secret), KeptForm.action == action[:400]
        )
    )
    db.session.commit()


def _sealer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.secret_key or "", salt="oleada-kept-form")
