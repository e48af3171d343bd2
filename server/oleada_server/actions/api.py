"""REST of actions, and the door through which boxes upload files.

A program that repeats an order after a lost answer sends the same ``Idempotency-Key``:
it is then done once.
"""

from typing import Any, Final

from flask import Flask, request, send_file
from flask.typing import ResponseReturnValue
from flask_smorest import Api, Blueprint
from oleada_wire import actions as wire
from oleada_wire.actions import Risk
from oleada_wire.ids import normalise_device_id

from oleada_server.accounts.access import demand_fresh, identity, require_scope
from oleada_server.actions import answers, rules, schemas, service, uploads
from oleada_server.actions.errors import UploadTooLargeError
from oleada_server.actions.rules import Given
from oleada_server.actions.service import Wish
from oleada_server.audit import service as audit
from oleada_server.clock import now_utc
from oleada_server.db import db, read_only
from oleada_server.devices import service as devices
from oleada_server.enrolment.errors import CertificateMissingError
from oleada_server.enrolment.peer import peer_of_request

BODY: Final = {
    "required": True,
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}

door = Blueprint(
    "uploads", __name__, url_prefix="/device/v1", description="Files that boxes upload"
)
blueprint = Blueprint("actions", __name__, url_prefix="/api/v1", description="Actions of boxes")


@blueprint.get("/actions")
@blueprint.response(200)
@require_scope("devices:read")
def table() -> ResponseReturnValue:
    """Return every action with its arguments, limits, risk and consent."""
    return {"actions": [schemas.action_json(action) for action in rules.BY_PEOPLE]}


@blueprint.post("/devices/<device_id>/actions")
@blueprint.arguments(schemas.OrderRequest)
@blueprint.response(202)
@require_scope("actions:read")
def order(asked: dict[str, Any], device_id: str) -> ResponseReturnValue:
    """Let a box do something; the answer is the order, or the number it waits under.

    What each risk needs is asked inside: a person who may look may not destroy.
    """
    if rules.known(asked["action"]).risk is Risk.DESTROYS:
        demand_fresh()
    wish = Wish(
        device_id=normalise_device_id(device_id),
        action=asked["action"],
        arguments=asked["arguments"],
        reason=asked["reason"],
        consent=Given(asked["consent"]),
        timeout_ms=asked["timeout_ms"],
        key=request.headers.get("Idempotency-Key"),
    )
    now = now_utc()
    found = service.order(wish, identity(), now)
    if isinstance(found, int):
        return {"asked": found}
    return schemas.order_json(found, now)


@blueprint.get("/devices/<device_id>/actions")
@blueprint.arguments(schemas.OrdersQuery, location="query")
@blueprint.response(200)
@require_scope("devices:read")
def orders(asked: dict[str, Any], device_id: str) -> ResponseReturnValue:
    """Return the newest orders of a box, each with what it answered."""
    read_only()
    now, box = now_utc(), normalise_device_id(device_id)
    devices.get(box)
    found = service.orders_of(box, asked["limit"], asked["after"])
    told = answers.answers_of(found)
    return {"actions": [schemas.told_json(one, told[one.id], now) for one in found]}


@blueprint.get("/actions/<order_id>")
@blueprint.response(200)
@require_scope("devices:read")
def one_order(order_id: str) -> ResponseReturnValue:
    """Return one order with what came so far."""
    read_only()
    return schemas.order_json(service.get(order_id), now_utc())


@blueprint.post("/actions/<order_id>/cancel")
@blueprint.response(202)
@require_scope("actions:read")
def cancel(order_id: str) -> ResponseReturnValue:
    """Tell the box to end an action; what it found so far stays."""
    now = now_utc()
    return schemas.order_json(service.cancel(order_id, identity(), now), now)


@blueprint.get("/actions/<order_id>/files/<name>")
@blueprint.response(200)
@require_scope("actions:read")
def file(order_id: str, name: str) -> ResponseReturnValue:
    """Return a file that a box has uploaded; who reads it is written down."""
    now, person = now_utc(), identity()
    db.session.rollback()
    found = service.get(order_id)
    path = uploads.path_of(order_id, name)
    ref = f"device:{found.device_id}"
    audit.record(
        person.actor, "device.file-read", ref, now=now, after={"id": order_id, "name": name}
    )
    db.session.commit()
    return send_file(path, "application/octet-stream", as_attachment=True, download_name=name)


@door.put("/uploads/<order_id>/<name>")
@door.doc(requestBody=BODY)
@door.response(201)
def upload(order_id: str, name: str) -> ResponseReturnValue:
    """Keep a file that an action of this box was asked for."""
    peer = peer_of_request()
    if peer is None:
        raise CertificateMissingError
    size = request.content_length
    if size is None or size > wire.FILE_BYTES_MAX:
        raise UploadTooLargeError(
            f"A file has at most {wire.FILE_BYTES_MAX} bytes, and says in Content-Length how many."
        )
    request.max_content_length = wire.FILE_BYTES_MAX
    found = uploads.keep(
        peer.device_id, order_id, name, request.stream, size_bytes=size, now=now_utc()
    )
    return {"name": found.name, "size_bytes": found.size_bytes, "sha256": found.sha256}


def register(app: Flask, api: Api) -> None:  # noqa: ARG001 - every feature is called alike
    """Add the blueprints."""
    api.register_blueprint(door)
    api.register_blueprint(blueprint)
