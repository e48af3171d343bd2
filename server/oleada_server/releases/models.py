"""Releases as the signed metadata describes them; immutable but for the withdrawal."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String, Text, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from oleada_server.db import Base


class ReleaseState(StrEnum):
    """Published until withdrawn; a withdrawn release never comes back."""

    PUBLISHED = "published"
    WITHDRAWN = "withdrawn"


class Release(Base):
    """One signed image for one hardware model; *size_bytes* and *sha256* of the whole.

    *depends* is what a box must be able to do before it; *must_pass* says that a box below
    it goes through it before anything newer. *denied_at* is when a rollout of it halted:
    its digest is on the deny list until a person begins the next rollout of it.
    """

    __tablename__ = "release"
    __table_args__ = (UniqueConstraint("hardware_model", "version"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    hardware_model: Mapped[str] = mapped_column(ForeignKey("hardware_model.name"))
    version: Mapped[str] = mapped_column(String(40))
    security_version: Mapped[int]
    min_version: Mapped[str | None] = mapped_column(String(40))
    target_path: Mapped[str] = mapped_column(String(120), unique=True)
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    provides: Mapped[list[str]]
    depends: Mapped[list[str] | None]
    must_pass: Mapped[bool] = mapped_column(default=False, server_default=false())
    fixes: Mapped[list[str]]
    notes: Mapped[dict[str, Any]]
    signed_by: Mapped[list[str]]
    state: Mapped[ReleaseState] = mapped_column(String(20))
    published_at: Mapped[datetime]
    published_by: Mapped[str] = mapped_column(String(120))
    withdrawn_at: Mapped[datetime | None]
    withdrawn_reason: Mapped[str | None] = mapped_column(Text)
    denied_at: Mapped[datetime | None]


class DenyList(Base):
    """The signed deny list of a model: digests, and a version that only rises."""

    __tablename__ = "deny_list"
    hardware_model: Mapped[str] = mapped_column(ForeignKey("hardware_model.name"), primary_key=True)
    deny_version: Mapped[int]
    digests: Mapped[list[str]]


class TufFile(Base):
    """One version of one TUF metadata file, as the bytes that were signed (ADR 0010).

    *name* is the role, such as ``root`` or ``VX-410``; the highest version is the
    current one. Roots are kept for ever, so that a box that slept for years catches up.
    """

    __tablename__ = "tuf_file"
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    body: Mapped[bytes] = mapped_column(LargeBinary)


class SigningKeyOwner(Base):
    """Who holds an offline signing key; the server never sees the key itself.

    *key_id* is the key's id in the TUF metadata: 64 lowercase hex digits.
    """

    __tablename__ = "signing_key_owner"
    key_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(
        ForeignKey("user_account.id", ondelete="CASCADE"), index=True
    )
    since: Mapped[datetime]
