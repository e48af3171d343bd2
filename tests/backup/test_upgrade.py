"""A filled database of every earlier version comes up to this one, and nothing of it is lost."""

import json
from typing import Any

import pytest
from oleada_server import schema
from oleada_server.db import db

from tests.backup.places import NewConfig, server, written_rows
from tests.backup.rows import fill_every_table

SUMS = {"outcome_fold": None, "evidence_terms": "folded_to"}
"""Whole tables, or a column, that only sum up other rows: a migration may have them summed anew."""


def _values(rows: dict[str, bytes]) -> dict[str, list[dict[str, Any]]]:
    """Return each row of each table by the names of its columns."""
    found = {}
    for name, text in rows.items():
        head, *each = map(json.loads, text.splitlines())
        names = [column for column, _ in head["columns"]]
        found[name] = [dict(zip(names, row, strict=True)) for row in each]
    for name, column in SUMS.items():
        if column is None:
            found.pop(name, None)
        for row in found.get(name, []):
            row.pop(column, None)
    return found


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def test_every_earlier_schema_is_upgraded_with_all_of_its_rows(
    database: str, new_config: NewConfig
) -> None:
    """On PostgreSQL from each third: every migration meets rows there, on SQLite the newest too."""
    revisions = schema.revisions()
    for revision in revisions if database == "sqlite" else revisions[::3]:
        with server(new_config(f"from-{revision}", database, has_tables=False)):
            schema.upgrade(revision)
            with db.engine.begin() as connection:
                fill_every_table(connection)
            before = _values(written_rows())

            schema.upgrade()
            after = _values(written_rows())

            assert schema.differences() == []
            kept = {
                name: [
                    {column: row[column] for column in old if column in row}
                    for row, old in zip(after[name], rows, strict=True)
                ]
                for name, rows in before.items()
            }
            assert kept == before
