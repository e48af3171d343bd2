"""the evidence of a rollout: terms, strata, outcomes, looks at the control, incidents."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
TIME = sa.DateTime(timezone=True)


def _points_to(table: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{to}.id"], name=f"fk_{table}_{column}_{to}")


def _of_the_rollout(table: str, *others: tuple[str, str]) -> list[sa.ForeignKeyConstraint]:
    pairs = (("rollout_id", "rollout"), *others)
    return [_points_to(table, column, to) for column, to in pairs]


def upgrade() -> None:
    op.add_column("release", sa.Column("denied_at", TIME, nullable=True))
    op.add_column("box_in_wave", sa.Column("counted", sa.String(10), nullable=True))
    op.add_column("box_in_wave", sa.Column("armed_at", TIME, nullable=True))
    op.add_column("box_in_wave", sa.Column("ripe_at", TIME, nullable=True))
    op.create_index("ix_box_in_wave_counted", "box_in_wave", ["rollout_id", "counted"])
    op.create_index("ix_box_in_wave_ripe", "box_in_wave", ["rollout_id", "ripe_at"])
    op.create_table(
        "evidence_terms",
        sa.Column("rollout_id", sa.Integer(), nullable=False),
        *(
            sa.Column(name, sa.Float(), nullable=False)
            for name in ("accepted_share", "alpha", "bad_share_max", "doubt")
        ),
        sa.Column("start_boxes", sa.Integer(), nullable=False),
        sa.Column("ripe_after_s", sa.Integer(), nullable=False),
        sa.Column("rolls_back_trials", sa.Boolean(), nullable=False),
        sa.Column("room", sa.Integer(), nullable=False),
        sa.Column("looked_at", TIME, nullable=True),
        sa.Column("owes_denial", sa.Boolean(), nullable=False, server_default=sa.false()),
        *_of_the_rollout("evidence_terms"),
        sa.PrimaryKeyConstraint("rollout_id", name="pk_evidence_terms"),
    )
    op.create_table(
        "stratum",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rollout_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(40), nullable=False),
        sa.Column("boxes", sa.Integer(), nullable=False),
        sa.Column("halted_at", TIME, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        *_of_the_rollout("stratum"),
        sa.PrimaryKeyConstraint("id", name="pk_stratum"),
        sa.UniqueConstraint("rollout_id", "version", name="uq_stratum_rollout_id_version"),
    )
    op.create_table(
        "control_look",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rollout_id", sa.Integer(), nullable=False),
        sa.Column("began_at", TIME, nullable=False),
        sa.Column("ends_at", TIME, nullable=False),
        sa.Column("closed_at", TIME, nullable=True),
        sa.Column("boxes", sa.Integer(), nullable=False),
        sa.Column("dark", sa.Integer(), nullable=True),
        sa.Column("watched", JSON, nullable=True),
        *_of_the_rollout("control_look"),
        sa.PrimaryKeyConstraint("id", name="pk_control_look"),
    )
    op.create_index("ix_control_look_rollout", "control_look", ["rollout_id", "began_at"])
    op.create_table(
        "box_outcome",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rollout_id", sa.Integer(), nullable=False),
        sa.Column("stratum_id", sa.Integer(), nullable=False),
        sa.Column("box_id", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("was", sa.String(10), nullable=True),
        sa.Column("now", sa.String(10), nullable=False),
        sa.Column("look_id", sa.Integer(), nullable=True),
        sa.Column("at", TIME, nullable=False),
        *_of_the_rollout(
            "box_outcome",
            ("stratum_id", "stratum"),
            ("box_id", "box_in_wave"),
            ("look_id", "control_look"),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_box_outcome"),
    )
    op.create_index("ix_box_outcome_stratum", "box_outcome", ["stratum_id"])
    op.create_index("ix_box_outcome_rollout_now", "box_outcome", ["rollout_id", "now", "id"])
    _incidents()


def _incidents() -> None:
    op.create_table(
        "incident",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rollout_id", sa.Integer(), nullable=False),
        sa.Column("stratum_id", sa.Integer(), nullable=True),
        sa.Column("opened_at", TIME, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        *(
            sa.Column(name, sa.Integer(), nullable=False)
            for name in ("begun", "bad", "silent", "good")
        ),
        sa.Column("log_e", sa.Float(), nullable=False),
        sa.Column("top_fault", sa.String(40), nullable=True),
        sa.Column("top_fault_boxes", sa.Integer(), nullable=False),
        sa.Column("closed_at", TIME, nullable=True),
        sa.Column("closed_by", sa.String(120), nullable=True),
        sa.Column("finding", sa.Text(), nullable=True),
        *_of_the_rollout("incident", ("stratum_id", "stratum")),
        sa.PrimaryKeyConstraint("id", name="pk_incident"),
    )
    op.create_index("ix_incident_rollout", "incident", ["rollout_id"])


def downgrade() -> None:
    for table in ("incident", "box_outcome", "control_look", "stratum", "evidence_terms"):
        op.drop_table(table)
    op.drop_index("ix_box_in_wave_ripe", "box_in_wave")
    op.drop_index("ix_box_in_wave_counted", "box_in_wave")
    for column in ("ripe_at", "armed_at", "counted"):
        op.drop_column("box_in_wave", column)
    op.drop_column("release", "denied_at")
