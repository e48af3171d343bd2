"""People: users, one-time sign-in links and passwords.

Secrets are 32 random bytes, shown once and stored only as SHA-256. Each function named
with a verb is one transaction and commits. Sessions are in ``sessions.py``, second factors
in ``factors.py``, API tokens in ``tokens.py``.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from secrets import token_urlsafe

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from oleada_server.accounts import passwords, tries
from oleada_server.accounts.errors import (
    LastAdminError,
    LinkNotValidError,
    UserExistsError,
    UserNotFoundError,
    WrongPasswordError,
)
from oleada_server.accounts.models import ApiToken, Role, Session, SignInLink, User
from oleada_server.accounts.rights import Identity, includes
from oleada_server.accounts.sessions import (
    SESSION_IDLE,
    SESSION_TTL,
    begin,
    digest,
    find_session,
    identity_of,
    record_restore,
    sign_out,
    touch_session,
)
from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.errors import BadInputError
from oleada_server.zones import zone_names

__all__ = [
    "SESSION_IDLE",
    "SESSION_TTL",
    "digest",
    "find_session",
    "identity_of",
    "record_restore",
    "sign_out",
    "touch_session",
]

LANGUAGES = ("en", "es", "cs")
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
TOKEN_BYTES = 32
LINK_TTL = timedelta(hours=24)


def add_user(
    name: str,
    *,
    full_name: str,
    role: Role,
    language: str = "en",
    zone: str = "UTC",
    actor: str,
    now: datetime,
) -> Identity:
    """Add a user who can not sign in yet: make a link for that.

    Raises:
        BadInputError: A field is not what is expected.
        UserExistsError: The name is taken.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise BadInputError(
            f"The name {name[:90]!r} is not small letters, digits, dots, dashes; such as m.novak.",
            "name",
        )
    check_preferences(language, zone)
    user = User(
        name=name,
        full_name=full_name.strip()[:120] or name,
        role=role,
        language=language,
        zone=zone,
        created_at=now,
    )
    db.session.add(user)
    try:
        db.session.flush()
    except IntegrityError as error:
        db.session.rollback()
        raise UserExistsError(name) from error
    audit.record(actor, "user.add", f"user:{name}", now=now, after={"role": role.value})
    found = identity_of(user)
    db.session.commit()
    return found


def check_preferences(language: str, zone: str) -> None:
    """Accept *language* and *zone*, or say what is expected.

    Raises:
        BadInputError: A language without a catalogue, or no zone of the IANA database.
    """
    if language not in LANGUAGES:
        raise BadInputError(
            f"The language {language!r} is none of {', '.join(LANGUAGES)}.", "language"
        )
    if zone not in zone_names():
        raise BadInputError(f"{zone!r} is no time zone such as Europe/Prague.", "zone")


def list_users() -> Sequence[User]:
    """Return every user by name."""
    return db.session.scalars(select(User).order_by(User.name)).all()


def change_role(name: str, role: Role, *, actor: str, now: datetime) -> None:
    """Give user *name* another role; it holds from their next request on.

    Raises:
        UserNotFoundError: There is no such user.
        LastAdminError: Nobody would be left to administer.
    """
    db.session.rollback()
    record_role(find_user(name), role, actor=actor, now=now)
    db.session.commit()


def record_role(
    user: User, role: Role, *, actor: str, now: datetime, asked_by: str | None = None
) -> None:
    """Give *user* another role in the caller's transaction; *asked_by* if another one asked.

    Raises:
        LastAdminError: Nobody would be left to administer.
    """
    before = Role(user.role)
    if before is role:
        return
    if not includes(role, Role.USER_ADMIN):
        _keep_an_admin(user)
    _set_role(user, role, actor, now, asked_by)


def _set_role(
    user: User, role: Role, actor: str, now: datetime, asked_by: str | None = None
) -> None:
    before = Role(user.role)
    user.role = role
    db.session.execute(update(Session).where(Session.user_id == user.id).values(factor_at=None))
    after = {"role": role.value} | ({"asked_by": asked_by} if asked_by else {})
    audit.record(actor, "user.role", f"user:{user.name}", now=now,
                 before={"role": before.value}, after=after)  # fmt: skip


def _keep_an_admin(leaving: User) -> None:
    """Refuse when *leaving* is the only administrator who can sign in.

    The rows are locked, so that two who demote each other do not both succeed.
    """
    able = [role for role in Role if includes(role, Role.USER_ADMIN)]
    admins = select(User.id).where(User.role.in_(able), User.disabled_at.is_(None))
    found = set(db.session.scalars(admins.order_by(User.id).with_for_update()))
    if found == {leaving.id}:
        db.session.rollback()
        raise LastAdminError(leaving.name)


def disable_user(name: str, *, actor: str, now: datetime, keep_admin: bool = False) -> None:
    """Shut user *name* out: sessions, links and tokens end at once. Twice is harmless.

    Args:
        name: Of the user.
        actor: Who does it.
        now: Aware time.
        keep_admin: Refuse to shut out the last administrator; the command line of the
            server, which can add another one, does not.

    Raises:
        UserNotFoundError: There is no such user.
        LastAdminError: *keep_admin* holds and nobody would be left to administer.
    """
    db.session.rollback()
    user = find_user(name)
    if keep_admin:
        _keep_an_admin(user)
    if user.disabled_at is None:
        user.disabled_at = now
        audit.record(actor, "user.disable", f"user:{name}", now=now)
    db.session.execute(delete(Session).where(Session.user_id == user.id))
    db.session.execute(delete(SignInLink).where(SignInLink.user_id == user.id))
    db.session.execute(
        update(ApiToken)
        .where(ApiToken.user_id == user.id, ApiToken.revoked_at.is_(None))
        .values(revoked_at=now)
    )
    db.session.commit()


