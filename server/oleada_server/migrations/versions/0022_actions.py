"""actions that people order of boxes, what came back, and files that were uploaded."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "action_order",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("device_id", sa.String(length=20), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("arguments", _JSON, nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("consent", sa.String(length=20), nullable=False),
        sa.Column("asked_by", sa.String(length=120), nullable=False),
        sa.Column("asked_at", _AT, nullable=False),
        sa.Column("confirmed_by", sa.String(length=120), nullable=True),
        sa.Column("key", sa.String(length=80), nullable=True),
        sa.Column("request_sha256", sa.String(length=64), nullable=False),
        sa.Column("cmd_seq", sa.BigInteger(), nullable=False),
        sa.Column("timeout_ms", sa.Integer(), nullable=False),
        sa.Column("expires_at", _AT, nullable=False),
        sa.Column("heard_at", _AT, nullable=True),
        sa.Column("done_parts", sa.Integer(), nullable=True),
        sa.Column("stored_bytes", sa.Integer(), nullable=False),
        sa.Column("is_truncated", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=40), nullable=True),
        sa.Column("error", sa.String(length=40), nullable=True),
        sa.Column("began_at", _AT, nullable=True),
        sa.Column("ended_at", _AT, nullable=True),
        sa.Column("told_files", _JSON, nullable=True),
        sa.Column("cancelled_by", sa.String(length=120), nullable=True),
        sa.Column("cancelled_at", _AT, nullable=True),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_action_order_device_id_device")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_action_order")),
        sa.UniqueConstraint("asked_by", "key", name=op.f("uq_action_order_asked_by_key")),
    )
    op.create_index("ix_action_order_device_asked", "action_order", ["device_id", "asked_at"])
    op.create_index(op.f("ix_action_order_asked_at"), "action_order", ["asked_at"])
    op.create_table(
        "action_part",
        sa.Column("order_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("output", sa.Text(), nullable=False),
        sa.Column("values", _JSON, nullable=False),
        sa.Column("received_at", _AT, nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["action_order.id"], name=op.f("fk_action_part_order_id_action_order")
        ),
        sa.PrimaryKeyConstraint("order_id", "number", name=op.f("pk_action_part")),
    )
    op.create_table(
        "action_file",
        sa.Column("order_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("uploaded_at", _AT, nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["action_order.id"], name=op.f("fk_action_file_order_id_action_order")
        ),
        sa.PrimaryKeyConstraint("order_id", "name", name=op.f("pk_action_file")),
    )
    op.create_index(op.f("ix_action_file_uploaded_at"), "action_file", ["uploaded_at"])
    with op.batch_alter_table("device") as device:
        device.add_column(
            sa.Column("reads_actions", sa.Boolean(), server_default=sa.false(), nullable=False)
        )
        device.add_column(sa.Column("denied_actions", _JSON, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("device") as device:
        device.drop_column("denied_actions")
        device.drop_column("reads_actions")
    op.drop_table("action_file")
    op.drop_table("action_part")
    op.drop_table("action_order")
