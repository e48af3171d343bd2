"""Second factors: authenticator apps (TOTP, RFC 6238) and recovery codes; see passkeys.py.

The key of an app has to be read again to check a code, so it is sealed with a key of the
data directory: a copy of the database alone computes no code. A code works once: the step
that it belongs to is kept, and no step up to it is taken again. Vain tries are counted as
those with a password are. Each function named with a verb is one transaction and commits.
"""

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import pyotp
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import delete, func, select

from oleada_server import config
from oleada_server.accounts import tries
from oleada_server.accounts.errors import FactorNotFoundError, WrongCodeError
from oleada_server.accounts.models import (
    ApiToken,
    FactorKind,
    RecoveryCode,
    SecondFactor,
    Session,
    User,
)
from oleada_server.accounts.sessions import digest
from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.errors import BadInputError, ConflictError
from oleada_server.secret import secret_key

ISSUER: Final = "Oleada"
STEP_S: Final = 30
STEPS_EITHER_WAY: Final = 1
"""A phone's clock may be half a minute off, and typing takes time (RFC 6238, 5.2)."""
FACTORS_MAX: Final = 10
RECOVERY_CODES: Final = 10
_ALPHABET: Final = "ABCDEFGHJKMNPQRSTVWXYZ23456789"
"""Without letters that are taken for others; 12 of them are 59 bits."""
_NONCE_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class NewApp:
    """What an authenticator app is told: the key in base32, and the address of the QR code."""

    key: str
    uri: str


def new_app(user_name: str) -> NewApp:
    """Return a new key for an app of user *user_name*; nothing is stored yet."""
    key = pyotp.random_base32()
    return NewApp(key, pyotp.TOTP(key).provisioning_uri(name=user_name, issuer_name=ISSUER))


def uri_of(key: str, user_name: str) -> str:
    """Return the address that a QR code tells an app, for a *key* that was shown already."""
    return pyotp.TOTP(key).provisioning_uri(name=user_name, issuer_name=ISSUER)


def add_app(user_id: int, key: str, code: str, name: str, *, now: datetime) -> list[str]:
    """Enrol the app that has *key*, proved by a *code* of it; return new recovery codes.

    The codes come with the first factor of a user only; else the list is empty.

    Raises:
        WrongCodeError: The app shows another code.
        BadInputError: There are too many factors already, or *key* is no key.
    """
    step = _step_of(key, code, now)
    if step is None:
        raise WrongCodeError
    return add(
        SecondFactor(
            user_id=user_id, kind=FactorKind.TOTP, name=name, secret=seal(key.encode()),
            counter=step, created_at=now,
        ),
        now,
    )  # fmt: skip


def add(factor: SecondFactor, now: datetime) -> list[str]:
    """Store a factor that was proved; return recovery codes if it is the first one.

    Raises:
        BadInputError: There are too many already.
    """
    db.session.rollback()
    user = db.session.get_one(User, factor.user_id, with_for_update=True)
    held = _count(factor.user_id)
    if held >= FACTORS_MAX:
        raise BadInputError(f"A person has {FACTORS_MAX} second factors at most.", "name")
    factor.name = factor.name.strip()[:80] or str(factor.kind)
    db.session.add(factor)
    db.session.flush()
    after = {"kind": str(factor.kind), "name": factor.name}
    audit.record(f"user:{user.name}", "factor.add", f"user:{user.name}", now=now, after=after)
    codes = [] if held else _new_codes(factor.user_id)
    db.session.commit()
    return codes


def prove_code(user_id: int, text: str, *, now: datetime) -> None:
    """Accept the code of an app, or a recovery code, which is then used up.

    Raises:
        WrongCodeError: It is neither, or was taken before.
        TooManyAttemptsError: The delay after vain tries still runs; nothing was looked at.
    """
    name = f"second factor of {user_id}"  # a blank is in no user's name
    tries.count_attempt(name, now)
    user = db.session.get_one(User, user_id, with_for_update=True, populate_existing=True)
    typed = "".join(text.split()).replace("-", "").upper()
    by = _by_app(user_id, typed, now) or _by_recovery(user_id, typed)
    if by is None:
        audit.record(f"user:{user.name}", "factor.refused", f"user:{user.name}", now=now)
        db.session.commit()
        raise WrongCodeError
    if by == "recovery":
        left = {"codes_left": codes_left(user_id)}
        audit.record(f"user:{user.name}", "factor.recovery", f"user:{user.name}", now=now,
                     after=left)  # fmt: skip
    tries.forget(name)
    db.session.commit()


def list_factors(user_id: int) -> Sequence[SecondFactor]:
    """Return the factors of a user, oldest first."""
    query = select(SecondFactor).where(SecondFactor.user_id == user_id)
    return db.session.scalars(query.order_by(SecondFactor.id)).all()


def codes_left(user_id: int) -> int:
    """Return how many recovery codes a user has not used."""
    query = select(func.count(RecoveryCode.code_sha256)).where(RecoveryCode.user_id == user_id)
    return db.session.scalar(query) or 0


