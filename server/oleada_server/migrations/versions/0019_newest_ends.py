"""indexes of boxes in waves hold only those that have something to find there."""

from alembic import op
from sqlalchemy import text

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

BEFORE = {
    "deadline": ["rollout_id", "deadline_at"],
    "counted": ["rollout_id", "counted"],
    "ripe": ["rollout_id", "ripe_at"],
    "assigned": ["rollout_id", "state", "assignment_expires_at"],
}
AFTER = BEFORE | {"ended": ["rollout_id", "ended_at", "id"]}
MUST_HAVE = {
    "deadline": "deadline_at", "counted": "counted", "ripe": "ripe_at", "ended": "ended_at",
    "assigned": "assignment_expires_at",
}  # fmt: skip


def upgrade() -> None:
    for name in BEFORE:
        op.drop_index(f"ix_box_in_wave_{name}", "box_in_wave")
    for name, columns in AFTER.items():
        has_one = text(f"{MUST_HAVE[name]} IS NOT NULL")
        op.create_index(
            f"ix_box_in_wave_{name}",
            "box_in_wave",
            columns,
            postgresql_where=has_one,
            sqlite_where=has_one,
        )


def downgrade() -> None:
    for name in AFTER:
        op.drop_index(f"ix_box_in_wave_{name}", "box_in_wave")
    for name, columns in BEFORE.items():
        op.create_index(f"ix_box_in_wave_{name}", "box_in_wave", columns)
