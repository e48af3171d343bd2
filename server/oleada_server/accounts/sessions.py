"""Browser sessions: begun, found, listed, ended; a new secret whenever rights grow.

A secret is 32 random bytes, shown to one browser and stored only as SHA-256. A session
whose second factor is still to come signs nobody in.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe
from typing import Final

from flask import has_request_context, request
from sqlalchemy import delete, func, select, update

from oleada_server import config
from oleada_server.accounts.models import KeptForm, Role, SecondFactor, Session, SignInLink, User
from oleada_server.accounts.rights import GUARDED, Identity
from oleada_server.audit import service as audit
from oleada_server.db import db

SECRET_BYTES: Final = 32
SESSION_IDLE: Final = timedelta(hours=8)
SESSION_TTL: Final = timedelta(days=7)
"""The defaults of the settings ``session_idle_minutes`` and ``session_hours``."""
FACTOR_WITHIN: Final = timedelta(minutes=10)
"""How long a session waits for the second factor after the first."""
TOUCH_EVERY: Final = timedelta(minutes=5)
"""How often use is noted at most, so that reading pages hardly ever writes; see _touch_every."""
REF_CHARS: Final = 12


@dataclass(frozen=True, slots=True)
class Shown:
    """A session as its owner sees it; *ref* names it, *is_this* is the one that asks."""

    ref: str
    created_at: datetime
    last_used_at: datetime
    address: str
    browser: str
    is_this: bool


def digest(secret: str) -> str:
    """Return what is stored of *secret*: 64 lowercase hex digits."""
    return sha256(secret.encode()).hexdigest()


def identity_of(user: User) -> Identity:
    """Return *user* as a value, without scopes."""
    return Identity(
        user_id=user.id,
        name=user.name,
        full_name=user.full_name,
        role=Role(user.role),
        language=user.language,
        zone=user.zone,
        has_password=user.password_hash is not None,
        has_factor=has_factor(user.id),
    )


def has_factor(user_id: int) -> bool:
    """Return whether a user has enrolled a second factor."""
    query = select(SecondFactor.id).where(SecondFactor.user_id == user_id).limit(1)
    return db.session.scalar(query) is not None


def begin(user: User, by: str, now: datetime) -> tuple[str, Identity]:
    """Begin a session of *user*; return its secret and who it is. Ends the transaction.

    Where a second factor is enrolled the session awaits it and signs nobody in yet.
    """
    secret = token_urlsafe(SECRET_BYTES)
    found = identity_of(user)
    db.session.execute(delete(Session).where(Session.expires_at <= now))
    lives = FACTOR_WITHIN if found.has_factor else ttl(found.role)
    db.session.add(
        Session(
            token_sha256=digest(secret),
            user_id=user.id,
            created_at=now,
            last_used_at=now,
            expires_at=now + lives,
            awaits_factor=found.has_factor,
            **_browser(),
        )
    )
    if not found.has_factor:
        audit.record(found.actor, f"sign-in.{by}", "console", now=now)
    db.session.commit()
    return secret, found


def find_session(secret: str, now: datetime) -> Identity | None:
    """Return who is signed in with the session of *secret*, None if it has ended.

    Ended is: signed out, idle or old beyond the settings, or the user is shut out.
    """
    session = _living(secret, now)
    if session is None or session.awaits_factor:
        return None
    return replace(identity_of(session.user), factor_at=session.factor_at)


def find_awaiting(secret: str, now: datetime) -> Identity | None:
    """Return whose second factor the session of *secret* waits for, None if it does not."""
    session = _living(secret, now)
    return identity_of(session.user) if session is not None and session.awaits_factor else None


def renew(secret: str, now: datetime, *, proved: bool) -> str:
    """Give the session of *secret* a new one, and with *proved* a fresh second factor.

    Rights grow here, so a secret that somebody learned before is worth nothing any more.
    Takes part in the caller's transaction; what waits with the session moves along.
    """
    old = db.session.get(Session, digest(secret), populate_existing=True, with_for_update=True)
    assert old is not None, "the caller has just found it"  # noqa: S101
    fresh = token_urlsafe(SECRET_BYTES)
    signs_in = old.awaits_factor and proved
    new = Session(
        token_sha256=digest(fresh),
        user_id=old.user_id,
        created_at=now if signs_in else old.created_at,
        last_used_at=now,
        expires_at=now + ttl(Role(old.user.role)) if signs_in else old.expires_at,
        awaits_factor=old.awaits_factor and not proved,
        factor_at=now if proved else old.factor_at,
        address=old.address,
        browser=old.browser,
    )
    db.session.add(new)
    db.session.flush()
    db.session.execute(
        update(KeptForm)
        .where(KeptForm.session_sha256 == old.token_sha256)
        .values(session_sha256=new.token_sha256)
    )
    db.session.delete(old)
    db.session.flush()
    return fresh


def touch_session(secret: str, now: datetime) -> None:
    """Note that the session of *secret* is in use; writes once in 5 minutes at most."""
    found = db.session.get(Session, digest(secret))
    if found is None or abs(now - found.last_used_at) < _touch_every(Role(found.user.role)):
        return
    db.session.rollback()
    db.session.execute(
        update(Session).where(Session.token_sha256 == digest(secret)).values(last_used_at=now)
    )
    db.session.commit()


def list_sessions(user_id: int, secret: str | None, now: datetime) -> Sequence[Shown]:
    """Return the living sessions of a user, the one of *secret* first, then by last use."""
    mine = digest(secret) if secret else ""
    query = select(Session).where(
        Session.user_id == user_id,
        Session.awaits_factor.is_(False),
    )
    found = db.session.scalars(query.order_by(Session.last_used_at.desc()))
    rows = [row for row in found if _is_living(row, now)]
    shown = [
        Shown(
            row.token_sha256[:REF_CHARS], row.created_at, row.last_used_at, row.address,
            row.browser, row.token_sha256 == mine,
        )
        for row in rows
    ]  # fmt: skip
    return sorted(shown, key=lambda one: not one.is_this)


def end_session(user_id: int, ref: str, *, actor: str, now: datetime) -> bool:
    """End the session that :func:`list_sessions` calls *ref*; return whether there was one."""
    query = delete(Session).where(
        Session.user_id == user_id, func.substr(Session.token_sha256, 1, REF_CHARS) == ref
    )
    ended = db.session.scalars(query.returning(Session.token_sha256)).all()
    if ended:
        audit.record(actor, "session.end", f"user:{_name_of(user_id)}", now=now)
    db.session.commit()
    return bool(ended)


def end_others(user_id: int, secret: str | None, *, actor: str, now: datetime) -> int:
    """End every session of a user but that of *secret*; return how many there were."""
    others = delete(Session).where(Session.user_id == user_id)
    if secret is not None:
        others = others.where(Session.token_sha256 != digest(secret))
    ended = len(db.session.scalars(others.returning(Session.token_sha256)).all())
    if ended:
        about, after = f"user:{_name_of(user_id)}", {"sessions": ended}
        audit.record(actor, "session.end", about, now=now, after=after)
    db.session.commit()
    return ended


def sign_out(secret: str, *, actor: str, now: datetime) -> None:
    """End the session of *secret*; twice is harmless."""
    db.session.execute(delete(Session).where(Session.token_sha256 == digest(secret)))
    audit.record(actor, "sign-out", "console", now=now)
    db.session.commit()


def record_restore() -> None:
    """End every session and sign-in link, of which some may have been ended since the backup."""
    for model in (Session, SignInLink):
        db.session.execute(delete(model))


def _living(secret: str, now: datetime) -> Session | None:
    session = db.session.get(Session, digest(secret), populate_existing=True)
    if session is None or session.user.disabled_at is not None:
        return None
    return session if _is_living(session, now) else None


def _is_living(session: Session, now: datetime) -> bool:
    """Return whether *session* goes on, by the settings and the role as they are now.

    One that was begun under a longer setting ends by the shorter one as well. A clock that
    was set back makes none live longer: one that was used in the future has ended.
    """
    role = Role(session.user.role)
    is_idle = abs(now - session.last_used_at) >= idle(role)
    return not is_idle and now < session.expires_at and now < session.created_at + ttl(role)


def idle(role: Role) -> timedelta:
    """Return for how long somebody with *role* may do nothing before they are signed out."""
    found = config.current()
    either = (found.session_idle_minutes, found.guarded_idle_minutes)
    return timedelta(minutes=min(either) if role in GUARDED else either[0])


def ttl(role: Role) -> timedelta:
    """Return after how long somebody with *role* is signed out, however busy."""
    found = config.current()
    either = (found.session_hours, found.guarded_hours)
    return timedelta(hours=min(either) if role in GUARDED else either[0])


def _touch_every(role: Role) -> timedelta:
    """Return how old the note of the last use may get: never much of the idle time."""
    return min(TOUCH_EVERY, idle(role) / 15)


def _name_of(user_id: int) -> str:
    return db.session.get_one(User, user_id).name


def _browser() -> dict[str, str]:
    if not has_request_context():
        return {}
    text = str(request.user_agent)
    shown = "".join(one for one in text if one.isprintable())[:200]
    return {"address": (request.remote_addr or "")[:60], "browser": shown}
