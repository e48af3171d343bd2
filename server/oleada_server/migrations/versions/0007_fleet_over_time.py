"""the fleet counted over time, and forms that outlive a session."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "fleet_count",
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("boxes", sa.Integer(), nullable=False),
        sa.Column("heard", sa.Integer(), nullable=False),
        sa.Column("never", sa.Integer(), nullable=False),
        sa.Column("updating", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("at", name=op.f("pk_fleet_count")),
    )
    op.create_table(
        "kept_form",
        sa.Column("session_sha256", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=400), nullable=False),
        sa.Column("fields", JSON, nullable=False),
        sa.Column("kept_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_sha256"],
            ["user_session.token_sha256"],
            name=op.f("fk_kept_form_session_sha256_user_session"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("session_sha256", name=op.f("pk_kept_form")),
    )


def downgrade() -> None:
    op.drop_table("kept_form")
    op.drop_table("fleet_count")
