"""Claim tokens (only as SHA-256) and the certificates that they became."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from oleada_server.db import Base


class ClaimToken(Base):
    """A one-time right of one serial to enrol; *spki_sha256* binds it to the first key."""

    __tablename__ = "claim_token"
    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    serial: Mapped[str] = mapped_column(String(40), index=True)
    hardware_model: Mapped[str] = mapped_column(ForeignKey("hardware_model.name"))
    zone: Mapped[str] = mapped_column(String(60), default="UTC")
    region: Mapped[str | None] = mapped_column(String(60))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    spki_sha256: Mapped[str | None] = mapped_column(String(64))
    device_id: Mapped[str | None] = mapped_column(ForeignKey("device.id"))


class Certificate(Base):
    """A certificate that the device CA issued."""

    __tablename__ = "certificate"
    serial_hex: Mapped[str] = mapped_column(String(40), primary_key=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"), index=True)
    spki_sha256: Mapped[str] = mapped_column(String(64), index=True)
    pem: Mapped[str] = mapped_column(Text)
    not_before: Mapped[datetime]
    not_after: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
