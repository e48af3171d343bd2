"""Reading the audit trail: newest first, by filters, in pages that do not slip.

A page is asked for by the id below which it begins, so that page 1 000 costs what page
1 costs and nothing is shown twice while entries come in.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, func, select

from oleada_server.audit.models import AuditEvent
from oleada_server.db import db

PAGE_SIZE: Final = 50
EXPORT_CHUNK: Final = 1000


@dataclass(frozen=True, slots=True)
class Filters:
    """Which entries; empty means all.

    *object_ref* is the id that people see (``R-107``, ``device:VX417Q3K0928``), *actor*
    is as stored or a person's name alone, *action* a verb (``rollout.pause``) or its
    beginning (``rollout.``).
    """

    object_ref: str = ""
    actor: str = ""
    action: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """One page: *total* counts every match; *next_before* is None on the last page."""

    events: list[AuditEvent]
    total: int
    next_before: int | None


def page(filters: Filters, before: int | None = None, limit: int = PAGE_SIZE) -> Page:
    """Return the entries that match *filters* below id *before*, newest first."""
    matching = _matching(filters)
    total = db.session.scalar(select(func.count(AuditEvent.id)).where(*matching)) or 0
    if before is not None:
        matching.append(AuditEvent.id < before)
    query = select(AuditEvent).where(*matching).order_by(AuditEvent.id.desc()).limit(limit + 1)
    rows = list(db.session.scalars(query))
    shown = rows[:limit]
    return Page(shown, total, shown[-1].id if len(rows) > limit else None)


def export(filters: Filters) -> Iterator[AuditEvent]:
    """Yield every entry that matches *filters*, newest first, a thousand at a time."""
    before: int | None = None
    while True:
        found = page_of(filters, before)
        yield from found
        if len(found) < EXPORT_CHUNK:
            return
        before = found[-1].id
        db.session.expunge_all()  # what was read is not kept: memory stays flat


def page_of(filters: Filters, before: int | None) -> list[AuditEvent]:
    """Return one chunk of an export."""
    matching = _matching(filters)
    if before is not None:
        matching.append(AuditEvent.id < before)
    query = select(AuditEvent).where(*matching).order_by(AuditEvent.id.desc()).limit(EXPORT_CHUNK)
    return list(db.session.scalars(query))


def actions() -> list[str]:
    """Return every action that stands in the trail, in order."""
    query = select(AuditEvent.action).distinct().order_by(AuditEvent.action)
    return list(db.session.scalars(query))


def _matching(filters: Filters) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if filters.object_ref:
        found.append(AuditEvent.object_ref == filters.object_ref)
    if filters.actor:
        names = {filters.actor, f"user:{filters.actor}", f"device:{filters.actor}"}
        found.append(AuditEvent.actor.in_(sorted(names)))
    if filters.action:
        found.append(AuditEvent.action.startswith(filters.action, autoescape=True))
    return found
