"""Complaints, hours of boxes and of models, and how many boxes were heard of what.

Complaints say which box has which symptom, so that many of them are seen to be one trouble.
Hours are what is left of health messages when those have gone; see ``diagnosis/rolling.py``.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from oleada_server.db import Base


class Complaint(Base):
    """Somebody said that a box has a symptom, at most once an hour and box.

    *region*, *hardware_model* and *version* are the box's at that moment; *channel* is what
    the subscriber calls it, empty if they did not say.
    """

    __tablename__ = "complaint"
    __table_args__ = (Index("ix_complaint_symptom_at", "symptom", "at"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"), index=True)
    symptom: Mapped[str] = mapped_column(String(40))
    channel: Mapped[str] = mapped_column(String(40))
    region: Mapped[str | None] = mapped_column(String(60))
    hardware_model: Mapped[str] = mapped_column(String(32))
    version: Mapped[str | None] = mapped_column(String(40))
    at: Mapped[datetime]
    said_by: Mapped[str] = mapped_column(String(120))


class HealthHour(Base):
    """One hour of one box, from *at*: of *samples* messages; *readings* as ``diagnosis.hours``."""

    __tablename__ = "health_hour"
    __table_args__ = (Index("ix_health_hour_at", "at"),)
    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    samples: Mapped[int]
    readings: Mapped[dict[str, Any]]


class ModelHour(Base):
    """One hour of all boxes of a model, from *at*.

    *boxes* told something; *counts* are by sign how many reported it and how many showed it.
    """

    __tablename__ = "model_hour"
    hardware_model: Mapped[str] = mapped_column(ForeignKey("hardware_model.name"), primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    boxes: Mapped[int]
    counts: Mapped[dict[str, Any]]


class ModelReading(Base):
    """A reading that at least one box of a model has reported, first in the hour *at*."""

    __tablename__ = "model_reading"
    hardware_model: Mapped[str] = mapped_column(ForeignKey("hardware_model.name"), primary_key=True)
    path: Mapped[str] = mapped_column(String(160), primary_key=True)
    at: Mapped[datetime]


class HealthFold(Base):
    """How far hours are made: of what was received from *since* to *until*, up to *device_id*.

    One row. Its change and the hours that it stands for are one transaction.
    """

    __tablename__ = "health_fold"
    id: Mapped[int] = mapped_column(primary_key=True)
    since: Mapped[datetime]
    until: Mapped[datetime]
    device_id: Mapped[str] = mapped_column(String(20))


class HeardCount(Base):
    """How many boxes of a group were heard lately, as counted at *at*.

    *kind* is ``all``, ``region`` or ``firmware``; *name* the region, or model and version.
    """

    __tablename__ = "heard_count"
    kind: Mapped[str] = mapped_column(String(10), primary_key=True)
    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    boxes: Mapped[int]
    at: Mapped[datetime]
