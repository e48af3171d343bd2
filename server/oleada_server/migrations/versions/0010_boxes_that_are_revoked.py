"""boxes that are revoked."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("device", sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_certificate_spki_sha256", "certificate", ["spki_sha256"])


def downgrade() -> None:
    op.drop_index("ix_certificate_spki_sha256", "certificate")
    op.drop_column("device", "revoked_at")