def renew_codes(user_id: int, *, now: datetime) -> list[str]:
    """Return new recovery codes; those that were there work no more.

    Raises:
        ConflictError: There is no factor that they could stand in for.
    """
    user = db.session.get_one(User, user_id, with_for_update=True)
    if not _count(user_id):
        raise ConflictError("Recovery codes stand in for a second factor; enrol one first.")
    codes = _new_codes(user_id)
    audit.record(f"user:{user.name}", "factor.codes", f"user:{user.name}", now=now)
    db.session.commit()
    return codes


def remove(user_id: int, factor_id: int, *, actor: str, now: datetime) -> None:
    """Remove one factor; with the last one the recovery codes go as well.

    Raises:
        FactorNotFoundError: This user has no such factor.
    """
    db.session.rollback()
    user = db.session.get_one(User, user_id, with_for_update=True)
    factor = db.session.get(SecondFactor, factor_id)
    if factor is None or factor.user_id != user_id:
        raise FactorNotFoundError(factor_id)
    before = {"kind": str(factor.kind), "name": factor.name}
    db.session.delete(factor)
    db.session.flush()
    if not _count(user_id):
        db.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    audit.record(actor, "factor.remove", f"user:{user.name}", now=now, before=before)
    db.session.commit()


def reset(name: str, *, actor: str, now: datetime) -> int:
    """Take every factor, code and session of user *name*; return how many factors there were.

    They sign in with password or link and enrol anew. Tokens stay, but have to prove anew.

    Raises:
        FactorNotFoundError: There is no such user.
    """
    db.session.rollback()
    count = record_reset(name, actor=actor, now=now)
    db.session.commit()
    return count


def record_reset(name: str, *, actor: str, now: datetime, asked_by: str | None = None) -> int:
    """Do what :func:`reset` does in the caller's transaction; *asked_by* if another one asked.

    Raises:
        FactorNotFoundError: There is no such user.
    """
    user = db.session.scalar(select(User).where(User.name == name).with_for_update())
    if user is None:
        raise FactorNotFoundError(name)
    count = _count(user.id)
    for model in (SecondFactor, RecoveryCode, Session):
        db.session.execute(delete(model).where(model.user_id == user.id))
    for token in db.session.scalars(select(ApiToken).where(ApiToken.user_id == user.id)):
        token.factor_at = None
    after = {"asked_by": asked_by} if asked_by else None
    before = {"factors": count}
    audit.record(actor, "factor.reset", f"user:{name}", now=now, before=before, after=after)
    return count


def seal(secret: bytes) -> bytes:
    """Return *secret* encrypted with a key of the data directory (AES-256-GCM)."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(_sealing_key()).encrypt(nonce, secret, None)


def unseal(sealed: bytes) -> bytes | None:
    """Return what *sealed* holds, None if this data directory has not sealed it."""
    try:
        return AESGCM(_sealing_key()).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
    except (InvalidTag, ValueError):
        return None


def _by_app(user_id: int, code: str, now: datetime) -> str | None:
    for factor in list_factors(user_id):
        key = unseal(factor.secret) if factor.kind == FactorKind.TOTP else None
        step = _step_of(key.decode(), code, now) if key is not None else None
        if step is not None and step > factor.counter:
            factor.counter, factor.last_used_at = step, now
            return "app"
    return None


def _by_recovery(user_id: int, code: str) -> str | None:
    used = db.session.scalars(
        delete(RecoveryCode)
        .where(RecoveryCode.user_id == user_id, RecoveryCode.code_sha256 == digest(code))
        .returning(RecoveryCode.code_sha256)
    ).all()
    return "recovery" if used else None


def _step_of(key: str, code: str, now: datetime) -> int | None:
    """Return the 30-second step that *code* belongs to, None if to none around *now*."""
    try:
        app, step = pyotp.TOTP(key), int(now.timestamp()) // STEP_S
        near = range(step - STEPS_EITHER_WAY, step + STEPS_EITHER_WAY + 1)
        found = [n for n in near if secrets.compare_digest(app.generate_otp(n), code)]
    except (ValueError, TypeError):  # no base32, or signs that no code has
        return None
    return max(found, default=None)


def _new_codes(user_id: int) -> list[str]:
    db.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    codes = ["".join(secrets.choice(_ALPHABET) for _ in range(12)) for _ in range(RECOVERY_CODES)]
    db.session.add_all(RecoveryCode(code_sha256=digest(code), user_id=user_id) for code in codes)
    db.session.flush()
    return [f"{code[:4]}-{code[4:8]}-{code[8:]}" for code in codes]


def _count(user_id: int) -> int:
    query = select(func.count(SecondFactor.id)).where(SecondFactor.user_id == user_id)
    return db.session.scalar(query) or 0


def _sealing_key() -> bytes:
    derived = HKDF(SHA256(), 32, salt=None, info=b"oleada second factors v1")
    return derived.derive(secret_key(config.current()))


def key_fits(key: str) -> bool:
    """Return whether *key*, which came back with a form, is a key as we make them."""
    try:
        return len(base64.b32decode(key)) == 20
    except ValueError:
        return False
