"""Actions that were ordered, what came back part by part, and files that were uploaded."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from oleada_server.db import Base


class ActionOrder(Base):
    """One action that somebody ordered for one box; *id* is the command's.

    *arguments* are without secrets. *status* and *error* are the box's words, None until
    its result came; *heard_at* is when anything of it came first. *stored_bytes* is how
    much of values and texts is kept. *key* is what a program chose to order it once.
    *told_files* is what the result says was uploaded: the digest by name.
    """

    __tablename__ = "action_order"
    __table_args__ = (
        Index("ix_action_order_device_asked", "device_id", "asked_at"),
        UniqueConstraint("asked_by", "key"),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"))
    action: Mapped[str] = mapped_column(String(40))
    arguments: Mapped[dict[str, Any]]
    reason: Mapped[str] = mapped_column(String(200))
    consent: Mapped[str] = mapped_column(String(20))
    asked_by: Mapped[str] = mapped_column(String(120))
    asked_at: Mapped[datetime] = mapped_column(index=True)
    confirmed_by: Mapped[str | None] = mapped_column(String(120))
    key: Mapped[str | None] = mapped_column(String(80))
    request_sha256: Mapped[str] = mapped_column(String(64))
    cmd_seq: Mapped[int] = mapped_column(BigInteger)
    timeout_ms: Mapped[int]
    expires_at: Mapped[datetime]
    heard_at: Mapped[datetime | None]
    done_parts: Mapped[int | None]
    stored_bytes: Mapped[int] = mapped_column(default=0)
    is_truncated: Mapped[bool] = mapped_column(default=False)
    status: Mapped[str | None] = mapped_column(String(40))
    error: Mapped[str | None] = mapped_column(String(40))
    began_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    told_files: Mapped[dict[str, Any] | None]
    cancelled_by: Mapped[str | None] = mapped_column(String(120))
    cancelled_at: Mapped[datetime | None]


class ActionPart(Base):
    """What came in one message of an action; the result has the number after all progress."""

    __tablename__ = "action_part"
    order_id: Mapped[str] = mapped_column(ForeignKey("action_order.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    output: Mapped[str] = mapped_column(Text)
    values: Mapped[dict[str, Any]]
    received_at: Mapped[datetime]


class ActionFile(Base):
    """A file that a box has uploaded for an action; its bytes lie in the data directory."""

    __tablename__ = "action_file"
    order_id: Mapped[str] = mapped_column(ForeignKey("action_order.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    size_bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    uploaded_at: Mapped[datetime] = mapped_column(index=True)
