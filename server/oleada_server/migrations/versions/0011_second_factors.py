"""second factors, sessions and tokens that say more, deeds of two persons, owners of keys."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
TIME = sa.DateTime(timezone=True)


def _columns() -> dict[str, tuple[sa.Column[Any], ...]]:
    return {"user_session": _of_session(), "api_token": _of_token()}


def _of_session() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("awaits_factor", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("factor_at", TIME, nullable=True),
        sa.Column("challenge", sa.String(length=100), nullable=True),
        sa.Column("challenge_at", TIME, nullable=True),
        sa.Column("address", sa.String(length=60), nullable=False, server_default=""),
        sa.Column("browser", sa.String(length=200), nullable=False, server_default=""),
    )


def _of_token() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("hint", sa.String(length=12), nullable=False, server_default=""),
        sa.Column("created_by", sa.String(length=120), nullable=False, server_default=""),
        sa.Column("last_used_at", TIME, nullable=True),
        sa.Column("factor_at", TIME, nullable=True),
        sa.Column("is_local", sa.Boolean(), nullable=False, server_default=sa.false()),
    )


OWNED = ("second_factor", "recovery_code", "signing_key_owner")


def _user_id() -> sa.Column[int]:
    return sa.Column("user_id", sa.Integer(), nullable=False)


def _of_user(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["user_id"], ["user_account.id"], ondelete="CASCADE",
        name=op.f(f"fk_{table}_user_id_user_account"),
    )  # fmt: skip


def upgrade() -> None:
    for table, columns in _columns().items():
        for column in columns:
            op.add_column(table, column)
    op.execute(
        "UPDATE api_token SET is_local = true WHERE name = 'oleada init' AND user_id IN "
        "(SELECT id FROM user_account WHERE name = 'local')"
    )
    op.create_table(
        "second_factor",
        sa.Column("id", sa.Integer(), nullable=False),
        _user_id(),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("credential_id", sa.String(length=1400), nullable=True),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("last_used_at", TIME, nullable=True),
        _of_user("second_factor"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_second_factor")),
        sa.UniqueConstraint("credential_id", name=op.f("uq_second_factor_credential_id")),
    )
    op.create_table(
        "recovery_code",
        sa.Column("code_sha256", sa.String(length=64), nullable=False),
        _user_id(),
        _of_user("recovery_code"),
        sa.PrimaryKeyConstraint("code_sha256", name=op.f("pk_recovery_code")),
    )
    op.create_table(
        "signing_key_owner",
        sa.Column("key_id", sa.String(length=64), nullable=False),
        _user_id(),
        sa.Column("since", TIME, nullable=False),
        _of_user("signing_key_owner"),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_signing_key_owner")),
    )
    for table in OWNED:
        op.create_index(op.f(f"ix_{table}_user_id"), table, ["user_id"], unique=False)
    op.create_table(
        "asked_deed",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("object_ref", sa.String(length=80), nullable=False),
        sa.Column("body", JSON, nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("asked_by", sa.String(length=120), nullable=False),
        sa.Column("asked_at", TIME, nullable=False),
        sa.Column("decided_by", sa.String(length=120), nullable=True),
        sa.Column("decided_at", TIME, nullable=True),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_asked_deed")),
    )


def downgrade() -> None:
    for table in ("asked_deed", *reversed(OWNED)):
        op.drop_table(table)
    for table, columns in _columns().items():
        for column in reversed(columns):
            op.drop_column(table, column.name)
