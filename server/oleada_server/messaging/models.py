"""The outbox: a message is a row in the writer's transaction before it is sent.

A retained topic has one row at most (the newest wins), so that the broker can be
filled again from the database after it has lost its memory.
"""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from oleada_server.db import Base


class OutboxMessage(Base):
    """A message that is not retained: sent once, then deleted after the broker has it."""

    __tablename__ = "outbox_message"
    __table_args__ = ({"sqlite_autoincrement": True},)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    topic: Mapped[str] = mapped_column(String(120))
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class RetainedMessage(Base):
    """What the broker must hold for a topic; *revision* rises with each change.

    Unsent while ``sent_revision < revision``; an empty payload clears the topic.
    """

    __tablename__ = "retained_message"
    __table_args__ = (
        UniqueConstraint("topic"),
        Index("ix_retained_message_unsent", "sent_revision", "revision"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    topic: Mapped[str] = mapped_column(String(120))
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime | None]
    revision: Mapped[int] = mapped_column(BigInteger)
    sent_revision: Mapped[int] = mapped_column(BigInteger, default=0)


class Leader(Base):
    """Who runs the ticks: one row a role; every write of a tick carries its *epoch*."""

    __tablename__ = "leader"
    role: Mapped[str] = mapped_column(String(20), primary_key=True)
    owner: Mapped[str] = mapped_column(String(80))
    epoch: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[datetime]


class Counter(Base):
    """A number that only rises, such as the server's own boot count."""

    __tablename__ = "counter"
    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class DeviceExcess(Base):
    """That a box sent more than its quota: its newest spell of doing so.

    *messages* were not kept since *began_at*; *last_at* is when the newest were counted.
    """

    __tablename__ = "device_excess"
    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    began_at: Mapped[datetime]
    last_at: Mapped[datetime]
    messages: Mapped[int] = mapped_column(BigInteger)
