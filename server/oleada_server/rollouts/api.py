"""REST of rollouts: ``/api/v1/rollouts``. Reads the request, calls the service, shapes the answer.

A program that repeats a POST after a lost answer sends the same ``Idempotency-Key``:
the deed is then done once.
"""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from flask import Flask, request
from flask.typing import ResponseReturnValue
from flask_smorest import Api, Blueprint
from oleada_store import waves
from oleada_store.errors import StoreError
from oleada_wire.ids import normalise_device_id

from oleada_server.accounts.access import identity, require_scope, steps_up
from oleada_server.clock import now_utc
from oleada_server.db import read_only
from oleada_server.rollouts import going_back, groups_api, left_alone_api, schemas, service
from oleada_server.rollouts import why as explanations
from oleada_server.rollouts.errors import BadPlanError
from oleada_server.rollouts.evidence import shown
from oleada_server.rollouts.once import DoneMeanwhileError, Once, done_before, record_done
from oleada_server.rollouts.reading import BoxFilter
from oleada_server.rollouts.states import BoxState

KEY_CHARS_MAX = 80

blueprint = Blueprint(
    "rollouts", __name__, url_prefix="/api/v1/rollouts", description="Releases on their way"
)


def register(app: Flask, api: Api) -> None:  # noqa: ARG001 - every feature registers alike
    """Add the REST API of rollouts."""
    api.register_blueprint(blueprint)
    api.register_blueprint(groups_api.blueprint)
    api.register_blueprint(left_alone_api.blueprint)


@blueprint.get("")
@blueprint.arguments(schemas.ListQuery, location="query")
@blueprint.response(200)
@require_scope("rollouts:read")
def list_rollouts(query: dict[str, Any]) -> ResponseReturnValue:
    """Return rollouts, newest first; *next* names where the next page begins."""
    read_only()
    before = query.get("before")
    found = service.list_rollouts(
        before_id=None if before is None else number_of(before), limit=query["limit"]
    )
    shown = [schemas.rollout_json(rollout) for rollout in found]
    full = len(found) == query["limit"]
    return {"rollouts": shown, "next": shown[-1]["id"] if full else None}


@blueprint.post("")
@blueprint.arguments(schemas.RolloutPlan)
@blueprint.response(201)
@require_scope("rollouts:write")
def create(body: dict[str, Any]) -> ResponseReturnValue:
    """Store a plan as a draft; nothing reaches a box before it is started."""
    spec = schemas.spec_from(body)
    try:
        rollout_id = service.create(spec, actor=identity().actor, now=now_utc(), once=_once())
    except DoneMeanwhileError as done:
        rollout_id = done.rollout_id
    return _shown(rollout_id)


@blueprint.post("/preview")
@blueprint.arguments(schemas.RolloutPlan)
@blueprint.response(200)
@require_scope("rollouts:read")
def preview(body: dict[str, Any]) -> ResponseReturnValue:
    """Return which boxes a plan would cover, why others are left out, and how it would go."""
    spec, now = schemas.spec_from(body), now_utc()
    read_only()
    found = service.preview(spec)
    replay = service.dry_run(spec, found, now)
    return {**asdict(found), "dry_run": replay and schemas.replay_json(replay)}


@blueprint.get("/why")
@blueprint.arguments(schemas.WhyQuery, location="query")
@blueprint.response(200)
@require_scope("rollouts:read")
def why(query: dict[str, Any]) -> ResponseReturnValue:
    """Return why a box gets a release, by default its model's newest, or why not."""
    read_only()
    device_id, now = normalise_device_id(query["device_id"]), now_utc()
    if "rollout" in query:
        found = explanations.of_rollout(device_id, number_of(query["rollout"]), now)
        return {"device_id": device_id, "rollout": query["rollout"], **schemas.why_json(found)}
    found, version = explanations.of_release(device_id, query.get("version"), now)
    return {"device_id": device_id, "version": version, **schemas.why_json(found)}


@blueprint.get("/<rollout_ref>")
@blueprint.response(200)
@require_scope("rollouts:read")
def show(rollout_ref: str) -> ResponseReturnValue:
    """Return a rollout with its waves, their exact numbers, and why boxes failed."""
    return _shown(number_of(rollout_ref))


