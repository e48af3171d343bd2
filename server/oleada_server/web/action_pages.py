"""The page of one action of one box: its form by the schema, what it does, who must agree.

What is refused is said at its field and stays as it was typed; a PIN is never shown again.
Factory reset wants the end of the serial typed, a fresh second factor, and another person or
the subscriber's PIN.
"""

from datetime import datetime
from typing import Any, Final

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from oleada_wire.actions import Action
from oleada_wire.ids import normalise_device_id

from oleada_server.accounts.access import demand_fresh, identity, require_role
from oleada_server.accounts.models import Role
from oleada_server.accounts.rights import SCOPES, Identity
from oleada_server.actions import rules
from oleada_server.actions import service as actions
from oleada_server.actions.errors import PinTriesError
from oleada_server.actions.rules import Given
from oleada_server.actions.service import Wish
from oleada_server.clock import now_utc
from oleada_server.db import db, read_only
from oleada_server.devices import service as devices
from oleada_server.devices.models import Device
from oleada_server.errors import BadInputError, ServerError
from oleada_server.web import action_form, action_words, asked_diagnosis, diagnosis_view
from oleada_server.web.words import gettext

ONE: Final = "/devices/<device_id>/do/<action>"
CONFIRM_CHARS: Final = 4
"""The last characters of the serial, as for a revocation."""
SHOWN: Final = frozenset(
    {"bad-action", "bad-input", "consent-missing", "action-denied", "action-not-known",
     "too-many-actions", PinTriesError.code}
)  # fmt: skip
"""Refusals that are said on the form; anything else is a page of its own."""

blueprint = Blueprint("action_pages", __name__)


@blueprint.get(ONE)
@require_role(Role.SUPPORT)
def ask(device_id: str, action: str) -> ResponseReturnValue:
    """Show what an action does, and the form that orders it."""
    read_only()
    return _page(devices.get(normalise_device_id(device_id)), rules.known(action))


@blueprint.post(ONE)
@require_role(Role.SUPPORT)
def order(device_id: str, action: str) -> ResponseReturnValue:
    """Order the action as its form says; what is refused is said at its field."""
    read_only()
    known, person = rules.known(action), identity()
    device = devices.get(normalise_device_id(device_id))
    if action_form.destroys(known):
        demand_fresh()
    asked = asked_diagnosis.read(request.form)
    try:
        _demand_confirmed(known, device)
        found = actions.order(_wish(known, device.id), person, now_utc())
    except ServerError as error:
        if error.code not in SHOWN:
            raise
        db.session.rollback()
        return _page(devices.get(device.id), known, error), error.status
    if isinstance(found, int):
        flash(gettext("It waits for a second person, under Users, as number %(n)s.", n=found))
    return redirect(url_for("device_page.show", device_id=device.id, **asked.args()), 303)


def _wish(action: Action, device_id: str) -> Wish:
    given = Given.VIEWER if request.form.get("consent") else Given.NONE
    arguments = action_form.arguments_in(action, request.form)
    return Wish(device_id, action.name, arguments, request.form.get("reason", ""), given)


def _demand_confirmed(action: Action, device: Device) -> None:
    wanted = device.serial[-CONFIRM_CHARS:]
    if action_form.destroys(action) and request.form.get("confirm", "").strip() != wanted:
        text = gettext("Type %(wanted)s to confirm.", wanted=wanted)
        raise BadInputError(text, "confirm")


def _page(device: Device, action: Action, error: ServerError | None = None) -> str:
    typed = request.form if request.method == "POST" else None
    asked = asked_diagnosis.read(request.values)
    wrong = error.field if isinstance(error, BadInputError) else None
    why = _why(error)
    fields = action_form.fields_of(action, typed, wrong, why)
    shown: dict[str, Any] = {
        "device": device, "action": action, "title": diagnosis_view.action_title(action.name),
        "summary": action_words.summary_of(action),
        "asked": asked, "fields": fields, "wrong_field": wrong, "why": why,
        "reason": request.form.get("reason", f"complaint: {asked.symptom}")[:200],
        "consent": bool(request.form.get("consent")), "wanted": device.serial[-CONFIRM_CHARS:],
        "needs_consent": action_form.needs_consent(action),
        "destroys": action_form.destroys(action),
        "reason_chars_max": rules.REASON_CHARS_MAX,
    }  # fmt: skip
    return render_template(
        "devices/do.html", nav="devices", **shown, **_facts(device, action, identity(), now_utc())
    )


def _facts(device: Device, action: Action, person: Identity, now: datetime) -> dict[str, Any]:
    """Return what stands in the way already, before anything is typed."""
    facts = actions.facts_of(device, now)
    needed = SCOPES[rules.SCOPES[action.risk]]
    return {
        "standby": facts.is_standby,
        "is_denied": action.name in facts.denied,
        "is_too_old": not facts.reads_actions and action.name not in rules.OF_EVERY_AGENT,
        "needs_role": None if person.may(needed) else needed,
    }


def _why(error: ServerError | None) -> str:
    if error is None:
        return ""
    if error.code == "consent-missing":
        return gettext("Somebody may be watching. Ask the subscriber, then tick that they agreed.")
    if error.code == PinTriesError.code:
        return gettext("Too many wrong PINs today. Leave the PIN empty: a second person confirms.")
    return str(error)
