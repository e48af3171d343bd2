"""``GET /api/v1/devices``: the list with filters and page keys, and one device."""

from typing import Any

from flask import Flask
from flask.typing import ResponseReturnValue
from flask.views import MethodView
from flask_smorest import Api, Blueprint
from marshmallow import Schema, fields
from marshmallow.validate import OneOf, Range, Regexp

from oleada_server import config as settings
from oleada_server.accounts.access import require_scope
from oleada_server.clock import now_utc
from oleada_server.db import read_only
from oleada_server.devices import service
from oleada_server.devices.search import PAGE_SIZE, PAGE_SIZE_MAX
from oleada_server.rollouts.models import BoxState

ID_MAX = 2**31 - 1
"""The largest row id; beyond it PostgreSQL can not even compare."""

blueprint = Blueprint("devices", __name__, url_prefix="/api/v1/devices", description="Devices")


class DeviceQuery(Schema):
    """Filters; a repeated one means any of its values, different ones narrow together."""

    model = fields.List(fields.String())
    version = fields.List(fields.String())
    contact = fields.String(validate=OneOf([str(word) for word in service.Contact]))
    text = fields.String(load_default="")
    region = fields.String()
    rollout = fields.String(validate=Regexp(r"R-[0-9]{1,9}"))
    wave = fields.Integer(validate=Range(0, ID_MAX))
    state = fields.List(fields.String(validate=OneOf([str(word) for word in BoxState])))
    sort = fields.String(load_default="id", validate=OneOf([str(word) for word in service.Sort]))
    after = fields.String()
    limit = fields.Integer(load_default=PAGE_SIZE, validate=Range(1, PAGE_SIZE_MAX))


class DeviceAnswer(Schema):
    """One device as the server knows it; *health* by TR-181 path, *health_at* its age."""

    id = fields.String(required=True)
    serial = fields.String(required=True)
    mac = fields.String(allow_none=True)
    hardware_model = fields.String(required=True)
    zone = fields.String(required=True)
    region = fields.String(allow_none=True)
    enrolled_at = fields.AwareDateTime(required=True)
    revoked_at = fields.AwareDateTime(allow_none=True)
    first_seen_at = fields.AwareDateTime(allow_none=True)
    last_seen_at = fields.AwareDateTime(allow_none=True)
    boot_count = fields.Integer(required=True)
    boot_reason = fields.String(allow_none=True)
    version = fields.String(allow_none=True)
    security_version = fields.Integer(allow_none=True)
    running_slot = fields.String(allow_none=True)
    agent_version = fields.String(allow_none=True)
    slots = fields.Dict(allow_none=True)
    provides = fields.List(fields.String(), allow_none=True)
    health = fields.Dict(allow_none=True)
    health_at = fields.AwareDateTime(allow_none=True)


class PageAnswer(Schema):
    """One page; *total* is exact, *next_key* is null on the last page."""

    devices = fields.List(fields.Nested(DeviceAnswer), required=True)
    total = fields.Integer(required=True)
    next_key = fields.String(allow_none=True, required=True)


@blueprint.route("")
class Devices(MethodView):
    """The list."""

    @blueprint.arguments(DeviceQuery, location="query")
    @blueprint.response(200, PageAnswer)
    @require_scope("devices:read")
    def get(self, asked: dict[str, Any]) -> service.Page:
        """Return the page of devices that match every filter."""
        read_only()
        return service.list_devices(
            _filters(asked),
            now=now_utc(),
            silent_after_s=settings.current().silent_after_s,
            after=asked.get("after"),
            limit=asked["limit"],
            sort=service.Sort(asked["sort"]),
        )


@blueprint.route("/<device_id>")
class OneDevice(MethodView):
    """One device."""

    @blueprint.response(200, DeviceAnswer)
    @require_scope("devices:read")
    def get(self, device_id: str) -> ResponseReturnValue:
        """Return one device."""
        read_only()
        found: Any = service.get(device_id)
        return found  # type: ignore[no-any-return]


def _filters(asked: dict[str, Any]) -> service.Filters:
    contact = asked.get("contact")
    rollout = asked.get("rollout")
    return service.Filters(
        models=tuple(asked.get("model", ())),
        versions=tuple(asked.get("version", ())),
        contact=service.Contact(contact) if contact else None,
        text=asked["text"],
        region=asked.get("region"),
        rollout_id=int(rollout.removeprefix("R-")) if rollout else None,
        wave_id=asked.get("wave"),
        box_states=tuple(asked.get("state", ())),
    )


def register(app: Flask, api: Api) -> None:  # noqa: ARG001 - every feature is called alike
    """Add the blueprint."""
    api.register_blueprint(blueprint)
