"""releases and rollouts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "tuf_file",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_tuf_file")),
    )
    op.create_table(
        "deny_list",
        sa.Column("hardware_model", sa.String(length=32), nullable=False),
        sa.Column("deny_version", sa.Integer(), nullable=False),
        sa.Column("digests", JSON, nullable=False),
        sa.ForeignKeyConstraint(
            ["hardware_model"],
            ["hardware_model.name"],
            name=op.f("fk_deny_list_hardware_model_hardware_model"),
        ),
        sa.PrimaryKeyConstraint("hardware_model", name=op.f("pk_deny_list")),
    )
    op.create_table(
        "release",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("hardware_model", sa.String(length=32), nullable=False),
        sa.Column("version", sa.String(length=40), nullable=False),
        sa.Column("security_version", sa.Integer(), nullable=False),
        sa.Column("min_version", sa.String(length=40), nullable=True),
        sa.Column("target_path", sa.String(length=120), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("provides", JSON, nullable=False),
        sa.Column("fixes", JSON, nullable=False),
        sa.Column("notes", JSON, nullable=False),
        sa.Column("signed_by", JSON, nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_by", sa.String(length=120), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdrawn_reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["hardware_model"],
            ["hardware_model.name"],
            name=op.f("fk_release_hardware_model_hardware_model"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_release")),
        sa.UniqueConstraint(
            "hardware_model", "version", name=op.f("uq_release_hardware_model_version")
        ),
        sa.UniqueConstraint("target_path", name=op.f("uq_release_target_path")),
    )
    with op.batch_alter_table("release", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_release_sha256"), ["sha256"], unique=False)

    op.create_table(
        "rollout",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("state_reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=120), nullable=False),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("salt", sa.String(length=32), nullable=False),
        sa.Column("window_start_min", sa.Integer(), nullable=True),
        sa.Column("window_end_min", sa.Integer(), nullable=True),
        sa.Column("silent_after_s", sa.Integer(), nullable=False),
        sa.Column("attempts_max", sa.Integer(), nullable=False),
        sa.Column("in_flight_max", sa.Integer(), nullable=False),
        sa.Column("spread_s", sa.Integer(), nullable=False),
        sa.Column("lease_s", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["release_id"], ["release.id"], name=op.f("fk_rollout_release_id_release")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollout")),
    )
    with op.batch_alter_table("rollout", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_rollout_state"), ["state"], unique=False)

    op.create_table(
        "rollout_done_once",
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.Column("request_sha256", sa.String(length=64), nullable=False),
        sa.Column("rollout_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["rollout_id"], ["rollout.id"], name=op.f("fk_rollout_done_once_rollout_id_rollout")
        ),
        sa.PrimaryKeyConstraint("actor", "key", name=op.f("pk_rollout_done_once")),
    )
    op.create_table(
        "wave",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rollout_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("share_until", sa.Double(), nullable=True),
        sa.Column("device_ids", JSON, nullable=True),
        sa.Column("merkle_root", sa.String(length=64), nullable=True),
        sa.Column("boxes", sa.Integer(), nullable=False),
        sa.Column("success_share_min", sa.Double(), nullable=False),
        sa.Column("failed_share_max", sa.Double(), nullable=False),
        sa.Column("silent_share_max", sa.Double(), nullable=False),
        sa.Column("sample_min", sa.Integer(), nullable=False),
        sa.Column("soak_s", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("state_reason", sa.Text(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("soak_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("passed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("authorised_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["rollout_id"], ["rollout.id"], name=op.f("fk_wave_rollout_id_rollout")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wave")),
        sa.UniqueConstraint("rollout_id", "position", name=op.f("uq_wave_rollout_id_position")),
    )
    op.create_table(
        "box_in_wave",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rollout_id", sa.Integer(), nullable=False),
        sa.Column("wave_id", sa.Integer(), nullable=False),
        sa.Column("device_id", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("version_before", sa.String(length=40), nullable=True),
        sa.Column("done_bytes", sa.BigInteger(), nullable=False),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("assignment_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("leased_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_box_in_wave_device_id_device")
        ),
        sa.ForeignKeyConstraint(
            ["rollout_id"], ["rollout.id"], name=op.f("fk_box_in_wave_rollout_id_rollout")
        ),
        sa.ForeignKeyConstraint(["wave_id"], ["wave.id"], name=op.f("fk_box_in_wave_wave_id_wave")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_box_in_wave")),
        sa.UniqueConstraint(
            "rollout_id", "device_id", name=op.f("uq_box_in_wave_rollout_id_device_id")
        ),
    )
    with op.batch_alter_table("box_in_wave", schema=None) as batch_op:
        batch_op.create_index(
            "ix_box_in_wave_deadline", ["rollout_id", "deadline_at"], unique=False
        )
        batch_op.create_index("ix_box_in_wave_device", ["device_id"], unique=False)
        batch_op.create_index("ix_box_in_wave_wave_state", ["wave_id", "state"], unique=False)

    op.create_table(
        "report",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("box_id", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("phase", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("version", sa.String(length=40), nullable=False),
        sa.Column("running_slot", sa.String(length=1), nullable=False),
        sa.Column("message_id", sa.String(length=32), nullable=False),
        sa.Column("box_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["box_id"], ["box_in_wave.id"], name=op.f("fk_report_box_id_box_in_wave")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_report")),
        sa.UniqueConstraint(
            "box_id", "attempt", "step", name=op.f("uq_report_box_id_attempt_step")
        ),
    )


def downgrade() -> None:
    op.drop_table("report")
    with op.batch_alter_table("box_in_wave", schema=None) as batch_op:
        batch_op.drop_index("ix_box_in_wave_wave_state")
        batch_op.drop_index("ix_box_in_wave_device")
        batch_op.drop_index("ix_box_in_wave_deadline")

    op.drop_table("box_in_wave")
    op.drop_table("wave")
    op.drop_table("rollout_done_once")
    with op.batch_alter_table("rollout", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_rollout_state"))

    op.drop_table("rollout")
    with op.batch_alter_table("release", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_release_sha256"))

    op.drop_table("release")
    op.drop_table("deny_list")
    op.drop_table("tuf_file")
