"""a rollout says how far its boxes are written down."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    kind = sa.JSON().with_variant(JSONB(), "postgresql")
    op.add_column("rollout", sa.Column("preparing", kind, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("rollout") as table:
        table.drop_column("preparing")
