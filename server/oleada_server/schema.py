"""The database's schema: brought to a revision, compared with the models.

Alembic without its command line: ``oleada db upgrade`` and ``oleada up`` call this.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import text
from sqlalchemy.engine import Connection

from oleada_server.db import Base, db
from oleada_server.errors import BadInputError, ServerError

MIGRATIONS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x01EADA03


class SchemaNotCurrentError(ServerError):
    """The database has another revision than this code."""

    status = 500
    code = "schema-not-current"

    def __init__(self, found: str | None, wanted: str) -> None:
        super().__init__(
            f"The database has revision {found or 'none'}, this code needs {wanted}; run "
            "`oleada db upgrade`, or start the newer code if the database is ahead."
        )


def upgrade(revision: str = "head") -> None:
    """Bring the database up to *revision*; two that do so at once do it once."""
    _run(command.upgrade, revision)


def downgrade(revision: str) -> None:
    """Bring the database down to *revision*; ``base`` removes every table.

    Raises:
        BadInputError: there is no such revision.
    """
    _run(command.downgrade, revision)


def fill(revision: str, load: Callable[[Connection], None]) -> None:
    """Make an empty database as of *revision*, let *load* fill it, bring it up to this code's.

    One transaction: whatever fails, the database is as empty as before.
    """

    def make(config: AlembicConfig, first: str) -> None:
        connection: Connection = config.attributes["connection"]
        command.upgrade(config, first)
        load(connection)
        if connection.dialect.name == "sqlite":  # PostgreSQL has looked at each row
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
            if broken is not None:
                raise BadInputError(f"A row of {broken[0]} refers to a row that is not there.")
        command.upgrade(config, "head")

    _run(make, revision)


def revisions() -> list[str]:
    """Return every revision that this code knows, oldest first."""
    scripts = ScriptDirectory(str(MIGRATIONS)).walk_revisions()
    return [script.revision for script in scripts][::-1]


def revision_of(connection: Connection) -> str | None:
    """Return the revision of the database as *connection* sees it; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def head() -> str:
    """Return the revision that this code needs."""
    found = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    assert found, "the package has a first revision"  # noqa: S101
    return found


def current() -> str | None:
    """Return the revision of the database; None for an empty one."""
    with db.engine.connect() as connection:
        return revision_of(connection)


def check_current() -> None:
    """Accept a database of this code's revision.

    Raises:
        SchemaNotCurrentError: it has another.
    """
    found, wanted = current(), head()
    if found != wanted:
        raise SchemaNotCurrentError(found, wanted)


def differences() -> list[Any]:
    """Return what the database has otherwise than the models; empty when they agree."""
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))


def write_revision(message: str) -> None:
    """Write a new revision that leads from the database to the models; for developers."""
    with db.engine.connect() as connection:
        command.revision(_config(connection), message=message, autogenerate=True)


def _run(do: Any, revision: str) -> None:
    """Run *do* in one transaction; without foreign keys on SQLite, where tables are copied."""
    if not revision.strip():
        raise BadInputError("No revision is named; `oleada db current` names them.")
    with db.engine.connect() as connection:
        on_sqlite = connection.dialect.name == "sqlite"
        if on_sqlite:
            cursor = connection.connection.cursor()  # a PRAGMA in a transaction does nothing
            cursor.execute("PRAGMA foreign_keys=OFF")
            cursor.close()
        with connection.begin():
            if not on_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            try:
                do(_config(connection), revision)
            except CommandError as error:
                raise BadInputError(
                    f"{error}. `oleada db current` names the database's revision and this code's."
                ) from error
        if on_sqlite:
            connection.invalidate()  # the next one has its foreign keys on again


def _config(connection: Connection) -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config
