"""Rows leave one database and enter another, and are the same."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from oleada_server import schema
from oleada_server.backup import tables
from oleada_server.backup.errors import BadBackupError
from oleada_server.db import db
from oleada_server.errors import BadInputError
from sqlalchemy import Connection

from tests.backup.places import NewConfig, opened, server, written_rows
from tests.backup.rows import fill_every_table

DATABASES = ("sqlite", pytest.param("postgresql", marks=pytest.mark.real))


def _filled() -> dict[str, bytes]:
    with db.engine.begin() as connection:
        fill_every_table(connection)
    return written_rows()


def _load(connection: Connection, rows: dict[str, bytes]) -> None:
    found = tables.described(connection)
    for table in found:
        tables.load(connection, found, tables.split([rows[table.name]]))


def _meant(rows: dict[str, bytes]) -> dict[str, list[Any]]:
    """Return *rows* with JSON as values, of which PostgreSQL spells the text in its own way."""
    found: dict[str, list[Any]] = {}
    for name, text in rows.items():
        head, *each = map(json.loads, text.splitlines())
        is_json = [kind == "json" for _, kind in head["columns"]]
        found[name] = [head] + [
            [json.loads(v) if j and v is not None else v for v, j in zip(row, is_json, strict=True)]
            for row in each
        ]
    return found


@pytest.mark.parametrize("source", DATABASES)
@pytest.mark.parametrize("target", DATABASES)
def test_every_value_of_every_table_survives_the_way_into_either_database(
    source: str, target: str, new_config: NewConfig
) -> None:
    with server(new_config("old", source)):
        before = _filled()

    config = new_config("new", target, has_tables=False)
    with opened(config):
        schema.fill(schema.head(), lambda connection: _load(connection, before))
        after = written_rows()

    assert _meant(after) == _meant(before)
    assert {name: text.count(b"\n") for name, text in before.items()} == dict.fromkeys(before, 3)


@pytest.mark.parametrize("database", DATABASES)
def test_a_load_that_fails_leaves_the_database_without_any_table(
    database: str, new_config: NewConfig
) -> None:
    with server(new_config("old", "sqlite")):
        rows = _filled()
    last = sorted(rows)[-1]
    rows[last] = rows[last][:-10] + b"\n"

    config = new_config("new", database, has_tables=False)
    with opened(config):
        with pytest.raises(BadBackupError, match="can not be read"):
            schema.fill(schema.head(), lambda connection: _load(connection, rows))

        assert schema.current() is None
        assert written_rows() == {}


def test_a_row_that_refers_to_nothing_is_refused(new_config: NewConfig) -> None:
    with server(new_config("old", "sqlite")):
        rows = _filled()
    rows["device"] = rows["device"].split(b"\n")[0] + b"\n"

    config = new_config("new", "sqlite", has_tables=False)
    with opened(config), pytest.raises(BadInputError, match="refers to a row that is not there"):
        schema.fill(schema.head(), lambda connection: _load(connection, rows))


SPOILT: tuple[tuple[Callable[[bytes], bytes], str], ...] = (
    (lambda text: text.replace(b'"device"', b'"devise"', 1), "its own schema lacks"),
    (lambda text: text.replace(b'"serial"', b'"cereal"', 1), "has the columns"),
    (lambda text: text.replace(b'"boolean"', b'"integer"', 1), "has the columns"),
    (lambda text: text.replace(b"2026-02-04T", b"2026-02-34T", 1), "can not be read"),
    (lambda text: text[:-1], "in the middle of a row"),
    (lambda text: b"", "its own schema lacks"),
    (lambda text: b"[1]\n" + text, "can not be read"),
)


def test_lines_that_are_not_of_a_table_are_refused(new_config: NewConfig) -> None:
    with server(new_config("old", "sqlite")):
        rows = _filled()["device"]
        with db.engine.connect() as connection:
            found = tables.described(connection)
            for spoil, why in SPOILT:
                with pytest.raises(BadBackupError, match=why):
                    tables.load(connection, found, tables.split([spoil(rows)]))


def test_a_snapshot_sees_one_moment_and_waits_for_no_writer(new_config: NewConfig) -> None:
    with server(new_config("old", "sqlite")):
        before = _filled()
        with tables.snapshot(db.engine) as reader:
            found = tables.described(reader)
            first = b"".join(tables.lines(reader, found[0]))
            with db.engine.begin() as writer:
                writer.exec_driver_sql("UPDATE device SET version = 'changed'")
            rest = {t.name: b"".join(tables.lines(reader, t)) for t in found[1:]}

    assert {found[0].name: first, **rest} == before
