"""What Alembic runs: migrations on the connection that ``schema.py`` hands over."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import JSON

from oleada_server import models
from oleada_server.db import Base, UtcTime

assert models, "every table is known before schemas are compared"  # noqa: S101


def _render(kind: str, item: Any, autogen_context: Any) -> str | Literal[False]:  # noqa: ARG001
    """Write our types as the database knows them: an old revision must not change with our code."""
    if isinstance(item, UtcTime):
        return "sa.DateTime(timezone=True)"
    if isinstance(item, JSON):
        return "JSON"  # the template says what that is
    return False


context.configure(
    render_item=_render,
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
