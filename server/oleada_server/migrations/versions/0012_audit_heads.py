"""the audit trail is only added to, and signed heads of it."""

import sqlalchemy as sa
from alembic import op
from oleada_server.audit.models import APPEND_ONLY, guards
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("last_id", sa.Integer(), nullable=False),
        sa.Column("entry_sha256", sa.String(length=64), nullable=False),
        sa.Column("root_sha256", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("edge", JSON, nullable=False),
        sa.Column("envelope", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )
    dialect = op.get_bind().dialect.name
    for table in APPEND_ONLY:
        for statement in guards(dialect, table):
            op.execute(statement)


def downgrade() -> None:
    dialect = op.get_bind().dialect.name
    for name in ("update", "delete") if dialect == "sqlite" else ("change", "truncate"):
        on = "" if dialect == "sqlite" else " ON audit_event"
        op.execute(f"DROP TRIGGER audit_event_no_{name}{on}")
    op.drop_table("audit_head")
    if dialect == "postgresql":
        op.execute("DROP FUNCTION audit_only_added_to()")
