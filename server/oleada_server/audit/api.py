"""REST of the audit trail: read it, verify it, export it, and fetch its signed heads."""

from collections.abc import Iterator
from typing import Any, Final

from flask import Flask, Response, stream_with_context
from flask.typing import ResponseReturnValue
from flask_smorest import Api, Blueprint
from marshmallow import Schema, fields
from marshmallow.validate import Length, Range

from oleada_server.accounts.access import identity, require_scope, steps_up
from oleada_server.audit import checked, exported, heads, search, service, witnessed
from oleada_server.audit.models import AuditEvent
from oleada_server.clock import now_utc
from oleada_server.db import db, read_only

ID_MAX: Final = 2**31 - 1
LIMIT_MAX: Final = 500
TEXT_CHARS_MAX: Final = 120
JSON_LINES: Final = "application/jsonl; charset=utf-8"

blueprint = Blueprint(
    "audit", __name__, url_prefix="/api/v1/audit", description="Who did what, and is it whole"
)


class AuditQuery(Schema):
    """Filters, and where the page begins: below the id *before*."""

    object = fields.String(load_default="", validate=Length(0, TEXT_CHARS_MAX))
    actor = fields.String(load_default="", validate=Length(0, TEXT_CHARS_MAX))
    action = fields.String(load_default="", validate=Length(0, TEXT_CHARS_MAX))
    before = fields.Integer(validate=Range(1, ID_MAX))
    limit = fields.Integer(load_default=search.PAGE_SIZE, validate=Range(1, LIMIT_MAX))


class ExportQuery(Schema):
    """Which entries: those after the id *after*."""

    after = fields.Integer(load_default=0, validate=Range(0, ID_MAX))


class Settlement(Schema):
    """How it was cleared up; stays in the audit trail."""

    reason = fields.String(required=True, validate=Length(1, witnessed.REASON_CHARS_MAX))


@blueprint.get("")
@blueprint.arguments(AuditQuery, location="query")
@blueprint.response(200)
@require_scope("audit:read")
def list_entries(query: dict[str, Any]) -> ResponseReturnValue:
    """Return entries that match every filter, newest first; *next* is what to send as *before*."""
    read_only()
    filters = search.Filters(query["object"], query["actor"], query["action"])
    page = search.page(filters, query.get("before"), query["limit"])
    return {
        "entries": [_entry(event) for event in page.events],
        "total": page.total,
        "next": page.next_before,
    }


@blueprint.get("/verify")
@blueprint.response(200)
@require_scope("audit:export")
def verify() -> ResponseReturnValue:
    """Check every entry, the chain, the tree and every head; *whole* says how that went."""
    read_only()
    return checked.shown(checked.everything())


@blueprint.get("/export")
@blueprint.arguments(ExportQuery, location="query")
@blueprint.response(200, content_type="application/jsonl")
@require_scope("audit:export")
def export(query: dict[str, Any]) -> ResponseReturnValue:
    """Send every entry after one, oldest first, as lines of JSON; the last line ends the export."""
    return Response(stream_with_context(_lines(query["after"])), content_type=JSON_LINES)


@blueprint.get("/heads")
@blueprint.response(200, content_type="application/jsonl")
@require_scope("audit:export")
def list_heads() -> ResponseReturnValue:
    """Send every signed head, oldest first, one a line, for `oleada audit verify --heads`."""
    read_only()
    found = [f"{heads.line_of(head)}\n" for head in reversed(heads.list_heads())]
    return Response("".join(found), content_type=JSON_LINES)


@blueprint.get("/sightings")
@blueprint.response(200)
@require_scope("audit:read")
def list_sightings() -> ResponseReturnValue:
    """Return heads that boxes were shown and that are not this server's, newest first."""
    read_only()
    return {"sightings": [witnessed.shown(one) for one in witnessed.list_all()]}


@blueprint.post(f"/sightings/<int(max={ID_MAX}):number>/settle")
@blueprint.arguments(Settlement)
@blueprint.response(200)
@require_scope("audit:settle")
@steps_up
def settle(body: dict[str, Any], number: int) -> ResponseReturnValue:
    """Say how a head that is not this server's was cleared up: nobody is warned of it any more."""
    return witnessed.shown(witnessed.settle(number, identity().actor, body["reason"], now_utc()))


def _lines(after: int) -> Iterator[str]:
    read_only()
    try:
        for line in exported.lines(service.rows_after(after)):
            yield f"{line}\n"
    finally:
        db.session.remove()


def _entry(event: AuditEvent) -> dict[str, Any]:
    found = {name: getattr(event, name) for name in exported.FIELDS}
    return found | {"at": event.at.isoformat()}


def register(app: Flask, api: Api) -> None:  # noqa: ARG001 - every feature registers alike
    """Add the REST API of the audit trail."""
    api.register_blueprint(blueprint)
