"""The page that says why a box gets a release, or why not: each rule and the way out."""

from dataclasses import dataclass

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue
from oleada_wire.ids import normalise_device_id

from oleada_server.accounts.access import require_role
from oleada_server.accounts.models import Role
from oleada_server.clock import now_utc
from oleada_server.db import read_only
from oleada_server.devices import service as devices
from oleada_server.errors import NotFoundError
from oleada_server.rollouts import why
from oleada_server.rollouts.errors import BadPlanError
from oleada_server.rollouts.explain import Explanation, Rule, RuleName
from oleada_server.web import why_values, words
from oleada_server.web.device_list import number_in
from oleada_server.web.words import gettext

blueprint = Blueprint("why_pages", __name__)


@dataclass(frozen=True, slots=True)
class Line:
    """One rule in the reader's words; *change* is empty where it holds."""

    passed: bool
    name: str
    seen: str
    wanted: str
    change: str


@blueprint.get("/devices/why")
@require_role(Role.VIEWER)
def ask() -> ResponseReturnValue:
    """Show why the box whose id was typed gets what a rollout brings, or why not."""
    typed = request.args.get("box", "")[:60]
    return _page(normalise_device_id(typed), typed)


@blueprint.get("/devices/<device_id>/why")
@require_role(Role.VIEWER)
def show(device_id: str) -> ResponseReturnValue:
    """Show why the box gets the newest release of its model, one of them, or a rollout's."""
    return _page(device_id, device_id)


def _page(device_id: str, typed: str) -> ResponseReturnValue:
    read_only()
    version = request.args.get("version", "")[:40] or None
    ref = request.args.get("rollout", "").strip().upper()[:20]
    rollout_id = number_in(ref.removeprefix("R-"))
    found, wrong, device, status = None, "", None, 200
    try:
        device = devices.get(device_id)
        if ref and rollout_id is None:
            raise BadPlanError(gettext("“%(typed)s” is no rollout, such as R-7.", typed=ref))
        if rollout_id is not None:
            found = why.of_rollout(device.id, rollout_id, now_utc())
        else:
            found, version = why.of_release(device.id, version, now_utc())
    except (NotFoundError, BadPlanError) as error:
        wrong, status = str(error), error.status
    lines = [] if found is None else [_line(rule) for rule in found.rules]
    page = render_template(
        "devices/why.html",
        nav="devices",
        device=device,
        typed=typed,
        about=version or "" if rollout_id is None else f"R-{rollout_id}",
        rollout_id=rollout_id,
        lines=lines,
        failed=sum(not line.passed for line in lines),
        begins=_begins(found),
        wrong=wrong,
    )
    return page, status


def _begins(found: Explanation | None) -> str:
    if found is None or found.begins_at is None:
        return ""
    return words.moment(found.begins_at)


def _line(rule: Rule) -> Line:
    change = "" if rule.passed else _change(rule)
    seen, wanted = why_values.spelt(rule.seen), why_values.spelt(rule.wanted)
    return Line(rule.passed, _name(rule.name), seen, wanted, change)


def _name(name: RuleName) -> str:
    """Return what people call the rule *name*."""
    return {
        RuleName.REVOKED: gettext("It is not revoked"),
        RuleName.HEARD: gettext("It has said what it runs"),
        RuleName.PUBLISHED: gettext("The release is published"),
        RuleName.OTHER_VERSION: gettext("It runs another version"),
        RuleName.NOT_NEWER: gettext("It runs nothing newer"),
        RuleName.SECURITY_FLOOR: gettext("The security version is high enough"),
        RuleName.MINIMUM_VERSION: gettext("Its version is not too old"),
        RuleName.MUST_PASS: gettext("It skips no version that it must go through"),
        RuleName.DEPENDS: gettext("It can do what the release needs"),
        RuleName.PRECEDENCE: gettext("No other rollout has it"),
        RuleName.PLANNED: gettext("There is a rollout"),
        RuleName.ROLLOUT_STATE: gettext("The rollout runs"),
        RuleName.WAVE: gettext("A wave takes it"),
        RuleName.SIGNED: gettext("Approvers have signed the wave"),
        RuleName.WAVE_STATE: gettext("The wave is open"),
        RuleName.BOX_STATE: gettext("It is not done yet"),
        RuleName.CONTACT: gettext("It was heard lately"),
        RuleName.TIME: gettext("It is time to begin"),
        RuleName.LEFT_ALONE: gettext("It is not left alone"),
        RuleName.IN_FLIGHT: gettext("There is room for one more at work"),
        RuleName.SLOW_START: gettext("The evidence lets one more be at work"),
        RuleName.RATE: gettext("The rate lets one more begin"),
        RuleName.REGION: gettext("There is room in its region"),
        RuleName.BANDWIDTH: gettext("There is bandwidth for one more"),
        RuleName.REGION_BANDWIDTH: gettext("There is bandwidth in its region"),
    }[name]


def _change(rule: Rule) -> str:
    """Return what would let the box pass *rule*."""
    seen, wanted = why_values.spelt(rule.seen), why_values.spelt(rule.wanted)
    room = gettext("Another box has to finish; the limit is %(wanted)s.", wanted=wanted)
    return {
        RuleName.REVOKED: gettext("A new claim token makes it one of ours again."),
        RuleName.HEARD: gettext("It has to say hello once."),
        RuleName.PUBLISHED: gettext("Publish what should go out as another version."),
        RuleName.OTHER_VERSION: gettext("Nothing: it runs the release already."),
        RuleName.NOT_NEWER: gettext("Nothing: no rollout sends a box back."),
        RuleName.SECURITY_FLOOR: gettext(
            "Sign the content again with security version %(wanted)s or higher.", wanted=wanted
        ),
        RuleName.MINIMUM_VERSION: gettext("Bring it to %(wanted)s first.", wanted=wanted),
        RuleName.MUST_PASS: gettext("Bring it to %(wanted)s first.", wanted=wanted),
        RuleName.DEPENDS: gettext("Only a box that can do %(wanted)s takes it.", wanted=wanted),
        RuleName.PRECEDENCE: gettext("It is free when %(seen)s ends.", seen=seen),
        RuleName.PLANNED: gettext("Plan a rollout of it."),
        RuleName.ROLLOUT_STATE: gettext("The rollout has to run."),
        RuleName.WAVE: gettext("Plan a rollout with a wave that takes it."),
        RuleName.SIGNED: gettext("Enough wave approvers have to sign it."),
        RuleName.WAVE_STATE: gettext("The waves in front of it have to pass."),
        RuleName.BOX_STATE: gettext(
            "Nothing, if it is updated; else retry it: its attempts are over."
        ),
        RuleName.CONTACT: gettext("It has to be switched on and in contact again."),
        RuleName.TIME: gettext("Wait: it may begin %(wanted)s.", wanted=wanted),
        RuleName.LEFT_ALONE: gettext("Wait until that is over, or force the rollout."),
        RuleName.IN_FLIGHT: room,
        RuleName.SLOW_START: gettext("A box at work has to prove good: each lets one more begin."),
        RuleName.RATE: gettext("Wait a minute: the rate is %(wanted)s a minute.", wanted=wanted),
        RuleName.REGION: room,
        RuleName.BANDWIDTH: room,
        RuleName.REGION_BANDWIDTH: room,
    }[rule.name]
