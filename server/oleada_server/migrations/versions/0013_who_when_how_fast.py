"""who gets a rollout, when and how fast: rules, filters, counts, groups, what releases need."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
NO = sa.false()


def upgrade() -> None:
    op.add_column("rollout", sa.Column("rules", JSON, nullable=True))
    op.add_column("rollout", sa.Column("newcomers_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "rollout", sa.Column("is_forced", sa.Boolean(), nullable=False, server_default=NO)
    )
    op.add_column("wave", sa.Column("box_count", sa.Integer(), nullable=True))
    op.add_column("wave", sa.Column("box_filter", JSON, nullable=True))
    op.add_column("release", sa.Column("depends", JSON, nullable=True))
    op.add_column(
        "release", sa.Column("must_pass", sa.Boolean(), nullable=False, server_default=NO)
    )
    op.create_table(
        "device_group",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("note", sa.String(length=200), nullable=False),
        sa.Column("rule", JSON, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=120), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_device_group")),
    )
    op.create_table(
        "device_group_member",
        sa.Column("group_name", sa.String(length=40), nullable=False),
        sa.Column("device_id", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_name"],
            ["device_group.name"],
            name=op.f("fk_device_group_member_group_name_device_group"),
        ),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_device_group_member_device_id_device")
        ),
        sa.PrimaryKeyConstraint("group_name", "device_id", name=op.f("pk_device_group_member")),
    )
    op.create_index(op.f("ix_device_group_member_device_id"), "device_group_member", ["device_id"])


def downgrade() -> None:
    op.drop_table("device_group_member")
    op.drop_table("device_group")
    op.drop_column("release", "must_pass")
    op.drop_column("release", "depends")
    op.drop_column("wave", "box_filter")
    op.drop_column("wave", "box_count")
    op.drop_column("rollout", "is_forced")
    op.drop_column("rollout", "newcomers_at")
    op.drop_column("rollout", "rules")
