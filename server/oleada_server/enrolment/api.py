"""``POST /device/v1/enrol`` for boxes, ``POST /api/v1/claims`` for the desk."""

from typing import Any

from flask import Flask, Response, request
from flask.typing import ResponseReturnValue
from flask.views import MethodView
from flask_smorest import Api, Blueprint
from marshmallow import Schema, fields
from marshmallow.validate import Length
from oleada_wire.ids import normalise_device_id

from oleada_server import config as settings
from oleada_server.accounts.access import identity, require_scope, steps_up
from oleada_server.clock import now_utc
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.enrolment import mass_revocation, revocations, service
from oleada_server.enrolment.errors import EnrolTooOftenError
from oleada_server.enrolment.pki import CSR_BYTES_MAX
from oleada_server.problems import problem
from oleada_server.releases.errors import TrustMissingError, TufFileNotFoundError
from oleada_server.releases.service import tuf_file

door = Blueprint("enrol", __name__, url_prefix="/device/v1", description="What boxes ask once")
desk = Blueprint("claims", __name__, url_prefix="/api/v1", description="Claim tokens")


class EnrolRequest(Schema):
    """A claim token, the serial it was made for, and a request for the box's own key."""

    token = fields.String(required=True, validate=Length(1, 200))
    serial = fields.String(required=True, validate=Length(1, service.SERIAL_CHARS_MAX))
    csr_pem = fields.String(required=True, validate=Length(1, CSR_BYTES_MAX))


class Broker(Schema):
    """Where the broker listens for boxes."""

    host = fields.String(required=True)
    port = fields.Integer(required=True)


class EnrolAnswer(Schema):
    """Everything that a box must know to begin."""

    device_id = fields.String(required=True)
    hardware_model = fields.String(required=True)
    zone = fields.String(required=True)
    certificate_pem = fields.String(required=True)
    ca_pem = fields.String(required=True)
    broker = fields.Nested(Broker, required=True)
    artifacts_url = fields.String(required=True)
    root_json = fields.String(required=True)


class ClaimRequest(Schema):
    """The box that may enrol."""

    serial = fields.String(required=True)
    hardware_model = fields.String(required=True)
    zone = fields.String(load_default="UTC")
    region = fields.String(load_default=None, allow_none=True, validate=Length(1, 60))


class ClaimAnswer(Schema):
    """The token, shown once."""

    serial = fields.String(required=True)
    token = fields.String(required=True)
    enrol_url = fields.String(required=True)


class RevokeRequest(Schema):
    """Why a box is revoked; for the audit trail."""

    reason = fields.String(required=True, validate=Length(1, revocations.REASON_CHARS_MAX))


class RevokeManyRequest(Schema):
    """Which boxes are revoked, and why; a second person reads it."""

    device_ids = fields.List(
        fields.String(validate=Length(1, 40)),
        required=True,
        validate=Length(1, mass_revocation.BOXES_MAX),
    )
    reason = fields.String(required=True, validate=Length(1, revocations.REASON_CHARS_MAX))


class AskedAnswer(Schema):
    """The number under which it waits for a second person."""

    asked = fields.Integer(required=True)


class RevokeAnswer(Schema):
    """The box, and since when it is revoked."""

    id = fields.String(required=True)
    serial = fields.String(required=True)
    revoked_at = fields.AwareDateTime(required=True)


@door.route("/enrol")
class Enrol(MethodView):
    """Enrolment."""

    @door.arguments(EnrolRequest)
    @door.response(200, EnrolAnswer)
    def post(self, asked: dict[str, Any]) -> ResponseReturnValue:
        """Return the box's certificate; the same token and key get the same answer."""
        root_json = _root()
        enrolled = service.enrol(
            asked["token"], asked["serial"], asked["csr_pem"], now_utc(), request.remote_addr or ""
        )
        config = settings.current()
        return {
            "device_id": enrolled.device_id,
            "hardware_model": enrolled.hardware_model,
            "zone": enrolled.zone,
            "certificate_pem": enrolled.certificate_pem,
            "ca_pem": enrolled.ca_pem,
            "broker": {"host": config.public_host, "port": config.broker_port},
            "artifacts_url": f"{config.door_url}/artifacts",
            "root_json": root_json,
        }


@desk.route("/claims")
class Claims(MethodView):
    """Claim tokens."""

    @desk.arguments(ClaimRequest)
    @desk.response(201, ClaimAnswer)
    @require_scope("devices:write")
    def post(self, asked: dict[str, Any]) -> ResponseReturnValue:
        """Make the one-time claim token of a box; it is shown once."""
        token = service.create_claim(actor=identity().actor, now=now_utc(), **asked)
        url = f"{settings.current().door_url}/device/v1/enrol"
        return {"serial": asked["serial"], "token": token, "enrol_url": url}


@desk.post("/devices/<device_id>/revoke")
@desk.arguments(RevokeRequest)
@desk.response(200, RevokeAnswer)
@require_scope("devices:revoke")
@steps_up
def revoke(asked: dict[str, Any], device_id: str) -> Device:
    """Revoke a box: nothing it holds opens a door any more; a new claim token mends it."""
    person, now = identity(), now_utc()
    mass_revocation.demand_few(person, now)
    return revocations.revoke(device_id, asked["reason"], actor=person.actor, now=now)


@desk.post("/devices/revocations")
@desk.arguments(RevokeManyRequest)
@desk.response(202, AskedAnswer)
@require_scope("devices:revoke")
@steps_up
def revoke_many(asked: dict[str, Any]) -> ResponseReturnValue:
    """Ask that many boxes be revoked; another person confirms it (`/api/v1/asked`)."""
    device_ids = [normalise_device_id(text) for text in asked["device_ids"]]
    number = mass_revocation.ask(device_ids, asked["reason"], person=identity(), now=now_utc())
    return {"asked": number}


def _root() -> str:
    """Return the newest root; without one a box could never trust an image."""
    try:
        return tuf_file("root.json").decode()
    except TufFileNotFoundError as error:
        raise TrustMissingError from error


def _too_often(error: EnrolTooOftenError) -> Response:
    db.session.rollback()
    answer = problem(error.status, error.code, str(error))
    answer.headers["Retry-After"] = str(error.wait_s)
    return answer


def register(app: Flask, api: Api) -> None:
    """Add both doors."""
    app.register_error_handler(EnrolTooOftenError, _too_often)
    api.register_blueprint(door)
    api.register_blueprint(desk)
