"""health messages put together by the hour, by box and by model; boxes heard by group."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "health_hour",
        sa.Column("device_id", sa.String(length=20), nullable=False),
        sa.Column("at", _AT, nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("readings", _JSON, nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_health_hour_device_id_device")
        ),
        sa.PrimaryKeyConstraint("device_id", "at", name=op.f("pk_health_hour")),
    )
    op.create_index("ix_health_hour_at", "health_hour", ["at"])
    op.create_table(
        "model_hour",
        sa.Column("hardware_model", sa.String(length=32), nullable=False),
        sa.Column("at", _AT, nullable=False),
        sa.Column("boxes", sa.Integer(), nullable=False),
        sa.Column("counts", _JSON, nullable=False),
        sa.ForeignKeyConstraint(
            ["hardware_model"],
            ["hardware_model.name"],
            name=op.f("fk_model_hour_hardware_model_hardware_model"),
        ),
        sa.PrimaryKeyConstraint("hardware_model", "at", name=op.f("pk_model_hour")),
    )
    op.create_table(
        "model_reading",
        sa.Column("hardware_model", sa.String(length=32), nullable=False),
        sa.Column("path", sa.String(length=160), nullable=False),
        sa.Column("at", _AT, nullable=False),
        sa.ForeignKeyConstraint(
            ["hardware_model"],
            ["hardware_model.name"],
            name=op.f("fk_model_reading_hardware_model_hardware_model"),
        ),
        sa.PrimaryKeyConstraint("hardware_model", "path", name=op.f("pk_model_reading")),
    )
    op.create_table(
        "health_fold",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("since", _AT, nullable=False),
        sa.Column("until", _AT, nullable=False),
        sa.Column("device_id", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_health_fold")),
    )
    op.create_table(
        "heard_count",
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("boxes", sa.Integer(), nullable=False),
        sa.Column("at", _AT, nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("pk_heard_count")),
    )


def downgrade() -> None:
    op.drop_table("heard_count")
    op.drop_table("health_fold")
    op.drop_table("model_reading")
    op.drop_table("model_hour")
    op.drop_index("ix_health_hour_at", table_name="health_hour")
    op.drop_table("health_hour")
