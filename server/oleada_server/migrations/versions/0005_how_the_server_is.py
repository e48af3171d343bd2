"""beats of our processes, and how far a box's clock is off."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "process_beat",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("said_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heard_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("facts", JSON, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_process_beat")),
    )
    op.add_column("device", sa.Column("clock_ahead_s", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("device", "clock_ahead_s")
    op.drop_table("process_beat")
