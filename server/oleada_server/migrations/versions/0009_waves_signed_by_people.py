"""what approvers are asked to sign of a wave, and what enough of them have signed."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

NAMES = ("sign_request", "authorisation")


def upgrade() -> None:
    for name in NAMES:
        op.add_column("wave", sa.Column(name, sa.Text(), nullable=True))


def downgrade() -> None:
    for name in reversed(NAMES):
        op.drop_column("wave", name)
