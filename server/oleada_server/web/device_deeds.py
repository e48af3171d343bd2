"""What a person does to one box by its page: revoke it."""

from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from oleada_wire.ids import group_device_id, normalise_device_id

from oleada_server.accounts.access import identity, require_role, steps_up
from oleada_server.accounts.models import Role
from oleada_server.clock import now_utc
from oleada_server.db import db, read_only
from oleada_server.devices import service as devices
from oleada_server.enrolment import mass_revocation, revocations
from oleada_server.errors import BadInputError
from oleada_server.web.words import gettext

CONFIRM_CHARS: int = 4
"""The last characters of the serial: printed on the box, and enough not to hit another one."""

blueprint = Blueprint("device_deeds", __name__)


@blueprint.get("/devices/<device_id>/revoke")
@require_role(Role.DEVICE_CA_ADMIN)
def ask(device_id: str) -> ResponseReturnValue:
    """Show what a revocation does, and the form that does it."""
    read_only()
    return render_template("devices/revoke.html", **_page(device_id))


@blueprint.post("/devices/<device_id>/revoke")
@require_role(Role.DEVICE_CA_ADMIN)
@steps_up
def revoke(device_id: str) -> ResponseReturnValue:
    """Revoke a box, for a reason and with the end of its serial typed."""
    read_only()
    page = _page(device_id)
    error = _missing(page["reason"], page["wanted"], page["confirm"])
    if error is not None:
        return render_template("devices/revoke.html", **{**page, "error": error}), 400
    db.session.rollback()
    person, now = identity(), now_utc()
    mass_revocation.demand_few(person, now)
    done = revocations.revoke(page["device"].id, page["reason"], actor=person.actor, now=now)
    flash(gettext("%(id)s is revoked: nothing it says is heard.", id=group_device_id(done.id)))
    return redirect(url_for("device_page.show", device_id=done.id), 303)


def _page(device_id: str) -> dict[str, Any]:
    device = devices.get(normalise_device_id(device_id))
    return {
        "nav": "devices",
        "device": device,
        "wanted": device.serial[-CONFIRM_CHARS:],
        "reason": request.form.get("reason", "").strip()[: revocations.REASON_CHARS_MAX],
        "confirm": request.form.get("confirm", ""),
        "error": None,
    }


def _missing(reason: str, wanted: str, typed: str) -> BadInputError | None:
    if not reason:
        return BadInputError(gettext("A reason is missing; it is kept."), "reason")
    if typed.strip() != wanted:
        text = gettext("Type %(wanted)s to confirm; you wrote “%(typed)s”.",
                       wanted=wanted, typed=typed.strip()[:40])  # fmt: skip
        return BadInputError(text, "confirm")
    return None
