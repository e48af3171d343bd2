"""the log of outcomes summed over time, so that a curve need not count it all."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "outcome_curve",
        sa.Column("rollout_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stratum_id", sa.Integer(), nullable=False),
        sa.Column("look_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("boxes", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["rollout_id"], ["rollout.id"], name=op.f("fk_outcome_curve_rollout_id_rollout")
        ),
        sa.ForeignKeyConstraint(
            ["stratum_id"], ["stratum.id"], name=op.f("fk_outcome_curve_stratum_id_stratum")
        ),
        sa.PrimaryKeyConstraint(
            "rollout_id", "at", "stratum_id", "look_id", "state", name=op.f("pk_outcome_curve")
        ),
    )
    # What was summed so far has no times: the next tick sums the log again.
    op.execute(sa.text("DELETE FROM outcome_fold"))
    op.execute(sa.text("UPDATE evidence_terms SET folded_to = 0"))


def downgrade() -> None:
    op.drop_table("outcome_curve")
