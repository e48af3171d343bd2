"""boxes that send more than their quota."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "device_excess",
        sa.Column("device_id", sa.String(length=20), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_device_excess_device_id_device")
        ),
        sa.PrimaryKeyConstraint("device_id", name=op.f("pk_device_excess")),
    )


def downgrade() -> None:
    op.drop_table("device_excess")
