"""hours of updated boxes beside hours of those that wait, and what goes wrong on a box."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "trouble_hour",
        sa.Column("device_id", sa.String(length=20), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heard_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_trouble_hour_device_id_device")
        ),
        sa.PrimaryKeyConstraint("device_id", "kind", "at", name=op.f("pk_trouble_hour")),
    )
    op.create_index("ix_trouble_hour_heard", "trouble_hour", ["heard_at"])
    op.create_table(
        "hours_beside",
        sa.Column("rollout_id", sa.Integer(), nullable=False),
        sa.Column("stratum_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("updated", sa.Integer(), nullable=False),
        sa.Column("updated_bad", sa.Integer(), nullable=False),
        sa.Column("control", sa.Integer(), nullable=False),
        sa.Column("control_bad", sa.Integer(), nullable=False),
        sa.Column("late", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["rollout_id"], ["rollout.id"], name=op.f("fk_hours_beside_rollout_id_rollout")
        ),
        sa.ForeignKeyConstraint(
            ["stratum_id"], ["stratum.id"], name=op.f("fk_hours_beside_stratum_id_stratum")
        ),
        sa.PrimaryKeyConstraint(
            "rollout_id", "at", "stratum_id", "kind", name=op.f("pk_hours_beside")
        ),
    )
    for column in (
        sa.Column("watches_hours", sa.Boolean(), nullable=True),
        sa.Column("hours_to", sa.DateTime(timezone=True), nullable=True),
    ):
        op.add_column("evidence_terms", column)


def downgrade() -> None:
    op.drop_column("evidence_terms", "hours_to")
    op.drop_column("evidence_terms", "watches_hours")
    op.drop_table("hours_beside")
    op.drop_index("ix_trouble_hour_heard", "trouble_hour")
    op.drop_table("trouble_hour")
