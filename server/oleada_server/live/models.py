"""The change table: what pages must look at again, appended in the writer's transaction."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from oleada_server.db import Base


class Change(Base):
    """Something people may be looking at has changed; *object_ref* such as ``R-107``."""

    __tablename__ = "change"
    __table_args__ = ({"sqlite_autoincrement": True},)  # an id is never given twice
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime]
    object_ref: Mapped[str] = mapped_column(String(60), index=True)
