"""numbers of rollouts and waves that a restore can raise: AUTOINCREMENT on SQLite."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = ("rollout", "wave")


def upgrade() -> None:
    _make_again(autoincrement=True)


def downgrade() -> None:
    _make_again(autoincrement=False)


def _make_again(*, autoincrement: bool) -> None:
    if op.get_bind().dialect.name != "sqlite":  # sequences never give a number twice
        return
    for name in TABLES:
        with op.batch_alter_table(
            name, recreate="always", table_kwargs={"sqlite_autoincrement": autoincrement}
        ):
            pass
