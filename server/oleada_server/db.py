"""The database: one declarative base, aware UTC times, SQLite set up for several processes.

Models subclass :class:`Base`; Flask-SQLAlchemy shares its metadata (ADR 0004). On
SQLite every transaction that may write begins IMMEDIATE, because ``FOR UPDATE`` does
nothing there and an upgraded read lock would fail under load.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import JSON, DateTime, MetaData, Select, event, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection, Dialect, Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, registry
from sqlalchemy.types import TypeDecorator

BUSY_TIMEOUT_MS = 10_000
TIME_TEXT: Final = "timestamp AT TIME ZONE 'UTC'"
"""PostgreSQL's type, for :func:`run_on_rows`, of what :func:`time_text` returns."""


class UtcTime(TypeDecorator[datetime]):
    """Aware UTC going in and coming out; SQLite alone would drop the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return *value* in UTC; a naive time is our bug and crashes."""
        if value is None:
            return None
        assert value.tzinfo is not None, f"naive time {value!r} would lose its zone"  # noqa: S101
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return *value* aware, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Json = JSON().with_variant(JSONB(), "postgresql")
"""JSON on SQLite, JSONB on PostgreSQL."""
JsonOrNull = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
"""The same, where None is no value at all and can be asked for as such."""


class Base(DeclarativeBase):
    """The base of every model; constraint names are fixed so that migrations find them."""

    registry = registry(
        type_annotation_map={datetime: UtcTime, dict[str, Any]: Json, list[str]: Json}
    )
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


db = SQLAlchemy(model_class=Base)


def let_go(error: BaseException | None) -> None:  # noqa: ARG001 - Flask tells why a context ends
    """Give the session back at the end of an app context, also when the database has just gone.

    An answer that is ready stays good: what could not be rolled back is gone with its
    connection, and raising here would turn the answer into a 500.
    """
    try:
        db.session.remove()
    except DBAPIError:
        db.session().invalidate()
        db.session.remove()


def insert(model: type[Base]) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT into *model*'s table that knows ``on_conflict_do_…`` on both databases."""
    dialect = db.session.get_bind().dialect.name
    return postgresql.insert(model) if dialect == "postgresql" else sqlite.insert(model)


def read_only() -> None:
    """Begin a transaction that only reads: on SQLite it never waits for a writer.

    Ends whatever transaction the session had; call it first, and roll back before a write.
    """
    db.session.rollback()
    db.session.connection(execution_options={"oleada_read_only": True})


def listed(texts: Iterable[str]) -> Select[tuple[str]]:
    """Return *texts* as a SELECT for ``in_``: one parameter, however many there are."""
    found = list(texts)
    if db.session.get_bind().dialect.name == "postgresql":
        return select(func.jsonb_array_elements_text(literal(found, JSONB)))
    return select(func.json_each(literal(found, JSON)).table_valued("value").c.value)


def time_text(at: datetime) -> str:
    """Return aware *at* as the text that SQLite keeps: UTC, without its zone."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def run_on_rows(
    statement: str, types: Mapping[str, str], rows: Sequence[dict[str, str | int]]
) -> int:
    """Run *statement*, which reads the table ``new``, with *rows* as that table.

    Returns how many rows it has changed.

    Below SQLAlchemy, which spends more on a row than the databases do: PostgreSQL gets
    all rows in one statement, SQLite one prepared statement for each.

    Args:
        statement: SQL of both databases, about ``new``; it depends on no order of rows.
        types: PostgreSQL's type of each column of ``new``.
        rows: Values by column; JSON as text, times as :func:`time_text`.
    """
    connection = db.session.connection()
    if connection.dialect.name == "postgresql":
        typed = ", ".join(f"{name}::{kind} AS {name}" for name, kind in types.items())
        texts = ", ".join(f"{name} text" for name in types)
        source = f"new AS (SELECT {typed} FROM json_to_recordset(%s::json) AS text({texts}))"  # noqa: S608 - our own names
        done = connection.exec_driver_sql(f"WITH {source} {statement}", (json.dumps(rows),))
        return done.rowcount
    if not rows:
        return 0
    values = ", ".join(f":{name}" for name in types)
    source = f"new({', '.join(types)}) AS (VALUES ({values}))"
    under: Any = connection.connection.dbapi_connection
    before = under.total_changes  # sqlite3 does not count the rows of a statement that begins WITH
    connection.exec_driver_sql(f"WITH {source} {statement}", list(rows))
    return int(under.total_changes - before)


def chunks(rows: Iterable[Any], size: int = 500) -> Iterator[list[Any]]:
    """Yield *rows* in lists of at most *size*, under every database's parameter limit."""
    chunk: list[Any] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


@event.listens_for(Engine, "connect")
def _prepare_sqlite(connection: DBAPIConnection, record: object) -> None:  # noqa: ARG001
    if not isinstance(connection, sqlite3.Connection):
        return
    connection.isolation_level = None  # SQLAlchemy begins; pysqlite must not
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_TIMEOUT_MS}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@event.listens_for(Engine, "begin")
def _begin(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        read_only = connection.get_execution_options().get("oleada_read_only", False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
