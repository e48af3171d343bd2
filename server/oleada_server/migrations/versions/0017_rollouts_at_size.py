"""rollouts of a million boxes: the log of outcomes folded, and what a tick asks is in an index."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "outcome_fold",
        sa.Column("rollout_id", sa.Integer(), nullable=False),
        sa.Column("stratum_id", sa.Integer(), nullable=False),
        sa.Column("look_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("boxes", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["rollout_id"], ["rollout.id"], name=op.f("fk_outcome_fold_rollout_id_rollout")
        ),
        sa.ForeignKeyConstraint(
            ["stratum_id"], ["stratum.id"], name=op.f("fk_outcome_fold_stratum_id_stratum")
        ),
        sa.PrimaryKeyConstraint(
            "rollout_id", "stratum_id", "look_id", "state", name=op.f("pk_outcome_fold")
        ),
    )
    op.add_column(
        "evidence_terms",
        sa.Column("folded_to", sa.Integer(), nullable=False, server_default=sa.text("0")),
    )
    op.create_index("ix_box_outcome_rollout", "box_outcome", ["rollout_id", "id"])
    op.create_index("ix_box_outcome_box", "box_outcome", ["box_id"])
    op.create_index(
        "ix_box_in_wave_assigned", "box_in_wave", ["rollout_id", "state", "assignment_expires_at"]
    )


def downgrade() -> None:
    op.drop_index("ix_box_in_wave_assigned", "box_in_wave")
    op.drop_index("ix_box_outcome_box", "box_outcome")
    op.drop_index("ix_box_outcome_rollout", "box_outcome")
    op.drop_column("evidence_terms", "folded_to")
    op.drop_table("outcome_fold")
