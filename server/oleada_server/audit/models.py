"""The audit trail: append-only rows, each carrying the hash of the one before.

The database itself refuses to change or remove a row, whoever asks: triggers, so that a
mistake or a stolen web process can not. Who may drop a trigger can, and is found by the
signed heads (``heads.py``).
"""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import DDL, BigInteger, String, Table, Text, event
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.schema import DDLElement

from oleada_server.db import Base, Json


class AuditEvent(Base):
    """One write: who did what to which object, and why.

    *actor* is ``user:<name>``, ``device:<id>`` or ``system:<process>``; *object_ref* is
    the id people see (``R-107``); *entry_sha256* covers every field and *previous_sha256*.
    """

    __tablename__ = "audit_event"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    actor: Mapped[str] = mapped_column(String(120))
    action: Mapped[str] = mapped_column(String(60))
    object_ref: Mapped[str] = mapped_column(String(80), index=True)
    reason: Mapped[str | None] = mapped_column(Text)
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    request_id: Mapped[str | None] = mapped_column(String(40))
    address: Mapped[str | None] = mapped_column(String(60))
    previous_sha256: Mapped[str] = mapped_column(String(64))
    entry_sha256: Mapped[str] = mapped_column(String(64), unique=True)


class AuditHead(Base):
    """What the whole trail was at one moment, signed: so many entries, under this root.

    *edge* is what the next head is made from (``tree.py``); *last_id* and *entry_sha256*
    are those of the last entry under it; *epoch* is when the server was last restored,
    milliseconds since 1970, 0 for never; *envelope* is what is exported and sent to boxes.
    """

    __tablename__ = "audit_head"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    size: Mapped[int] = mapped_column(index=True)
    last_id: Mapped[int]
    entry_sha256: Mapped[str] = mapped_column(String(64))
    root_sha256: Mapped[str] = mapped_column(String(64))
    epoch: Mapped[int] = mapped_column(BigInteger)
    edge: Mapped[list[str]] = mapped_column(Json)
    envelope: Mapped[str] = mapped_column(Text)


class AuditSighting(Base):
    """A head that a box was shown, signed with this server's key, and not one of its own.

    *kind* is ``split``: somebody else has the key and tells another trail; or ``lost``: it
    was signed between a backup and its restore. *boxes* names the first twenty boxes that
    said it back; a person settles it once it is cleared up.
    """

    __tablename__ = "audit_sighting"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(8))
    size: Mapped[int] = mapped_column(BigInteger)
    root_sha256: Mapped[str] = mapped_column(String(64))
    epoch: Mapped[int] = mapped_column(BigInteger)
    signed_ms: Mapped[int] = mapped_column(BigInteger)
    envelope_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    envelope: Mapped[str] = mapped_column(Text)
    boxes: Mapped[list[str]] = mapped_column(Json)
    settled_at: Mapped[datetime | None]
    settled_reason: Mapped[str | None] = mapped_column(Text)


APPEND_ONLY: Final = ("audit_event", "audit_head")
_SAYS: Final = "the audit trail is only added to"


def guards(dialect: str, table: str) -> list[str]:
    """Return the statements that let *dialect* refuse any change of rows of *table*."""
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{_SAYS}'); END"
            for verb in ("UPDATE", "DELETE")
        ]
    return [
        "CREATE OR REPLACE FUNCTION audit_only_added_to() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_SAYS}'; END $$",
        f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
        "FOR EACH ROW EXECUTE FUNCTION audit_only_added_to()",
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_only_added_to()",
    ]


def _guard(table: Table) -> None:
    for dialect in ("sqlite", "postgresql"):
        for statement in guards(dialect, table.name):
            ddl: DDLElement = DDL(statement)  # type: ignore[no-untyped-call]
            event.listen(table, "after_create", ddl.execute_if(dialect=dialect))


for _model in (AuditEvent, AuditHead):
    _guard(_model.__table__)  # type: ignore[arg-type]  # declarative says FromClause