@blueprint.get("/<rollout_ref>/boxes")
@blueprint.arguments(schemas.BoxesQuery, location="query")
@blueprint.response(200)
@require_scope("rollouts:read")
def boxes(query: dict[str, Any], rollout_ref: str) -> ResponseReturnValue:
    """Return boxes of a rollout by device id; *next* is what to send as *after*."""
    read_only()
    state = query.get("state")
    wanted = BoxFilter(query.get("wave"), state and BoxState(state), query.get("reason"))
    found = service.boxes(
        number_of(rollout_ref), wanted, after=query.get("after"), limit=query["limit"]
    )
    full = len(found) == query["limit"]
    return {
        "boxes": [schemas.box_json(box) for box in found],
        "next": found[-1].device_id if full else None,
    }


@blueprint.post("/<rollout_ref>/start")
@blueprint.arguments(schemas.Reason)
@blueprint.response(200)
@require_scope("rollouts:write")
def start(body: dict[str, Any], rollout_ref: str) -> ResponseReturnValue:
    """Freeze which boxes are covered, and begin."""
    return _do(rollout_ref, service.start, reason=body["reason"])


@blueprint.post("/<rollout_ref>/ask")
@blueprint.arguments(schemas.GivenReason)
@blueprint.response(200)
@require_scope("rollouts:write")
def ask(body: dict[str, Any], rollout_ref: str) -> ResponseReturnValue:
    """Ask a second person to approve a draft; the reason is the remark they read."""
    return _do(rollout_ref, _ask, reason=body["reason"])


@blueprint.post("/<rollout_ref>/approve")
@blueprint.arguments(schemas.Reason)
@blueprint.response(200)
@require_scope("rollouts:approve")
@steps_up
def approve(body: dict[str, Any], rollout_ref: str) -> ResponseReturnValue:
    """Let a rollout begin as the second person: not who planned it, not who asked."""
    return _do(rollout_ref, service.approve, reason=body["reason"])


@blueprint.post("/<rollout_ref>/send-back")
@blueprint.arguments(schemas.GivenReason)
@blueprint.response(200)
@require_scope("rollouts:approve")
def send_back(body: dict[str, Any], rollout_ref: str) -> ResponseReturnValue:
    """Give a plan back, with the reason, instead of approving it."""
    return _do(rollout_ref, service.send_back, reason=body["reason"])


@blueprint.post("/<rollout_ref>/waves/<int(max=1000):position>/go-on")
@blueprint.arguments(schemas.GivenReason)
@blueprint.response(200)
@require_scope("rollouts:approve")
@steps_up
def go_on(body: dict[str, Any], rollout_ref: str, position: int) -> ResponseReturnValue:
    """Let a held wave go on with the numbers it has now."""
    return _do(rollout_ref, service.go_on, reason=body["reason"], position=position)


@blueprint.post("/<rollout_ref>/waves/<int(max=1000):position>/open")
@blueprint.arguments(schemas.OpenEarly)
@blueprint.response(200)
@require_scope("rollouts:approve")
@steps_up
def open_early(body: dict[str, Any], rollout_ref: str, position: int) -> ResponseReturnValue:
    """Open the next wave before the one in front has soaked or met its gate."""
    reason, boxes = body["reason"], body["boxes"]
    return _do(rollout_ref, service.open_early, reason=reason, position=position, boxes=boxes)


@blueprint.post("/<rollout_ref>/force")
@blueprint.arguments(schemas.Force)
@blueprint.response(200)
@require_scope("rollouts:approve")
@steps_up
def force(body: dict[str, Any], rollout_ref: str) -> ResponseReturnValue:
    """Let it begin on boxes that are left alone, because they record or a case is critical."""
    return _do(rollout_ref, service.force, reason=body["reason"], boxes=body["boxes"])


@blueprint.post("/<rollout_ref>/unforce")
@blueprint.arguments(schemas.Reason)
@blueprint.response(200)
@require_scope("rollouts:write")
def unforce(body: dict[str, Any], rollout_ref: str) -> ResponseReturnValue:
    """Leave boxes alone again."""
    return _do(rollout_ref, service.unforce, reason=body["reason"])


@blueprint.get("/<rollout_ref>/signatures")
@blueprint.response(200)
@require_scope("rollouts:read")
def to_sign(rollout_ref: str) -> ResponseReturnValue:
    """Return the waves that wait for signatures of approvers, as a file to sign."""
    read_only()
    return waves.to_json(service.request_of(number_of(rollout_ref)))


