"""SHA-256 worked out by the database, so that a choice by digest takes no row out of it.

PostgreSQL has the function; SQLite is lent Python's. Digests are compared as bytes, from
the first on, and a longer one comes after its own beginning: so do Python and both databases.
"""

import hashlib
import json
import sqlite3
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, LargeBinary, SQLColumnExpression, event, func, literal
from sqlalchemy.engine import Engine
from sqlalchemy.engine.interfaces import DBAPIConnection

from oleada_server.db import db


def of(prefix: bytes, text: SQLColumnExpression[str]) -> ColumnElement[bytes]:
    """Return the digest over *prefix* and *text* as UTF-8, 32 bytes."""
    if _is_postgresql():
        whole = literal(prefix, LargeBinary).op("||")(func.convert_to(text, "UTF8"))
        return func.sha256(whole, type_=LargeBinary)
    return func.oleada_sha256(literal(prefix, LargeBinary), text, type_=LargeBinary)


def band(digest: ColumnElement[bytes], bounds: Sequence[bytes]) -> ColumnElement[int]:
    """Return how many of rising *bounds* *digest* has reached; 0 for none."""
    if not bounds:
        return literal(0)
    if _is_postgresql():
        return func.width_bucket(digest, literal(list(bounds), ARRAY(LargeBinary)))
    return func.oleada_band(digest, json.dumps([bound.hex() for bound in bounds]))


def _is_postgresql() -> bool:
    return db.session.get_bind().dialect.name == "postgresql"


def _sha256(prefix: bytes, text: str) -> bytes:
    return hashlib.sha256(prefix + text.encode()).digest()


def _band(digest: bytes, bounds: str) -> int:
    return bisect_right([bytes.fromhex(bound) for bound in json.loads(bounds)], digest)


@event.listens_for(Engine, "connect")
def _lend(connection: DBAPIConnection, record: Any) -> None:  # noqa: ARG001 - as the event calls it
    if isinstance(connection, sqlite3.Connection):
        connection.create_function("oleada_sha256", 2, _sha256, deterministic=True)
        connection.create_function("oleada_band", 2, _band, deterministic=True)
