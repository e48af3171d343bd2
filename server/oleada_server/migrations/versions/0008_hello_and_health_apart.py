"""the order of hellos and of health messages, each by itself."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

KINDS = ("hello", "health")


def upgrade() -> None:
    for kind in KINDS:
        op.add_column(
            "device",
            sa.Column(f"{kind}_boot", sa.String(length=17), nullable=False, server_default=""),
        )
        op.add_column(
            "device", sa.Column(f"{kind}_seq", sa.Integer(), nullable=False, server_default="0")
        )


def downgrade() -> None:
    for kind in reversed(KINDS):
        op.drop_column("device", f"{kind}_seq")
        op.drop_column("device", f"{kind}_boot")
