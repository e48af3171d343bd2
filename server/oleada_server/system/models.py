"""What the server's processes say of themselves, so that any page can tell how it is."""

from datetime import datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from oleada_server.db import Base


class ProcessBeat(Base):
    """One process that is alive; written every few seconds, by itself.

    *said_at* is by the clock of its machine, *heard_at* by the database's: their
    difference is how far the machine's clock is off.
    """

    __tablename__ = "process_beat"
    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    role: Mapped[str] = mapped_column(String(20))
    said_at: Mapped[datetime]
    heard_at: Mapped[datetime]
    facts: Mapped[dict[str, Any]]
