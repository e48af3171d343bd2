"""Complaints: which box has which symptom, so that many of them are seen to be one trouble."""

from datetime import datetime

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
