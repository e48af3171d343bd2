"""Devices: one row per box, written by what the box says and by enrolment.

A row is ordered by (*boot_count*, *seq*) of the newest hello or health that was
counted, so an older message that arrives later changes nothing that both of them say.
What only one kind says is ordered by the newest of that kind (*hello_boot*,
*health_boot*): a health message that overtakes the first hello must not swallow it.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, false
from sqlalchemy.orm import Mapped, mapped_column

from oleada_server.db import Base


class HardwareModel(Base):
    """A model of box that the operator has, such as ``VX-410``."""

    __tablename__ = "hardware_model"
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    title: Mapped[str] = mapped_column(String(120), default="")


class Device(Base):
    """One box as the server knows it.

    *last_seen_at* is when the server last received anything from it, by the server's
    clock; *health* holds the latest TR-181 parameters, *health_at* their age.
    *clock_ahead_s* is how far the box's clock was ahead at its newest message. What a box
    says after *revoked_at* is not heard; a new claim token makes it one of ours again.
    *reads_batches* is whether its agent understands a signature over a batch of messages,
    *reads_actions* whether actions; *denied_actions* are those that its settings deny.
    """

    __tablename__ = "device"
    __table_args__ = (
        Index("ix_device_model_version", "hardware_model", "version"),
        Index("ix_device_last_seen", "last_seen_at", "id"),
    )
    id: Mapped[str] = mapped_column(String(20), primary_key=True)
    serial: Mapped[str] = mapped_column(String(40), unique=True)
    mac: Mapped[str | None] = mapped_column(String(17), index=True)
    hardware_model: Mapped[str] = mapped_column(ForeignKey("hardware_model.name"))
    zone: Mapped[str] = mapped_column(String(60), default="UTC")
    region: Mapped[str | None] = mapped_column(String(60))
    enrolled_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    first_seen_at: Mapped[datetime | None]
    last_seen_at: Mapped[datetime | None]
    connected: Mapped[bool] = mapped_column(default=False)
    boot_count: Mapped[int] = mapped_column(default=0)
    boot_nonce: Mapped[str] = mapped_column(String(8), default="")
    seq: Mapped[int] = mapped_column(default=0)
    hello_boot: Mapped[str] = mapped_column(String(17), server_default="")
    hello_seq: Mapped[int] = mapped_column(server_default="0")
    health_boot: Mapped[str] = mapped_column(String(17), server_default="")
    health_seq: Mapped[int] = mapped_column(server_default="0")
    boot_reason: Mapped[str | None] = mapped_column(String(20))
    version: Mapped[str | None] = mapped_column(String(40))
    security_version: Mapped[int | None]
    running_slot: Mapped[str | None] = mapped_column(String(1))
    agent_version: Mapped[str | None] = mapped_column(String(40))
    slots: Mapped[dict[str, Any] | None]
    provides: Mapped[list[str] | None]
    health: Mapped[dict[str, Any] | None]
    health_at: Mapped[datetime | None]
    clock_ahead_s: Mapped[int | None]
    assignment_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    cmd_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    reads_batches: Mapped[bool] = mapped_column(default=False, server_default=false())
    reads_actions: Mapped[bool] = mapped_column(default=False, server_default=false())
    denied_actions: Mapped[list[str] | None]


class DeviceGroup(Base):
    """A named set of boxes: those that were put into it, or those that *rule* is true of.

    *rule* is a filter over boxes as JSON (``rollouts/cover.py``); None for a group whose
    boxes are named one by one.
    """

    __tablename__ = "device_group"
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    note: Mapped[str] = mapped_column(String(200), default="")
    rule: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(120))


class DeviceGroupMember(Base):
    """One box in one group whose boxes are named."""

    __tablename__ = "device_group_member"
    group_name: Mapped[str] = mapped_column(ForeignKey("device_group.name"), primary_key=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True, index=True)


class FleetCount(Base):
    """The fleet as it was counted at one moment; kept for some weeks.

    *heard* of the *boxes* were heard lately, *never* not once, the others are silent;
    *updating* of the boxes held a lease of a rollout.
    """

    __tablename__ = "fleet_count"
    at: Mapped[datetime] = mapped_column(primary_key=True)
    boxes: Mapped[int]
    heard: Mapped[int]
    never: Mapped[int]
    updating: Mapped[int]

    @property
    def silent(self) -> int:
        """Return how many were heard once, but not lately."""
        return self.boxes - self.heard - self.never
