"""assignments are issued again when a person forces a rollout, or takes that back."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rollout", sa.Column("reissue_before", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("rollout", "reissue_before")
