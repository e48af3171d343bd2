"""Firmware: the list, the page of one release, publishing and withdrawing.

A bundle goes from the browser into the store as it arrives; nothing of it is kept
before its signatures were judged, and memory stays flat however large it is.
"""

from typing import Any, Final

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from oleada_server.accounts import forgery
from oleada_server.accounts.access import identity, require_role, steps_up
from oleada_server.accounts.models import Role
from oleada_server.audit import service as audit
from oleada_server.clock import now_utc
from oleada_server.db import db, read_only
from oleada_server.devices import counts
from oleada_server.errors import BadInputError, ConflictError, ServerError
from oleada_server.releases import keys, service
from oleada_server.releases.errors import NoRoomError
from oleada_server.releases.models import Release
from oleada_server.rollouts import service as rollouts
from oleada_server.web import activity, conflict, firmware_view, multipart, status
from oleada_server.web.parts import Parts
from oleada_server.web.words import gettext

ROLLOUTS_LOOKED_AT: Final = 100
ACTIVITY_SHOWN: Final = 8
REASON_CHARS_MAX: Final = 500

blueprint = Blueprint("firmware_pages", __name__)


@blueprint.get("/releases")
@require_role(Role.VIEWER)
def index() -> ResponseReturnValue:
    """List the releases by model, newest version first."""
    read_only()
    return _index()


@blueprint.get("/releases/<hardware_model>/<version>")
@require_role(Role.VIEWER)
def show(hardware_model: str, version: str) -> ResponseReturnValue:
    """Show one release: who signed it, what it is, where it runs."""
    read_only()
    return render_template("firmware/show.html", **_page(hardware_model, version))


@blueprint.post("/releases")
@require_role(Role.RELEASE_SIGNER)
@forgery.checks_by_itself
def publish() -> ResponseReturnValue:
    """Publish the bundle that the form carries; a refusal says why, in words."""
    request.max_content_length = None  # bounded by the image size that is signed
    form = multipart.FormWithFile(request)
    try:
        forgery.demand_token(form.fields.get("csrf_token", ""))
        if not form.file_name:
            raise BadInputError(gettext("Choose a bundle first."), "bundle")
        found = service.publish(form, identity().actor, now_utc())
        target = firmware_view.address(found)
        version, model = found.version, found.hardware_model
    except (BadInputError, ConflictError, NoRoomError) as error:
        form.drain()
        read_only()
        return _index(error), error.status
    flash(gettext("%(version)s for %(model)s is published.", version=version, model=model))
    return redirect(target, 303)


@blueprint.post("/releases/check")
@require_role(Role.RELEASE_SIGNER)
def check() -> ResponseReturnValue:
    """Say what the beginning of a bundle would publish, before the rest is sent."""
    sent = request.files.get("bundle")
    try:
        if sent is None:
            raise BadInputError(gettext("Choose a bundle first."), "bundle")
        judged = service.check(sent.stream, now_utc())
    except (BadInputError, ConflictError) as error:
        return render_template("firmware/_said.html", error=error,
                               refusal=firmware_view.refusal), error.status  # fmt: skip
    rule = keys.rule_of(judged.release.info.hardware_models[0])
    page = render_template(
        "firmware/_said.html",
        error=None,
        judged=judged,
        rule=rule,
        note=firmware_view.note(judged.release.info.notes),
    )
    db.session.rollback()
    return page


@blueprint.get("/releases/<hardware_model>/<version>/withdraw")
@require_role(Role.RELEASE_SIGNER)
def ask(hardware_model: str, version: str) -> ResponseReturnValue:
    """Show what a withdrawal does and the form that does it."""
    read_only()
    return render_template("firmware/withdraw.html", **_page(hardware_model, version))


@blueprint.post("/releases/<hardware_model>/<version>/withdraw")
@require_role(Role.RELEASE_SIGNER)
@steps_up
def withdraw(hardware_model: str, version: str) -> ResponseReturnValue:
    """Withdraw a release, for a reason and with its version typed."""
    reason = request.form.get("reason", "").strip()[:REASON_CHARS_MAX]
    read_only()
    page = _page(hardware_model, version)
    if changes := conflict.sent(page["object_ref"], now_utc()):
        page |= {"changes": changes}
        return render_template("firmware/withdraw.html", **page), 409
    error = _missing(reason, version)
    if error is not None:
        return render_template("firmware/withdraw.html", **{**page, "error": error}), 400
    db.session.rollback()
    service.withdraw(hardware_model, version, reason, identity().actor, now_utc())
    flash(gettext("%(version)s is withdrawn: no box installs it any more.", version=version))
    target = url_for("firmware_pages.show", hardware_model=hardware_model, version=version)
    return redirect(target, 303)


def _missing(reason: str, version: str) -> BadInputError | None:
    if not reason:
        return BadInputError(gettext("A reason is missing; it is kept."), "reason")
    typed = request.form.get("confirm", "").strip()
    if typed != version:
        text = gettext("Type %(wanted)s to confirm; you wrote “%(typed)s”.",
                       wanted=version, typed=typed[:40])  # fmt: skip
        return BadInputError(text, "confirm")
    return None


def _index(error: ServerError | None = None) -> str:
    groups = counts.fleet(now_utc())
    boxes = {(group.hardware_model, group.version): group.boxes for group in groups}
    return render_template(
        "firmware/index.html",
        nav="firmware",
        rows=firmware_view.rows(service.list_releases(), boxes),
        error=error,
        refusal=firmware_view.refusal,
    )


def _page(hardware_model: str, version: str) -> dict[str, Any]:
    release = service.get(hardware_model, version)
    rule = keys.rule_of(hardware_model)
    reading = Parts("firmware/parts", titles())
    page = reading.read(("where",), lambda: _where(release))
    page |= reading.read(("rollouts",), lambda: _rollouts(release))
    page |= reading.read(("activity",), lambda: _activity(release))
    return page | {
        "reading": reading,
        "nav": "firmware",
        "release": release,
        "state": firmware_view.state_of(release),
        "rule": rule,
        "keys": firmware_view.keys(release, rule),
        "note": firmware_view.note(release.notes),
        "object_ref": release.target_path,
        "actor": activity.actor,
        "deed_word": activity.deed_word,
        "status": status,
        "error": None,
        "changes": (),
        "confirm": request.form.get("confirm", ""),
        "reason": request.form.get("reason", ""),
    }


def titles() -> dict[str, str]:
    """Return what the parts of a release's page are called that may fail alone."""
    return {
        "where": gettext("Where it runs"),
        "rollouts": gettext("Rollouts of it"),
        "activity": gettext("Activity"),
    }


def _where(release: Release) -> dict[str, Any]:
    versions = counts.versions_of(release.hardware_model)
    return {"boxes": versions.get(release.version, 0), "fleet": sum(versions.values())}


def _rollouts(release: Release) -> dict[str, Any]:
    found = rollouts.list_rollouts(limit=ROLLOUTS_LOOKED_AT)
    return {"rollouts": firmware_view.of_release(release, found)}


def _activity(release: Release) -> dict[str, Any]:
    events = audit.events_about(release.target_path, ACTIVITY_SHOWN)
    return {"events": events, "seen": events[0].id if events else 0}
