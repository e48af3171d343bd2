"""REST of releases, and the two doors that boxes and plain TUF clients use.

``/api/v1/releases`` is for people's programs; ``/tuf`` and ``/artifacts`` need no
sign-in, for what they give is signed and the same for everybody.
"""

from typing import Final

from flask import Flask, Response, request, send_file
from flask.typing import ResponseReturnValue
from flask.views import MethodView
from flask_smorest import Api, Blueprint
from marshmallow import Schema, fields, validate
from oleada_store.bundle import CONTENT_TYPE
from oleada_wire.errors import WireError
from oleada_wire.release import parse_target_path

from oleada_server.accounts.access import identity, require_scope, steps_up
from oleada_server.clock import now_utc
from oleada_server.db import read_only
from oleada_server.releases import service
from oleada_server.releases.errors import ArtifactNotFoundError, MalformedBundleError
from oleada_server.releases.models import Release, ReleaseState

IMMUTABLE: Final = "public, max-age=31536000, immutable"
BODY: Final = {
    "required": True,
    "content": {CONTENT_TYPE: {"schema": {"type": "string", "format": "binary"}}},
}
DRAIN_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of a refused upload: enough for most clients to read the answer before the line is cut."""

blueprint = Blueprint(
    "releases", __name__, url_prefix="/api/v1/releases", description="Signed firmware releases"
)
door = Blueprint("artifacts", __name__, description="Images and TUF metadata, for boxes")


class ReleaseSchema(Schema):
    """A release as the signed metadata describes it."""

    hardware_model = fields.String(required=True)
    version = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(list(ReleaseState)))
    security_version = fields.Integer(required=True)
    min_version = fields.String(allow_none=True)
    target_path = fields.String(required=True)
    sha256 = fields.String(required=True)
    size_bytes = fields.Integer(required=True)
    provides = fields.List(fields.String(), required=True)
    depends = fields.List(fields.String(), allow_none=True)
    must_pass = fields.Boolean(required=True)
    fixes = fields.List(fields.String(), required=True)
    notes = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    signed_by = fields.List(fields.String(), required=True)
    published_at = fields.AwareDateTime(required=True)
    published_by = fields.String(required=True)
    withdrawn_at = fields.AwareDateTime(allow_none=True)
    withdrawn_reason = fields.String(allow_none=True)


class ReleasesSchema(Schema):
    """All releases, newest first."""

    releases = fields.List(fields.Nested(ReleaseSchema), required=True)


class ReleasesQuery(Schema):
    """Which releases."""

    hardware_model = fields.String()


class WithdrawSchema(Schema):
    """Why a release is withdrawn."""

    reason = fields.String(required=True, validate=validate.Length(min=1, max=2000))


class CheckSchema(Schema):
    """What the bundle that was begun would publish."""

    target_path = fields.String(required=True)
    published_already = fields.Boolean(required=True)


@blueprint.route("")
class Releases(MethodView):
    """All releases."""

    @blueprint.arguments(ReleasesQuery, location="query")
    @blueprint.response(200, ReleasesSchema)
    @require_scope("releases:read")
    def get(self, query: dict[str, str]) -> ResponseReturnValue:
        """List releases, newest first."""
        read_only()
        return {"releases": service.list_releases(query.get("hardware_model"))}

    @blueprint.doc(requestBody=BODY)
    @blueprint.response(201, ReleaseSchema)
    @require_scope("releases:write")
    def post(self) -> Release:
        """Publish the signed bundle in the body; the same bundle again changes nothing."""
        _take_a_bundle()
        try:
            return service.publish(request.stream, identity().actor, now_utc())
        finally:
            request.stream.read(DRAIN_BYTES_MAX)


@blueprint.post("/check")
@blueprint.doc(requestBody=BODY)
@blueprint.response(200, CheckSchema)
@require_scope("releases:write")
def check() -> ResponseReturnValue:
    """Judge the beginning of a bundle, up to its image, without publishing it."""
    _take_a_bundle()
    judged = service.check(request.stream, now_utc())
    return {"target_path": judged.release.path, "published_already": judged.known is not None}


@blueprint.get("/<hardware_model>/<version>")
@blueprint.response(200, ReleaseSchema)
@require_scope("releases:read")
def show(hardware_model: str, version: str) -> Release:
    """Show one release."""
    read_only()
    return service.get(hardware_model, version)


@blueprint.post("/<hardware_model>/<version>/withdraw")
@blueprint.arguments(WithdrawSchema)
@blueprint.response(200, ReleaseSchema)
@require_scope("releases:write")
@steps_up
def withdraw(body: dict[str, str], hardware_model: str, version: str) -> Release:
    """Withdraw a release: stop its rollouts and let no box install it; it never comes back."""
    actor = identity().actor
    return service.withdraw(hardware_model, version, body["reason"], actor, now_utc())


@door.get("/tuf/<name>")
def tuf(name: str) -> ResponseReturnValue:
    """Return a TUF metadata file; one with a version in its name never changes."""
    read_only()
    answer = Response(service.tuf_file(name), content_type="application/json")
    answer.headers["Cache-Control"] = IMMUTABLE if name[:1].isdigit() else "no-cache"
    return answer


@door.get("/tuf/targets/<hardware_model>/<name>")
def target(hardware_model: str, name: str) -> ResponseReturnValue:
    """Return an image under the name that TUF clients ask for: ``<sha256>.<version>.img``."""
    sha256, _, plain = name.partition(".")
    read_only()
    try:
        model, version = parse_target_path(f"{hardware_model}/{plain}")
    except WireError as error:
        raise ArtifactNotFoundError(f"No image has this name. {error}") from error
    release = service.get(model, version)
    return _image(sha256 if sha256 == release.sha256 else "")


@door.get("/artifacts/<sha256>")
def artifact(sha256: str) -> ResponseReturnValue:
    """Return an image, whole or by Range; it never changes under its digest."""
    read_only()
    return _image(sha256)


def register(app: Flask, api: Api) -> None:
    """Add the blueprints."""
    api.register_blueprint(blueprint)
    app.register_blueprint(door)


def _image(sha256: str) -> ResponseReturnValue:
    path = service.artifact_path(sha256)
    answer = send_file(
        path, "application/octet-stream", conditional=True, etag=sha256, max_age=31_536_000
    )
    answer.headers["Cache-Control"] = IMMUTABLE
    return answer


def _take_a_bundle() -> None:
    if request.mimetype != CONTENT_TYPE:
        raise MalformedBundleError(
            f"The body has type {request.mimetype[:80]!r}; a release bundle, {CONTENT_TYPE}, was "
            "expected. Publish with: oleada release publish"
        )
    request.max_content_length = None  # bounded by the image size that is signed
