"""Health samples, log and crash messages, each once by (device, boot, seq); hours with trouble."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from oleada_server.db import Base


class HealthSample(Base):
    """One health message of one box; *parameters* by TR-181 path."""

    __tablename__ = "health_sample"
    __table_args__ = (
        UniqueConstraint("device_id", "boot", "seq"),
        Index("ix_health_sample_device_at", "device_id", "received_at"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"))
    boot: Mapped[str] = mapped_column(String(17))
    seq: Mapped[int]
    version: Mapped[str] = mapped_column(String(40))
    parameters: Mapped[dict[str, Any]]
    box_at: Mapped[datetime]
    received_at: Mapped[datetime]


class DeviceEvent(Base):
    """A log, crash or command result of one box, as it came."""

    __tablename__ = "device_event"
    __table_args__ = (
        UniqueConstraint("device_id", "boot", "seq"),
        Index("ix_device_event_device_at", "device_id", "received_at"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"))
    boot: Mapped[str] = mapped_column(String(17))
    seq: Mapped[int]
    kind: Mapped[str] = mapped_column(String(20))
    body: Mapped[dict[str, Any]]
    box_at: Mapped[datetime]
    received_at: Mapped[datetime]


class TroubleHour(Base):
    """One hour of one box in which something of *kind* went wrong; once, however often it was said.

    *at* is the beginning of the hour, *heard_at* when the server first heard of it. *kind* is a
    ``telemetry.troubles.Trouble``, or ``telemetry.troubles.SILENCE``.
    """

    __tablename__ = "trouble_hour"
    __table_args__ = (Index("ix_trouble_hour_heard", "heard_at"),)
    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20), primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    heard_at: Mapped[datetime]
