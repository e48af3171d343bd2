"""Rows for every table of whatever schema: made from what the database says of itself."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import sqlalchemy as sa
from oleada_server.backup import tables
from sqlalchemy import Connection, Table

START = datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)
ROWS = 2


def fill_every_table(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """Insert two rows into each table: one with every value, one with as few as it takes."""
    made: dict[str, list[dict[str, Any]]] = {}
    for table in tables.described(connection):
        made[table.name] = [_row(table, number, made) for number in range(1, ROWS + 1)]
        for row in made[table.name]:
            connection.execute(sa.insert(table).values(row))
    return made


def _row(table: Table, number: int, made: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return {
        column.name: _value(column, number, made)
        for column in table.columns
        if number == 1 or not column.nullable
    }


def _value(column: sa.Column[Any], number: int, made: dict[str, list[dict[str, Any]]]) -> Any:
    for key in column.foreign_keys:
        return made[key.column.table.name][number - 1][key.column.name]
    kind = next(make for type_, make in _VALUES if isinstance(column.type, type_))
    return kind(column, number)


def _time(column: sa.Column[Any], number: int) -> datetime:
    at = START + timedelta(days=number)
    return at if cast(Any, column.type).timezone else at.replace(tzinfo=None)


def _text(column: sa.Column[Any], number: int) -> str:
    if (column.table.name, column.name) == ("hardware_model", "name"):
        return f"VX-{number}"  # the one text that topics are made of
    length = cast(Any, column.type).length
    text = f"{column.name} número {number}"
    if length == 64:
        return hashlib.sha256(text.encode()).hexdigest()
    return text[-length:] if length else f'"{text}"\t\\N'


_VALUES: Final[tuple[tuple[Any, Callable[[sa.Column[Any], int], Any]], ...]] = (
    (sa.Boolean, lambda _, number: number == 1),
    (sa.Integer, lambda _, number: number),
    (sa.Float, lambda _, number: number / 3),
    (sa.DateTime, _time),
    (sa.JSON, lambda _, number: {"número": number, "list": [True, None, 1.5]}),
    (sa.LargeBinary, lambda _, number: bytes(range(256))),
    (sa.String, _text),
)
