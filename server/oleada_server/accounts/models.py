"""Users, their one-time links and sessions, and API tokens; secrets only as SHA-256."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from oleada_server.db import Base, Json


class Role(StrEnum):
    """What a person may do; which includes which stands in ``rights.INCLUDES``."""

    VIEWER = "viewer"
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
    """A signed-in browser; ended by the server, not by the cookie alone."""

    __tablename__ = "user_session"
    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"))
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    user: Mapped[User] = relationship()


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
    """A token for the CLI and for programs: scoped, expiring, shown once."""

    __tablename__ = "api_token"
    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(80))
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    user: Mapped[User] = relationship()


class SignInDelay(Base):
    """Attempts with a password for one name, whether or not such a user exists.

    A row for names nobody has makes an unknown user and a wrong password look alike.
    """

    __tablename__ = "sign_in_delay"
    name_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    attempts: Mapped[int]
    last_at: Mapped[datetime]
