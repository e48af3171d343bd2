"""The audit trail: whole, by object, by person, and as CSV; and whether its chain holds."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from flask import Blueprint, Response, render_template, request, stream_with_context, url_for
from flask.typing import ResponseReturnValue

from oleada_server.accounts.access import require_role
from oleada_server.accounts.models import Role
from oleada_server.audit import checked, heads, search
from oleada_server.audit.models import AuditEvent
from oleada_server.clock import now_utc
from oleada_server.db import db, read_only
from oleada_server.web import activity
from oleada_server.web.device_list import number_in
from oleada_server.web.words import gettext

TEXT_CHARS_MAX: Final = 80
HEADS_SHOWN: Final = 24
COLUMNS: Final = (
    "id", "at", "actor", "action", "object", "reason", "before", "after", "request_id",
    "address", "previous_sha256", "entry_sha256",
)  # fmt: skip
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")

blueprint = Blueprint("audit_pages", __name__)


@blueprint.get("/audit")
@require_role(Role.VIEWER)
def index() -> ResponseReturnValue:
    """Show the trail, newest first, or what the query string asks of it."""
    read_only()
    filters = _filters()
    page = search.page(filters, number_in(request.args.get("before", "")))
    return render_template(
        "audit/index.html",
        nav="audit",
        filters=filters,
        chips=_chips(filters),
        page=page,
        actions=search.actions(),
        is_first=not request.args.get("before"),
        address=_address,
        actor=activity.actor,
        deed_word=activity.deed_word,
        object_href=activity.object_href,
        changes=activity.changes,
    )


@blueprint.get("/audit/chain")
@require_role(Role.VIEWER)
def chain() -> ResponseReturnValue:
    """Check every entry against the chain of hashes, and say how that went."""
    read_only()
    found = checked.everything(newest=HEADS_SHOWN)
    return render_template(
        "audit/chain.html",
        nav="audit",
        total=found.entries,
        broken=found.broken,
        wrong_heads=found.wrong,
        lost=found.lost,
        heads=heads.list_heads(HEADS_SHOWN),
    )


@blueprint.get("/audit/heads.jsonl")
@require_role(Role.AUDITOR)
def export_heads() -> ResponseReturnValue:
    """Send every signed head, one a line, for an auditor to keep elsewhere."""
    read_only()
    lines = [f"{heads.line_of(head)}\n" for head in reversed(heads.list_heads())]
    answer = Response("".join(lines), content_type="application/jsonl; charset=utf-8")
    name = f"oleada-heads-{now_utc():%Y%m%dT%H%M%SZ}.jsonl"
    answer.headers["Content-Disposition"] = f"attachment; filename={name}"
    return answer


@blueprint.get("/audit.csv")
@require_role(Role.VIEWER)
def export() -> ResponseReturnValue:
    """Send what the query string asks for as CSV, row by row."""
    filters = _filters()
    answer = Response(stream_with_context(_rows(filters)), content_type="text/csv; charset=utf-8")
    name = f"audit-{now_utc():%Y%m%dT%H%M%SZ}.csv"
    answer.headers["Content-Disposition"] = f"attachment; filename={name}"
    return answer


def _rows(filters: search.Filters) -> Iterator[str]:
    read_only()
    try:
        yield _line(COLUMNS)
        for event in search.export(filters):
            yield _line(_cells(event))
    finally:
        db.session.remove()


def _cells(event: AuditEvent) -> list[str]:
    values = (
        event.id, event.at.isoformat(), event.actor, event.action, event.object_ref,
        event.reason, event.before, event.after, event.request_id, event.address,
        event.previous_sha256, event.entry_sha256,
    )  # fmt: skip
    return [_cell(value) for value in values]


def _cell(value: object) -> str:
    """Return *value* as text that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    text = json.dumps(value, sort_keys=True) if isinstance(value, dict) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _line(cells: tuple[str, ...] | list[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()


def _filters() -> search.Filters:
    def text(name: str) -> str:
        return request.args.get(name, "").strip()[:TEXT_CHARS_MAX]

    return search.Filters(text("object"), text("actor"), text("action"))


def _address(filters: search.Filters, endpoint: str = "audit_pages.index", **more: object) -> str:
    return url_for(
        endpoint,
        object=filters.object_ref or None,
        actor=filters.actor or None,
        action=filters.action or None,
        **more,  # type: ignore[arg-type]  # parts of the query string
    )


def _chips(filters: search.Filters) -> list[tuple[str, str, str]]:
    """Return (name, text, address without it) of each filter that is set."""
    named = (
        ("object_ref", gettext("object"), filters.object_ref),
        ("actor", gettext("person"), activity.actor(filters.actor)),
        ("action", gettext("deed"), filters.action),
    )
    return [
        (word, text, _address(replace(filters, **{name: ""})))
        for name, word, text in named
        if getattr(filters, name)
    ]
