"""Tables as lines of JSON: written from one snapshot of either database, read into either.

A file begins with ``{"table": name, "columns": [[name, kind], …]}``; each further line is
a row, an array in that order. Kinds: ``text``, ``integer``, ``float``, ``boolean``,
``time`` (ISO 8601 with microseconds, UTC), ``bytes`` (base64) and ``json`` (the text of
it, so that a JSON null and no value stay two things). Tables are described by the
database itself, not by the models: a backup of an older schema is read back as it was.
"""

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, MetaData, Table
from sqlalchemy.dialects.postgresql import JSONB

from oleada_server.backup.errors import BadBackupError

VERSION_TABLE: Final = "alembic_version"
ROWS_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class Columns:
    """A table's name, and the name and kind of each of its columns."""

    table: str
    columns: tuple[tuple[str, str], ...]


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """Yield a connection that sees one moment of the database and never waits for a writer."""
    options: dict[str, Any] = {"oleada_read_only": True}
    if engine.dialect.name == "postgresql":
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect() as connection:
        yield connection.execution_options(**options)


def described(connection: Connection) -> list[Table]:
    """Return the tables of the database, each after those that it refers to."""
    metadata = MetaData()
    metadata.reflect(connection)
    return [table for table in metadata.sorted_tables if table.name != VERSION_TABLE]


def lines(connection: Connection, table: Table) -> Iterator[bytes]:
    """Yield the lines of *table*, its rows in the order of its key."""
    kinds = [_kind(column) for column in table.columns]
    head = {
        "table": table.name,
        "columns": [[c.name, kind] for c, kind in zip(table.columns, kinds, strict=True)],
    }
    yield _line(head)
    wanted = [_as_read(column, kind) for column, kind in zip(table.columns, kinds, strict=True)]
    spell = [_SPELL.get(kind) for kind in kinds]
    rows = connection.execution_options(yield_per=ROWS_AT_ONCE).execute(
        sa.select(*wanted).order_by(*table.primary_key.columns)
    )
    for row in rows:
        yield _line(
            [
                value if how is None or value is None else how(value)
                for value, how in zip(row, spell, strict=True)
            ]
        )


def load(connection: Connection, tables: Sequence[Table], source: Iterable[bytes]) -> str:
    """Insert the lines of *source* into the one of *tables* that they name; return its name.

    Raises:
        BadBackupError: they are not lines of such a table.
    """
    try:
        each = iter(source)
        head = _head(next(each))
        table = next(table for table in tables if table.name == head.table)
        _check_columns(table, head)
        read = [_READ[kind] for _, kind in head.columns]
        rows = (
            [
                None if value is None else how(value)
                for value, how in zip(json.loads(line), read, strict=True)
            ]
            for line in each
        )
        _insert(connection, table, head, rows)
    except StopIteration as error:
        raise BadBackupError("The backup holds a table that its own schema lacks.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadBackupError(f"A table of the backup can not be read ({error}).") from error
    return head.table


def split(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines in *chunks* without their ends; the last one has an end too."""
    left = b""
    for chunk in chunks:
        *whole, left = (left + chunk).split(b"\n")
        yield from whole
    if left:
        raise BadBackupError("A table of the backup ends in the middle of a row.")


def _insert(connection: Connection, table: Table, head: Columns, rows: Iterator[list[Any]]) -> None:
    names = [name for name, _ in head.columns]
    if connection.dialect.name == "postgresql":
        _copy(connection, table.name, names, rows)
        return
    times = [at for at, (_, kind) in enumerate(head.columns) if kind == "time"]
    statement = (
        f"INSERT INTO {_quoted(table.name)} ({', '.join(map(_quoted, names))}) "  # noqa: S608 - our own names
        f"VALUES ({', '.join('?' * len(names))})"
    )
    while some := list(islice(rows, ROWS_AT_ONCE)):
        for row in some:
            for at in times:
                row[at] = _sqlite_time(row[at])
        connection.exec_driver_sql(statement, [tuple(row) for row in some])


def _copy(
    connection: Connection, table: str, names: Sequence[str], rows: Iterator[list[Any]]
) -> None:
    driver: Any = connection.connection.cursor()
    into = f"COPY {_quoted(table)} ({', '.join(map(_quoted, names))}) FROM STDIN"
    with driver, driver.copy(into) as copy:
        for row in rows:
            copy.write_row(row)


def _head(line: bytes) -> Columns:
    found = json.loads(line)
    columns = tuple((str(name), str(kind)) for name, kind in found["columns"])
    return Columns(str(found["table"]), columns)


def _check_columns(table: Table, head: Columns) -> None:
    wanted = {column.name: _kind(column) for column in table.columns}
    if dict(head.columns) != wanted:
        raise BadBackupError(
            f"Table {table.name} of the backup has the columns {dict(head.columns)}; its schema "
            f"has {wanted}."
        )


def _kind(column: sa.Column[Any]) -> str:
    for kind, name in _KINDS:
        if isinstance(column.type, kind):
            return name
    raise AssertionError(f"{column.table.name}.{column.name} has type {column.type!r}")


def _as_read(column: sa.Column[Any], kind: str) -> Any:
    """Return *column* as it is to be selected: JSON as the text that the database holds."""
    if kind != "json":
        return column
    if isinstance(column.type, JSONB):
        return sa.cast(column, sa.Text)
    return sa.type_coerce(column, sa.Text)


def _line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _time(value: datetime) -> str:
    aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return aware.isoformat(timespec="microseconds")


def _sqlite_time(text: str | None) -> str | None:
    """Return an ISO time as SQLAlchemy keeps it in SQLite: a blank, and no zone."""
    return None if text is None else text[:26].replace("T", " ")


def _checked_time(text: str) -> str:
    datetime.fromisoformat(text)
    return text


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_KINDS: Final[tuple[tuple[Any, str], ...]] = (
    (sa.Boolean, "boolean"),
    (sa.Integer, "integer"),
    (sa.DateTime, "time"),
    (sa.JSON, "json"),
    (sa.LargeBinary, "bytes"),
    (sa.Float, "float"),
    (sa.String, "text"),
)
_SPELL: Final[dict[str, Callable[[Any], Any]]] = {
    "time": _time,
    "bytes": lambda value: base64.b64encode(value).decode(),
}
_READ: Final[dict[str, Callable[[Any], Any]]] = {
    "text": str,
    "integer": int,
    "float": float,
    "boolean": bool,
    "time": _checked_time,
    "json": str,
    "bytes": lambda text: base64.b64decode(text, validate=True),
}
