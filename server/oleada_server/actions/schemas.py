"""How actions look over REST."""

from datetime import datetime
from typing import Any

from marshmallow import Schema, fields
from marshmallow.validate import OneOf, Range
from oleada_wire import actions as wire

from oleada_server.actions import answers, rules, service
from oleada_server.actions.answers import Answer
from oleada_server.actions.models import ActionOrder
from oleada_server.actions.rules import Given


class OrderRequest(Schema):
    """What a box is to do, and why; *consent* says who has agreed to what can be noticed."""

    action = fields.String(required=True)
    arguments = fields.Dict(load_default=dict)
    reason = fields.String(required=True)
    consent = fields.String(
        load_default=str(Given.NONE), validate=OneOf([str(Given.NONE), str(Given.VIEWER)])
    )
    timeout_ms = fields.Integer(load_default=None, allow_none=True, validate=Range(1, 3_600_000))


class OrdersQuery(Schema):
    """Which orders of a box: those asked before *after*, newest first."""

    after = fields.AwareDateTime(load_default=None)
    limit = fields.Integer(load_default=25, validate=Range(1, service.LIST_MAX))


def order_json(found: ActionOrder, now: datetime) -> dict[str, Any]:
    """Return an order as REST says it, with everything that has come so far."""
    return told_json(found, answers.answer_of(found), now)


def told_json(found: ActionOrder, answer: Answer, now: datetime) -> dict[str, Any]:
    """Return an order as REST says it, with the *answer* that has come so far."""
    return {
        "id": found.id,
        "device_id": found.device_id,
        "action": found.action,
        "arguments": found.arguments,
        "reason": found.reason,
        "consent": found.consent,
        "asked_by": found.asked_by,
        "asked_at": found.asked_at.isoformat(),
        "confirmed_by": found.confirmed_by,
        "expires_at": found.expires_at.isoformat(),
        "timeout_ms": found.timeout_ms,
        "state": str(service.state_of(found, now)),
        "done_share": None if found.done_parts is None else found.done_parts / 10_000,
        "status": found.status,
        "error": found.error,
        "began_at": _time(found.began_at),
        "ended_at": _time(found.ended_at),
        "cancelled_by": found.cancelled_by,
        "is_truncated": found.is_truncated,
        "values": answer.values,
        "output": answer.output,
        "files": [
            {"name": one.name, "size_bytes": one.size_bytes, "sha256": one.sha256, "is_whole": good}
            for one, good in answer.files
        ],
    }


def action_json(action: wire.Action) -> dict[str, Any]:
    """Return one action of the table as REST says it."""
    return {
        "action": action.name,
        "standard": action.standard or None,
        "summary": action.summary,
        "touches": action.touches,
        "risk": str(action.risk),
        "scope": rules.SCOPES[action.risk],
        "consent": str(action.consent),
        "is_safe_while_watching": action.is_safe_while_watching,
        "needs": str(action.needs),
        "timeout_ms": action.timeout_ms,
        "timeout_ms_max": action.timeout_ms_max,
        "ttl_ms": action.ttl_ms,
        "files": list(action.files),
        "arguments": [
            {
                "name": one.name,
                "kind": one.kind.__name__,
                "least": one.least,
                "most": one.most,
                "unit": one.unit or None,
                "default": one.default,
                "words": list(one.words),
            }
            for one in action.arguments
        ],
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
