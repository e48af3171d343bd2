"""people devices and messages."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "audit_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("object_ref", sa.String(length=80), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("before", JSON, nullable=True),
        sa.Column("after", JSON, nullable=True),
        sa.Column("request_id", sa.String(length=40), nullable=True),
        sa.Column("address", sa.String(length=60), nullable=True),
        sa.Column("previous_sha256", sa.String(length=64), nullable=False),
        sa.Column("entry_sha256", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_event")),
        sa.UniqueConstraint("entry_sha256", name=op.f("uq_audit_event_entry_sha256")),
    )
    with op.batch_alter_table("audit_event", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_event_at"), ["at"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_event_object_ref"), ["object_ref"], unique=False)

    op.create_table(
        "change",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("object_ref", sa.String(length=60), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_change")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("change", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_change_object_ref"), ["object_ref"], unique=False)

    op.create_table(
        "counter",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counter")),
    )
    op.create_table(
        "hardware_model",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("title", sa.String(length=120), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_hardware_model")),
    )
    op.create_table(
        "leader",
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("owner", sa.String(length=80), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("role", name=op.f("pk_leader")),
    )
    op.create_table(
        "outbox_message",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("topic", sa.String(length=120), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox_message")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "retained_message",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("topic", sa.String(length=120), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("sent_revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retained_message")),
        sa.UniqueConstraint("topic", name=op.f("uq_retained_message_topic")),
    )
    with op.batch_alter_table("retained_message", schema=None) as batch_op:
        batch_op.create_index(
            "ix_retained_message_unsent", ["sent_revision", "revision"], unique=False
        )

    op.create_table(
        "sign_in_delay",
        sa.Column("name_sha256", sa.String(length=64), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name_sha256", name=op.f("pk_sign_in_delay")),
    )
    op.create_table(
        "user_account",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("full_name", sa.String(length=120), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("password_hash", sa.String(length=200), nullable=True),
        sa.Column("language", sa.String(length=10), nullable=False),
        sa.Column("zone", sa.String(length=60), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_account")),
        sa.UniqueConstraint("name", name=op.f("uq_user_account_name")),
    )
    op.create_table(
        "api_token",
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("scopes", JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["user_account.id"],
            name=op.f("fk_api_token_user_id_user_account"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_api_token")),
    )
    op.create_table(
        "device",
        sa.Column("id", sa.String(length=20), nullable=False),
        sa.Column("serial", sa.String(length=40), nullable=False),
        sa.Column("mac", sa.String(length=17), nullable=True),
        sa.Column("hardware_model", sa.String(length=32), nullable=False),
        sa.Column("zone", sa.String(length=60), nullable=False),
        sa.Column("region", sa.String(length=60), nullable=True),
        sa.Column("enrolled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("connected", sa.Boolean(), nullable=False),
        sa.Column("boot_count", sa.Integer(), nullable=False),
        sa.Column("boot_nonce", sa.String(length=8), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("boot_reason", sa.String(length=20), nullable=True),
        sa.Column("version", sa.String(length=40), nullable=True),
        sa.Column("security_version", sa.Integer(), nullable=True),
        sa.Column("running_slot", sa.String(length=1), nullable=True),
        sa.Column("agent_version", sa.String(length=40), nullable=True),
        sa.Column("slots", JSON, nullable=True),
        sa.Column("provides", JSON, nullable=True),
        sa.Column("health", JSON, nullable=True),
        sa.Column("health_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("assignment_seq", sa.BigInteger(), nullable=False),
        sa.Column("cmd_seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["hardware_model"],
            ["hardware_model.name"],
            name=op.f("fk_device_hardware_model_hardware_model"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device")),
        sa.UniqueConstraint("serial", name=op.f("uq_device_serial")),
    )
    with op.batch_alter_table("device", schema=None) as batch_op:
        batch_op.create_index("ix_device_last_seen", ["last_seen_at", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_device_mac"), ["mac"], unique=False)
        batch_op.create_index(
            "ix_device_model_version", ["hardware_model", "version"], unique=False
        )

    op.create_table(
        "sign_in_link",
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["user_account.id"],
            name=op.f("fk_sign_in_link_user_id_user_account"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_sign_in_link")),
    )
    op.create_table(
        "user_session",
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["user_account.id"],
            name=op.f("fk_user_session_user_id_user_account"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_user_session")),
    )
    op.create_table(
        "certificate",
        sa.Column("serial_hex", sa.String(length=40), nullable=False),
        sa.Column("device_id", sa.String(length=20), nullable=False),
        sa.Column("spki_sha256", sa.String(length=64), nullable=False),
        sa.Column("pem", sa.Text(), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("not_after", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_certificate_device_id_device")
        ),
        sa.PrimaryKeyConstraint("serial_hex", name=op.f("pk_certificate")),
    )
    with op.batch_alter_table("certificate", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_certificate_device_id"), ["device_id"], unique=False)

    op.create_table(
        "claim_token",
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("serial", sa.String(length=40), nullable=False),
        sa.Column("hardware_model", sa.String(length=32), nullable=False),
        sa.Column("zone", sa.String(length=60), nullable=False),
        sa.Column("region", sa.String(length=60), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("spki_sha256", sa.String(length=64), nullable=True),
        sa.Column("device_id", sa.String(length=20), nullable=True),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_claim_token_device_id_device")
        ),
        sa.ForeignKeyConstraint(
            ["hardware_model"],
            ["hardware_model.name"],
            name=op.f("fk_claim_token_hardware_model_hardware_model"),
        ),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_claim_token")),
    )
    with op.batch_alter_table("claim_token", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_claim_token_serial"), ["serial"], unique=False)

    op.create_table(
        "device_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("device_id", sa.String(length=20), nullable=False),
        sa.Column("boot", sa.String(length=17), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("body", JSON, nullable=False),
        sa.Column("box_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_device_event_device_id_device")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device_event")),
        sa.UniqueConstraint(
            "device_id", "boot", "seq", name=op.f("uq_device_event_device_id_boot_seq")
        ),
    )
    with op.batch_alter_table("device_event", schema=None) as batch_op:
        batch_op.create_index(
            "ix_device_event_device_at", ["device_id", "received_at"], unique=False
        )

    op.create_table(
        "health_sample",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("device_id", sa.String(length=20), nullable=False),
        sa.Column("boot", sa.String(length=17), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(length=40), nullable=False),
        sa.Column("parameters", JSON, nullable=False),
        sa.Column("box_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_health_sample_device_id_device")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_health_sample")),
        sa.UniqueConstraint(
            "device_id", "boot", "seq", name=op.f("uq_health_sample_device_id_boot_seq")
        ),
    )
    with op.batch_alter_table("health_sample", schema=None) as batch_op:
        batch_op.create_index(
            "ix_health_sample_device_at", ["device_id", "received_at"], unique=False
        )


def downgrade() -> None:
    with op.batch_alter_table("health_sample", schema=None) as batch_op:
        batch_op.drop_index("ix_health_sample_device_at")

    op.drop_table("health_sample")
    with op.batch_alter_table("device_event", schema=None) as batch_op:
        batch_op.drop_index("ix_device_event_device_at")

    op.drop_table("device_event")
    with op.batch_alter_table("claim_token", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_claim_token_serial"))

    op.drop_table("claim_token")
    with op.batch_alter_table("certificate", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_certificate_device_id"))

    op.drop_table("certificate")
    op.drop_table("user_session")
    op.drop_table("sign_in_link")
    with op.batch_alter_table("device", schema=None) as batch_op:
        batch_op.drop_index("ix_device_model_version")
        batch_op.drop_index(batch_op.f("ix_device_mac"))
        batch_op.drop_index("ix_device_last_seen")

    op.drop_table("device")
    op.drop_table("api_token")
    op.drop_table("user_account")
    op.drop_table("sign_in_delay")
    with op.batch_alter_table("retained_message", schema=None) as batch_op:
        batch_op.drop_index("ix_retained_message_unsent")

    op.drop_table("retained_message")
    op.drop_table("outbox_message")
    op.drop_table("leader")
    op.drop_table("hardware_model")
    op.drop_table("counter")
    with op.batch_alter_table("change", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_change_object_ref"))

    op.drop_table("change")
    with op.batch_alter_table("audit_event", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_audit_event_object_ref"))
        batch_op.drop_index(batch_op.f("ix_audit_event_at"))

    op.drop_table("audit_event")