@blueprint.post("/<rollout_ref>/signatures")
@blueprint.arguments(schemas.SignedWaves)
@blueprint.response(200)
@require_scope("rollouts:approve")
def sign(body: dict[str, Any], rollout_ref: str) -> ResponseReturnValue:
    """Hand in the file with signatures; a wave that has enough of them may open."""
    try:
        given = waves.from_json(body)
    except StoreError as error:
        raise BadPlanError(str(error), "waves") from error
    return _do(rollout_ref, service.add_signatures, given=given)


@blueprint.post("/<rollout_ref>/pause")
@blueprint.arguments(schemas.GivenReason)
@blueprint.response(200)
@require_scope("rollouts:write")
def pause(body: dict[str, Any], rollout_ref: str) -> ResponseReturnValue:
    """Let no further box begin until it is resumed."""
    return _do(rollout_ref, service.pause, reason=body["reason"])


@blueprint.post("/<rollout_ref>/resume")
@blueprint.arguments(schemas.Reason)
@blueprint.response(200)
@require_scope("rollouts:write")
def resume(body: dict[str, Any], rollout_ref: str) -> ResponseReturnValue:
    """Go on after a pause."""
    return _do(rollout_ref, service.resume, reason=body["reason"])


@blueprint.post("/<rollout_ref>/stop")
@blueprint.arguments(schemas.GivenReason)
@blueprint.response(200)
@require_scope("rollouts:write")
@steps_up
def stop(body: dict[str, Any], rollout_ref: str) -> ResponseReturnValue:
    """End it for good."""
    return _do(rollout_ref, service.stop, reason=body["reason"])


@blueprint.post("/<rollout_ref>/retry")
@blueprint.arguments(schemas.RetryPlan)
@blueprint.response(200)
@require_scope("rollouts:write")
def retry(body: dict[str, Any], rollout_ref: str) -> ResponseReturnValue:
    """Assign the release again to boxes that did not get it."""
    listed = body.get("device_ids")
    return _do(
        rollout_ref,
        service.retry,
        reason=body["reason"],
        device_ids=None if listed is None else [normalise_device_id(text) for text in listed],
        ended_for=body.get("ended_for"),
    )


def number_of(rollout_ref: str) -> int:
    """Return the number in ``R-7`` or ``7``.

    Raises:
        BadPlanError: It is neither.
    """
    digits = rollout_ref.upper().removeprefix("R-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 9):
        raise BadPlanError(f"{rollout_ref[:40]!r} is not the id of a rollout, such as R-7.")
    return int(digits)


def _do(rollout_ref: str, verb: Callable[..., object], **arguments: Any) -> ResponseReturnValue:
    """Run *verb*, once for each idempotency key, and return the rollout as it is now."""
    rollout_id, actor, now, once = number_of(rollout_ref), identity().actor, now_utc(), _once()
    if once is not None:
        if done_before(actor, once) is not None:
            return _shown(rollout_id)
        service.get(rollout_id)
        try:
            record_done(actor, once, rollout_id, now)
        except DoneMeanwhileError:
            return _shown(rollout_id)
    verb(rollout_id, actor=actor, now=now, **arguments)
    return _shown(rollout_id)


def _ask(rollout_id: int, *, reason: str, actor: str, now: datetime) -> object:
    return service.ask_approval(rollout_id, reason, actor=actor, now=now)


def _once() -> Once | None:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not (1 <= len(key) <= KEY_CHARS_MAX and key.isprintable()):
        raise BadPlanError(f"An Idempotency-Key has 1 to {KEY_CHARS_MAX} characters.")
    return Once.of(key, request.path.encode(), request.get_data())


def _shown(rollout_id: int) -> dict[str, Any]:
    read_only()
    rollout = service.get(rollout_id)
    missing = service.missing_signatures(rollout)
    return {
        **schemas.rollout_json(rollout),
        "evidence": shown.summary(rollout),
        "goes_back": [schemas.gone_back_json(one) for one in going_back.of(rollout_id)],
        "waves": schemas.waves_json(rollout, service.summary(rollout_id)),
        "missing_signatures": [schemas.missing_json(found) for found in missing],
        "why_failed": [schemas.failure_json(found) for found in service.why_failed(rollout_id)],
    }
