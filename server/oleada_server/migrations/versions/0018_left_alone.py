"""boxes that are left alone, or go back; waiting boxes of a wave by id."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "device_left_alone",
        sa.Column("device_id", sa.String(length=20), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("ref", sa.String(length=80), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("noted_by", sa.String(length=120), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_device_left_alone_device_id_device")
        ),
        sa.PrimaryKeyConstraint("device_id", "kind", name=op.f("pk_device_left_alone")),
    )
    op.create_table(
        "rollout_gone_back",
        sa.Column("rollout_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(length=40), nullable=False),
        sa.Column("boxes", sa.Integer(), nullable=False),
        sa.Column("back_id", sa.Integer(), nullable=True),
        sa.Column("refused", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["rollout_id"], ["rollout.id"], name=op.f("fk_rollout_gone_back_rollout_id_rollout")
        ),
        sa.ForeignKeyConstraint(
            ["back_id"], ["rollout.id"], name=op.f("fk_rollout_gone_back_back_id_rollout")
        ),
        sa.PrimaryKeyConstraint("rollout_id", "version", name=op.f("pk_rollout_gone_back")),
    )
    op.drop_index("ix_box_in_wave_wave_state", "box_in_wave")
    op.create_index("ix_box_in_wave_wave_state", "box_in_wave", ["wave_id", "state", "id"])


def downgrade() -> None:
    op.drop_index("ix_box_in_wave_wave_state", "box_in_wave")
    op.create_index("ix_box_in_wave_wave_state", "box_in_wave", ["wave_id", "state"])
    op.drop_table("rollout_gone_back")
    op.drop_table("device_left_alone")
