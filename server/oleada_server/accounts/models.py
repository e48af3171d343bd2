"""Users, their links, sessions, second factors and API tokens.

What a person or a program holds is stored only as SHA-256. The key of an authenticator app
has to be read again, so it is sealed with a key of the data directory (``factors.py``).
"""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from oleada_server.db import Base, Json


class Role(StrEnum):
    """What a person may do; which includes which stands in ``rights.INCLUDES``."""

    VIEWER = "viewer"
    SUPPORT = "support"
    AUDITOR = "auditor"
    RELEASE_SIGNER = "release-signer"
    OPERATOR = "operator"
    APPROVER = "approver"
    DEVICE_CA_ADMIN = "device-ca-admin"
    USER_ADMIN = "user-admin"
    ADMIN = "admin"


class User(Base):
    """A person who signs in to the console. *password_hash* is Argon2id, or unset."""

    __tablename__ = "user_account"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    full_name: Mapped[str] = mapped_column(String(120))
    role: Mapped[Role] = mapped_column(String(20))
    password_hash: Mapped[str | None] = mapped_column(String(200))
    language: Mapped[str] = mapped_column(String(10), default="en")
    zone: Mapped[str] = mapped_column(String(60), default="UTC")
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]


class SignInLink(Base):
    """A one-time link; the token itself is never stored."""

    __tablename__ = "sign_in_link"
    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"))
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    user: Mapped[User] = relationship()


class Session(Base):
    """A signed-in browser; ended by the server, not by the cookie alone.

    While *awaits_factor* holds nobody is signed in with it yet: the password or the link
    was good, the second factor is still to come. *factor_at* is when one was last proved.
    *challenge* is what a passkey has to sign, once, within minutes.
    """

    __tablename__ = "user_session"
    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"))
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    awaits_factor: Mapped[bool] = mapped_column(default=False)
    factor_at: Mapped[datetime | None]
    challenge: Mapped[str | None] = mapped_column(String(100))
    challenge_at: Mapped[datetime | None]
    address: Mapped[str] = mapped_column(String(60), default="")
    browser: Mapped[str] = mapped_column(String(200), default="")
    user: Mapped[User] = relationship()


class FactorKind(StrEnum):
    """How a second factor is proved."""

    TOTP = "totp"
    PASSKEY = "passkey"


class SecondFactor(Base):
    """An authenticator app or a passkey of a user.

    *secret* is the sealed key of an app, or the public key (COSE) of a passkey. *counter*
    is the last 30-second step whose code was taken, or the signature counter, so that
    neither a code nor a copy of a key works twice. *credential_id* is base64url.
    """

    __tablename__ = "second_factor"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(
        ForeignKey("user_account.id", ondelete="CASCADE"), index=True
    )
    kind: Mapped[FactorKind] = mapped_column(String(10))
    name: Mapped[str] = mapped_column(String(80))
    secret: Mapped[bytes]
    credential_id: Mapped[str | None] = mapped_column(String(1400), unique=True)
    counter: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]


class RecoveryCode(Base):
    """One of ten codes that stand in for a lost second factor, each once."""

    __tablename__ = "recovery_code"
    code_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(
        ForeignKey("user_account.id", ondelete="CASCADE"), index=True
    )


class KeptForm(Base):
    """What somebody had typed when their session ended, until they send it again.

    It belongs to the session that they signed in to afterwards, at most one to each.
    *action* is the path that the form is sent to; *fields* are ``[name, value]`` in order,
    without passwords, files and form tokens.
    """

    __tablename__ = "kept_form"
    session_sha256: Mapped[str] = mapped_column(
        ForeignKey("user_session.token_sha256", ondelete="CASCADE"), primary_key=True
    )
    action: Mapped[str] = mapped_column(String(400))
    fields: Mapped[list[list[str]]] = mapped_column(Json)
    kept_at: Mapped[datetime]


class ApiToken(Base):
    """A token for the CLI and for programs: scoped, expiring, shown once.

    *hint* is how it begins, for whoever finds one; empty for those made before hints.
    *is_local* holds for the one that lies in the server's own data directory.
    """

    __tablename__ = "api_token"
    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(80))
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    hint: Mapped[str] = mapped_column(String(12), default="")
    created_by: Mapped[str] = mapped_column(String(120), default="")
    last_used_at: Mapped[datetime | None]
    factor_at: Mapped[datetime | None]
    is_local: Mapped[bool] = mapped_column(default=False)
    user: Mapped[User] = relationship()


class SignInDelay(Base):
    """Attempts with a password for one name, whether or not such a user exists.

    A row for names nobody has makes an unknown user and a wrong password look alike.
    """

    __tablename__ = "sign_in_delay"
    name_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    attempts: Mapped[int]
    last_at: Mapped[datetime]


class AskedDeed(Base):
    """A deed that needs two persons: asked for by one, confirmed or declined by another.

    *action* and *body* are what ``second_person.py`` does once it is confirmed; *outcome*
    is empty while it waits.
    """

    __tablename__ = "asked_deed"
    id: Mapped[int] = mapped_column(primary_key=True)
    action: Mapped[str] = mapped_column(String(60))
    object_ref: Mapped[str] = mapped_column(String(80))
    body: Mapped[dict[str, str]] = mapped_column(Json)
    reason: Mapped[str] = mapped_column(String(500))
    asked_by: Mapped[str] = mapped_column(String(120))
    asked_at: Mapped[datetime]
    decided_by: Mapped[str | None] = mapped_column(String(120))
    decided_at: Mapped[datetime | None]
    outcome: Mapped[str] = mapped_column(String(20), default="")