def let_in_again(name: str, *, actor: str, now: datetime) -> None:
    """Let user *name*, who was shut out, sign in again: as a viewer, and by a new link alone.

    Whoever shuts an approver out and lets them in again gives no right that way; the role
    from before is given like any other. Twice is harmless.

    Raises:
        UserNotFoundError: There is no such user.
        BadInputError: It is the command line of the server's machine, no person.
    """
    db.session.rollback()
    user = find_user(name)
    if _is_command_line(user):
        raise BadInputError(f"{name} is the command line of the server's machine, no person.")
    if user.disabled_at is not None:
        if user.role != Role.VIEWER:
            _set_role(user, Role.VIEWER, actor, now)
        user.disabled_at, user.password_hash = None, None
        audit.record(actor, "user.enable", f"user:{name}", now=now)
    db.session.commit()


def set_preferences(user_id: int, *, language: str, zone: str) -> None:
    """Set language and zone of the pages of a user.

    Raises:
        BadInputError: See :func:`check_preferences`.
    """
    check_preferences(language, zone)
    db.session.execute(update(User).where(User.id == user_id).values(language=language, zone=zone))
    db.session.commit()


def create_link(name: str, *, actor: str, now: datetime, ttl: timedelta = LINK_TTL) -> str:
    """Return the token of a new one-time sign-in link of user *name*.

    Raises:
        UserNotFoundError: There is no such user, or they are shut out.
    """
    user = find_user(name)
    if user.disabled_at is not None:
        raise UserNotFoundError(name)
    if _is_command_line(user):
        raise BadInputError(f"{name} is the command line of the server's machine, no person.")
    token = token_urlsafe(TOKEN_BYTES)
    db.session.execute(delete(SignInLink).where(SignInLink.expires_at < now))
    db.session.add(SignInLink(token_sha256=digest(token), user_id=user.id, expires_at=now + ttl))
    audit.record(actor, "user.link", f"user:{name}", now=now)
    db.session.commit()
    return token


def _is_command_line(user: User) -> bool:
    """Return whether *user* owns the token of the data directory: nobody signs in as that one.

    Else an administrator could, and would be two persons.
    """
    query = select(ApiToken.token_sha256).where(ApiToken.user_id == user.id, ApiToken.is_local)
    return db.session.scalar(query.limit(1)) is not None


def read_link(token: str, now: datetime) -> Identity:
    """Return whom the link of *token* would sign in, without using it up.

    Raises:
        LinkNotValidError: Used, expired or unknown.
    """
    link = db.session.get(SignInLink, digest(token))
    if link is None or link.used_at or link.expires_at <= now or link.user.disabled_at:
        raise LinkNotValidError
    return identity_of(link.user)


def sign_in_by_link(token: str, *, now: datetime) -> tuple[str, Identity]:
    """Use up the link of *token*; return the session's secret and who it is.

    One statement decides, so of two that come at once only one gets in.

    Raises:
        LinkNotValidError: Used, expired or unknown.
    """
    used = db.session.execute(
        update(SignInLink)
        .where(
            SignInLink.token_sha256 == digest(token),
            SignInLink.used_at.is_(None),
            SignInLink.expires_at > now,
        )
        .values(used_at=now)
        .returning(SignInLink.user_id)
    ).scalar_one_or_none()
    user = None if used is None else db.session.get(User, used)
    if user is None or user.disabled_at is not None:
        db.session.rollback()
        raise LinkNotValidError
    return begin(user, "link", now)


def sign_in_by_password(name: str, password: str, *, now: datetime) -> tuple[str, Identity]:
    """Return the session's secret and who it is.

    The attempt is counted before the password is looked at, so that many at once do not
    slip past the delay; nothing is locked while the slow hash is computed.

    Raises:
        TooManyAttemptsError: The delay of this name still runs; nothing was looked at.
        WrongPasswordError: They do not go together, or there is no such user.
    """
    name = name.strip().casefold()
    tries.count_attempt(name, now)
    user = db.session.scalar(select(User).where(User.name == name, User.disabled_at.is_(None)))
    password_hash = user.password_hash if user else None
    db.session.rollback()
    if not passwords.matches(password_hash, password) or user is None:
        audit.record(f"user:{name[:80]}", "sign-in.refused", "console", now=now)
        db.session.commit()
        raise WrongPasswordError
    fresh = find_user(name)
    if fresh.disabled_at is not None or fresh.password_hash != password_hash:
        raise WrongPasswordError
    tries.forget(name)
    return begin(fresh, "password", now)


def set_password(user_id: int, password: str, *, keep: str | None, now: datetime) -> None:
    """Set the password of a user; every session but that of secret *keep* ends.

    Raises:
        BadInputError: The password is too weak.
    """
    user = db.session.get_one(User, user_id)
    passwords.check_strength(password, user.name)
    db.session.rollback()
    password_hash = passwords.hash_password(password)
    name = db.session.scalars(
        update(User)
        .where(User.id == user_id)
        .values(password_hash=password_hash)
        .returning(User.name)
    ).one()
    others = delete(Session).where(Session.user_id == user_id)
    if keep is not None:
        others = others.where(Session.token_sha256 != digest(keep))
    db.session.execute(others)
    audit.record(f"user:{name}", "user.password", f"user:{name}", now=now)
    db.session.commit()


def find_user(name: str) -> User:
    """Return the user of *name*.

    Raises:
        UserNotFoundError: There is no such user.
    """
    user = db.session.scalar(select(User).where(User.name == name))
    if user is None:
        raise UserNotFoundError(name)
    return user
