"""REST of diagnosis: what is most likely wrong with a box, and that somebody complained."""

from datetime import datetime
from typing import Any, Final

from flask import Flask
from flask.typing import ResponseReturnValue
from flask_smorest import Api, Blueprint
from marshmallow import Schema, fields
from marshmallow.validate import Length, Regexp
from oleada_wire.ids import normalise_device_id

from oleada_server.accounts.access import identity, require_scope
from oleada_server.clock import now_utc
from oleada_server.db import db, read_only
from oleada_server.diagnosis import checking, reading, service
from oleada_server.diagnosis.shapes import Check, Ranked, Seen, Verdict

ANSWERS: Final = {"yes": True, "no": False}

blueprint = Blueprint("diagnosis", __name__, url_prefix="/api/v1", description="Diagnosis of boxes")


class DiagnosisQuery(Schema):
    """What is complained of; *asked* is what people answered, as ``question:yes``."""

    symptom = fields.String(load_default=service.UNSAID)
    channel = fields.String(load_default="", validate=Length(0, service.CHANNEL_CHARS_MAX))
    asked = fields.List(fields.String(validate=Regexp(r"[a-z0-9-]{1,40}:(yes|no)")))


class CheckRequest(DiagnosisQuery):
    """As a diagnosis is asked for; its safe checks begin."""

    asked = fields.List(
        fields.String(validate=Regexp(r"[a-z0-9-]{1,40}:(yes|no)")), load_default=list
    )


class ComplaintRequest(Schema):
    """What somebody complains of, and of which channel."""

    symptom = fields.String(required=True)
    channel = fields.String(load_default="")


@blueprint.get("/playbooks")
@blueprint.response(200)
@require_scope("devices:read")
def playbooks() -> ResponseReturnValue:
    """Return every playbook: its symptom, version and causes."""
    found = reading.library()
    return {
        "playbooks": [
            {
                "symptom": book.symptom,
                "version": book.version,
                "title": book.title,
                "causes": sorted(book.priors),
            }
            for book in found.playbooks.values()
        ]
    }


@blueprint.get("/devices/<device_id>/diagnosis")
@blueprint.arguments(DiagnosisQuery, location="query")
@blueprint.response(200)
@require_scope("devices:read")
def diagnose(asked: dict[str, Any], device_id: str) -> ResponseReturnValue:
    """Return what is most likely wrong with a box, and what to look at next."""
    read_only()
    answers = dict(one.split(":") for one in asked.get("asked", ()))
    verdict = service.diagnose(
        normalise_device_id(device_id),
        asked["symptom"],
        {name: ANSWERS[word] for name, word in answers.items()},
        now_utc(),
        asked["channel"],
    )
    return verdict_json(verdict)


@blueprint.post("/devices/<device_id>/diagnosis")
@blueprint.arguments(CheckRequest)
@blueprint.response(200)
@require_scope("actions:read")
def check(asked: dict[str, Any], device_id: str) -> ResponseReturnValue:
    """Note the complaint and begin every check that nobody can notice, as the page does.

    The verdict is of what is known now; ask again as the checks end.
    """
    db.session.rollback()
    person, now = identity(), now_utc()
    box, symptom, channel = normalise_device_id(device_id), asked["symptom"], asked["channel"]
    answers = dict(one.split(":") for one in asked["asked"])
    service.complain(box, symptom, channel, actor=person.actor, now=now)
    said = {name: ANSWERS[word] for name, word in answers.items()}
    verdict = service.diagnose(box, symptom, said, now, channel)
    begun = checking.begin(box, checking.safe_checks(verdict), f"complaint: {symptom}", person, now)
    return {
        **verdict_json(verdict),
        "begun": [{"id": one.id, "action": one.action} for one in begun],
    }


@blueprint.post("/devices/<device_id>/complaints")
@blueprint.arguments(ComplaintRequest)
@blueprint.response(200)
@require_scope("actions:read")
def complain(asked: dict[str, Any], device_id: str) -> ResponseReturnValue:
    """Note that somebody complains: many of them are seen to be one trouble."""
    db.session.rollback()
    made = service.complain(
        normalise_device_id(device_id), asked["symptom"], asked["channel"],
        actor=identity().actor, now=now_utc(),
    )  # fmt: skip
    return {"is_new": made is not None}


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as REST says it; texts in English."""
    return {
        "symptom": verdict.symptom,
        "playbook_version": verdict.version,
        "at": verdict.at.isoformat(),
        "likely": [one.cause.id for one in verdict.likely],
        "nothing": round(verdict.nothing, 4),
        "causes": [_cause(one) for one in verdict.causes],
        "seen": [_seen(one) for one in verdict.seen],
        "checks": [_check(one) for one in verdict.checks],
    }


def _cause(one: Ranked) -> dict[str, Any]:
    return {
        "cause": one.cause.id,
        "stage": str(one.cause.stage.name).lower(),
        "confidence": round(one.confidence, 4),
        "title": one.cause.title,
        "next": one.cause.next_step,
        "say": one.cause.say,
        "action": one.cause.action or None,
        "for": [seen.sign.id for seen in one.speaks_for],
        "against": [seen.sign.id for seen in one.speaks_against],
    }


def _seen(one: Seen) -> dict[str, Any]:
    return {
        "sign": one.sign.id,
        "holds": one.holds,
        "fact": one.sign.fact,
        "value": one.fact.value,
        "at": _time(one.fact.at),
        "operator": str(one.sign.operator),
        "limits": list(one.sign.limits),
        "unit": one.sign.unit or None,
        "source": one.sign.source,
    }


def _check(one: Check) -> dict[str, Any]:
    return {
        "sign": one.sign.id,
        "fact": one.sign.fact,
        "gain_bits": round(one.gain_bits, 4),
        "action": one.sign.check or None,
        "asks": one.sign.asks or None,
    }


def _time(at: datetime) -> str:
    return at.isoformat()


def register(app: Flask, api: Api) -> None:  # noqa: ARG001 - every feature is called alike
    """Add the blueprint."""
    api.register_blueprint(blueprint)
