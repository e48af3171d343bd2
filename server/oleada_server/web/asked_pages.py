"""What waits for a second person: roles, second factors, signing keys, many boxes."""

from dataclasses import dataclass

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup
from oleada_wire.ids import group_device_id

from oleada_server.accounts import second_person
from oleada_server.accounts.access import identity, require_role, steps_up
from oleada_server.accounts.models import AskedDeed, Role
from oleada_server.clock import now_utc
from oleada_server.db import read_only
from oleada_server.web import activity, diagnosis_view, status
from oleada_server.web.words import gettext, say, say_n

BOXES_SHOWN = 12

blueprint = Blueprint("asked_pages", __name__)


@dataclass(frozen=True, slots=True)
class Line:
    """A deed that waits: what it is in words, and what the person who looks may do."""

    deed: AskedDeed
    what: Markup
    may_decide: bool
    is_own: bool
    details: tuple[str, ...] = ()


@blueprint.get("/asked")
@require_role(Role.VIEWER)
def index() -> ResponseReturnValue:
    """List what waits for a second person, oldest first."""
    read_only()
    now = now_utc()
    return render_template(
        "asked/index.html",
        nav="users",
        lines=[_line(deed) for deed in second_person.waiting(now)],
        lives=second_person.LIVES,
        actor=activity.actor,
    )


@blueprint.post("/asked/<int(max=2147483647):deed_id>/<any(confirm, decline):verb>")
@require_role(Role.VIEWER)
@steps_up
def decide(deed_id: int, verb: str) -> ResponseReturnValue:
    """Confirm what somebody else asked for, or decline it; the deed says which role it takes."""
    second_person.decide(deed_id, identity(), confirm=verb == "confirm", now=now_utc())
    flash(gettext("Confirmed.") if verb == "confirm" else gettext("Declined."))
    return redirect(url_for("asked_pages.index"), 303)


def _line(deed: AskedDeed) -> Line:
    person = identity()
    return Line(
        deed,
        _what(deed),
        person.may(second_person.doer_of(deed.action).NEEDS),
        deed.asked_by == person.actor,
        tuple(deed.body.get("device_ids", "").split()[:BOXES_SHOWN]),
    )


def _what(deed: AskedDeed) -> Markup:
    who, body = activity.actor(deed.asked_by), deed.body
    match deed.action:
        case "user.role":
            return say(
                "%(who)s asks: %(name)s becomes %(role)s, now %(before)s",
                who=who, name=body["name"], role=status.role(body["role"]),
                before=status.role(body["before"]),
            )  # fmt: skip
        case "factor.reset":
            return say("%(who)s asks: reset the second factors of %(name)s",
                       who=who, name=body["name"])  # fmt: skip
        case "key.owner":
            owner = body["user"] or gettext("nobody")
            return say("%(who)s asks: key %(key)s belongs to %(owner)s",
                       who=who, key=body["key_id"][:16], owner=owner)  # fmt: skip
        case "device.act":
            return say("%(who)s asks: %(action)s of box %(id)s", who=who,
                       action=diagnosis_view.action_title(body["action"]),
                       id=group_device_id(body["device_id"]))  # fmt: skip
        case _:
            count = len(body["device_ids"].split())
            return say_n("%(who)s asks: revoke %(n)s box", "%(who)s asks: revoke %(n)s boxes",
                         count, who=who)  # fmt: skip
