"""approval of rollouts by a second person, and holds that a person has lifted."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ROLLOUT = ("needs_approval", "asked_at", "asked_by", "ask_remark", "approved_at", "approved_by")
WAVE = ("silent_accepted", "good_accepted")


def upgrade() -> None:
    op.add_column(
        "rollout",
        sa.Column("needs_approval", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.add_column("rollout", sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("rollout", sa.Column("asked_by", sa.String(length=120), nullable=True))
    op.add_column("rollout", sa.Column("ask_remark", sa.Text(), nullable=True))
    op.add_column("rollout", sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("rollout", sa.Column("approved_by", sa.String(length=120), nullable=True))
    for name in WAVE:
        op.add_column("wave", sa.Column(name, sa.Integer(), nullable=True))


def downgrade() -> None:
    for name in reversed(WAVE):
        op.drop_column("wave", name)
    for name in reversed(ROLLOUT):
        op.drop_column("rollout", name)
