"""API tokens: for the CLI and for programs; scoped, expiring, shown once.

A token is ``ole_`` and 32 random bytes, so that scanners for leaked secrets know it
(``ole_[A-Za-z0-9_-]{43}``). Those made before, which begin with ``oleada_``, go on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from secrets import token_urlsafe

from flask import current_app
from sqlalchemy import func, or_, select, update

from oleada_server import config
from oleada_server.accounts import service
from oleada_server.accounts.errors import (
    ScopeMissingError,
    TokenNotValidError,
    TokenTooOftenError,
    UserNotFoundError,
)
from oleada_server.accounts.models import ApiToken, Role
from oleada_server.accounts.rights import SCOPES, Identity, includes
from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.enrolment.tries import Tries
from oleada_server.errors import BadInputError

PREFIX = "ole_"
HINT_CHARS = 8
REF_CHARS = 12
TOUCH_EVERY = timedelta(minutes=5)
TOKEN_DAYS = 90
TOKEN_DAYS_MAX = 3660


def create_token(
    user_name: str,
    label: str,
    scopes: Iterable[str],
    *,
    actor: str,
    now: datetime,
    days: int = TOKEN_DAYS,
    is_local: bool = False,
) -> str:
    """Return a new API token of user *user_name*, told apart by *label*.

    Raises:
        BadInputError: A scope that does not exist or that the role does not include,
            none at all, or a life of no or too many days.
        UserNotFoundError: There is no such user, or they are shut out.
    """
    user = service.find_user(user_name)
    if user.disabled_at is not None:
        raise UserNotFoundError(user_name)
    wanted = sorted(set(scopes))
    allowed = {scope for scope, role in SCOPES.items() if includes(Role(user.role), role)}
    if not wanted or not set(wanted) <= allowed:
        wrong = ", ".join(sorted(set(wanted) - allowed)) or "none"
        raise BadInputError(
            f"Scopes asked for: {wrong}. A {user.role} can have: {', '.join(sorted(allowed))}.",
            "scopes",
        )
    if not 1 <= days <= TOKEN_DAYS_MAX:
        raise BadInputError(f"A token lives 1 to {TOKEN_DAYS_MAX} days, not {days}.", "days")
    token = PREFIX + token_urlsafe(service.TOKEN_BYTES)
    db.session.add(
        ApiToken(
            token_sha256=service.digest(token),
            user_id=user.id,
            name=label.strip()[:80] or "token",
            scopes=wanted,
            created_at=now,
            expires_at=now + timedelta(days=days),
            hint=token[:HINT_CHARS],
            created_by=actor,
            is_local=is_local,
        )
    )
    after = {"label": label, "scopes": wanted, "days": days}
    audit.record(actor, "token.create", f"user:{user_name}", now=now, after=after)
    db.session.commit()
    return token


def demand_no_wider(
    token: str | None, maker: Identity, scopes: Iterable[str], days: int, now: datetime
) -> None:
    """Let *token* make another one for its owner, unless that would give it more; None may.

    A token that nobody proved a second factor for makes none that outlives it, else one
    that was stolen would live for ever. The server's own token is not asked.

    Raises:
        ScopeMissingError: It lacks one of *scopes*.
        BadInputError: The new one would live longer.
    """
    if token is None or maker.is_local:
        return
    for scope in scopes:
        if scope in SCOPES and scope not in (maker.scopes or ()):
            raise ScopeMissingError(scope)
    held = db.session.get_one(ApiToken, service.digest(token))
    outlives = now + timedelta(days=days) > held.expires_at
    if outlives and not maker.has_factor:
        raise BadInputError(
            f"This token ends at {held.expires_at:%Y-%m-%d %H:%M} UTC; one that lives longer is "
            "made in the console, or by who has a second factor.",
            "days",
        )


def find_token(token: str, now: datetime) -> Identity:
    """Return who asks with *token*, with the token's scopes.

    Raises:
        TokenNotValidError: Unknown, expired, revoked, or its user is shut out.
    """
    row = db.session.get(ApiToken, service.digest(token), populate_existing=True)
    if row is None or row.revoked_at is not None or row.expires_at <= now or row.user.disabled_at:
        raise TokenNotValidError
    return replace(
        service.identity_of(row.user),
        scopes=frozenset(row.scopes),
        factor_at=row.factor_at,
        is_local=row.is_local,
    )


def count_request(found: Identity, token: str, now: datetime) -> None:
    """Count a request with *token*; each web process counts its own, in constant memory.

    Each has its part of what the setting lets a token, so that all of them together never
    let it more. Who is always answered by one of several processes may less.

    Raises:
        TokenTooOftenError: It asks more often than the setting lets it. The server's own
            token may: the command line and the lab ask with it.
    """
    if found.is_local:
        return
    held = current_app.extensions
    if "oleada_token_tries" not in held:
        found_here = config.current()
        part = max(1, found_here.token_requests_per_minute // found_here.web_workers)
        held["oleada_token_tries"] = Tries(part)
    wait_s = held["oleada_token_tries"].count(service.digest(token), now.timestamp())
    if wait_s:
        raise TokenTooOftenError(wait_s)


def touch_token(token: str, now: datetime) -> None:
    """Note that *token* is in use; writes once in 5 minutes at most."""
    stale = db.session.scalar(
        select(ApiToken.token_sha256).where(
            ApiToken.token_sha256 == service.digest(token),
            or_(ApiToken.last_used_at.is_(None), ApiToken.last_used_at < now - TOUCH_EVERY),
        )
    )
    if stale is None:
        return
    db.session.rollback()
    db.session.execute(
        update(ApiToken).where(ApiToken.token_sha256 == stale).values(last_used_at=now)
    )
    db.session.commit()


def note_factor(token: str, now: datetime) -> None:
    """Note that the owner of *token* has just proved a second factor with it."""
    mine = ApiToken.token_sha256 == service.digest(token)
    db.session.execute(update(ApiToken).where(mine).values(factor_at=now))
    db.session.commit()


def list_tokens(user_name: str) -> Sequence[ApiToken]:
    """Return the tokens of a user, newest first; what they were is not known."""
    user = service.find_user(user_name)
    rows = select(ApiToken).where(ApiToken.user_id == user.id)
    return db.session.scalars(rows.order_by(ApiToken.created_at.desc())).all()


def ref_of(token: ApiToken) -> str:
    """Return the name under which *token* is revoked; it tells nothing of the token."""
    return token.token_sha256[:REF_CHARS]


def revoke_token(user_name: str, ref: str, *, actor: str, now: datetime) -> bool:
    """Revoke the token that :func:`ref_of` calls *ref*; return whether it still worked.

    Raises:
        UserNotFoundError: There is no such user.
    """
    user = service.find_user(user_name)
    revoked = db.session.execute(
        update(ApiToken)
        .where(
            ApiToken.user_id == user.id,
            func.substr(ApiToken.token_sha256, 1, REF_CHARS) == ref,
            ApiToken.revoked_at.is_(None),
        )
        .values(revoked_at=now)
        .returning(ApiToken.name)
    ).scalar_one_or_none()
    if revoked is not None:
        after = {"label": revoked}
        audit.record(actor, "token.revoke", f"user:{user_name}", now=now, after=after)
    db.session.commit()
    return revoked is not None


def revoke_tokens(user_name: str, label: str, *, actor: str, now: datetime) -> int:
    """Revoke the tokens *label* of a user; return how many still worked.

    Raises:
        UserNotFoundError: There is no such user.
    """
    user = service.find_user(user_name)
    revoked = db.session.scalars(
        update(ApiToken)
        .where(
            ApiToken.user_id == user.id,
            ApiToken.name == label,
            ApiToken.revoked_at.is_(None),
        )
        .values(revoked_at=now)
        .returning(ApiToken.token_sha256)
    ).all()
    audit.record(actor, "token.revoke", f"user:{user_name}", now=now, after={"label": label})
    db.session.commit()
    return len(revoked)
