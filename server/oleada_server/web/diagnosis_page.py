"""What a person does about a box on its page: complain, check, stop, run one action, read a file.

Everything leads back to the page of the box (``device_page``), which shows what came of it.
"""

from typing import Final

from flask import Blueprint, flash, redirect, request, send_file, url_for
from flask.typing import ResponseReturnValue
from oleada_wire.ids import normalise_device_id

from oleada_server.accounts.access import identity, require_role
from oleada_server.accounts.models import Role
from oleada_server.actions import service as actions
from oleada_server.actions import uploads
from oleada_server.actions.errors import ActionNotFoundError
from oleada_server.actions.rules import Given
from oleada_server.actions.service import Wish
from oleada_server.audit import service as audit
from oleada_server.clock import now_utc
from oleada_server.db import db, read_only
from oleada_server.devices import service as devices
from oleada_server.diagnosis import checking, service
from oleada_server.errors import BadInputError, ServerError
from oleada_server.web import diagnosis_view as view
from oleada_server.web.asked_diagnosis import Asked, read
from oleada_server.web.words import gettext

ONE: Final = "/devices/<device_id>/diagnosis"

blueprint = Blueprint("diagnosis_pages", __name__)


@blueprint.get(ONE)
@require_role(Role.VIEWER)
def show(device_id: str) -> ResponseReturnValue:
    """Lead to the page of the box, where the diagnosis is now."""
    read_only()
    return _back(devices.get(normalise_device_id(device_id)).id, read(request.args), 301)


@blueprint.post(ONE)
@require_role(Role.SUPPORT)
def begin(device_id: str) -> ResponseReturnValue:
    """Note what is complained of, and begin every check that nobody can notice."""
    db.session.rollback()
    box, asked, person, now = (
        normalise_device_id(device_id),
        read(request.form),
        identity(),
        now_utc(),
    )
    service.complain(box, asked.symptom, asked.channel, actor=person.actor, now=now)
    _check(box, asked, f"complaint: {asked.symptom}")
    return _back(box, asked)


@blueprint.post(f"{ONE}/check")
@require_role(Role.SUPPORT)
def check(device_id: str) -> ResponseReturnValue:
    """Begin every check that nobody can notice and that was not begun lately.

    The page asks for it by itself when it is opened; without scripts a button does.
    """
    db.session.rollback()
    box, asked = normalise_device_id(device_id), read(request.form)
    _check(box, asked, "its page was opened")
    return _back(box, asked)


@blueprint.post(f"{ONE}/stop")
@require_role(Role.SUPPORT)
def stop(device_id: str) -> ResponseReturnValue:
    """Tell the box to end every action that waits or runs; checks rest for a while then."""
    box, person, now = normalise_device_id(device_id), identity(), now_utc()
    db.session.rollback()
    ended = checking.stop(devices.get(box).id, person, now)
    flash(view.stopped_word(len(ended)))
    return _back(box, read(request.form))


@blueprint.post(f"{ONE}/run")
@require_role(Role.SUPPORT)
def run(device_id: str) -> ResponseReturnValue:
    """Order one action; with consent when the subscriber has agreed."""
    box, asked, now = normalise_device_id(device_id), read(request.form), now_utc()
    name = request.form.get("action", "")
    if name not in [tool.name for _, tools in view.by_risk() for tool in tools if not tool.by_form]:
        raise BadInputError(gettext("This page does not offer that action."), "action")
    given = Given.VIEWER if request.form.get("consent") else Given.NONE
    wish = Wish(box, name, checking.arguments_of(name), f"complaint: {asked.symptom}", given)
    try:
        actions.order(wish, identity(), now)
    except ServerError as error:
        if error.code not in {"consent-missing", "action-denied", "action-not-known"}:
            raise
        db.session.rollback()
        flash(_said(error))
    return _back(box, asked)


@blueprint.post(f"{ONE}/cancel/<order_id>")
@require_role(Role.SUPPORT)
def cancel(device_id: str, order_id: str) -> ResponseReturnValue:
    """Tell the box to end an action."""
    actions.cancel(order_id, identity(), now_utc())
    return _back(normalise_device_id(device_id), read(request.form))


@blueprint.get(f"{ONE}/files/<order_id>/<name>")
@require_role(Role.SUPPORT)
def file(device_id: str, order_id: str, name: str) -> ResponseReturnValue:
    """Hand out a file that this box has uploaded; who reads it is written down."""
    db.session.rollback()
    box = normalise_device_id(device_id)
    if actions.get(order_id).device_id != box:
        raise ActionNotFoundError(f"action {order_id} of this box")
    path = uploads.path_of(order_id, name)
    after = {"id": order_id, "name": name}
    audit.record(identity().actor, "device.file-read", f"device:{box}", now=now_utc(), after=after)
    db.session.commit()
    return send_file(path, "application/octet-stream", as_attachment=True, download_name=name)


def _check(device_id: str, asked: Asked, reason: str) -> None:
    now = now_utc()
    verdict = service.diagnose(device_id, asked.symptom, asked.answers, now, asked.channel)
    checking.begin(device_id, checking.safe_checks(verdict), reason, identity(), now)


def _said(error: ServerError) -> str:
    if error.code == "consent-missing":
        return gettext("Somebody may be watching. Ask the subscriber, then tick that they agreed.")
    if error.code == "action-denied":
        return gettext("This box does that for nobody; its own settings say so.")
    return gettext("The agent of this box is too old for that. Update the box first.")


def _back(device_id: str, asked: Asked, code: int = 303) -> ResponseReturnValue:
    return redirect(url_for("device_page.show", device_id=device_id, **asked.args()), code)
