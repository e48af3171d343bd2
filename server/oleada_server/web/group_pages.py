"""Groups of boxes: what there is, who is in it, and making, changing and removing one."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from oleada_wire.ids import normalise_device_id

from oleada_server.accounts.access import identity, require_role
from oleada_server.accounts.models import Role
from oleada_server.audit import service as audit
from oleada_server.clock import now_utc
from oleada_server.db import db, read_only
from oleada_server.errors import ServerError
from oleada_server.rollouts import groups
from oleada_server.rollouts.cover import Where, parse_cover
from oleada_server.rollouts.errors import BadPlanError, GroupInUseError, GroupThereError
from oleada_server.web import activity, words
from oleada_server.web.words import gettext

CHARS_MAX = 400_000  # of a list of boxes: ten thousand with their line ends
SHOWN = 100
ACTIVITY_SHOWN = 8

blueprint = Blueprint("group_pages", __name__)


@blueprint.get("/groups")
@require_role(Role.VIEWER)
def index() -> ResponseReturnValue:
    """List the groups with how many boxes each has, and offer to make one."""
    read_only()
    return _index()


@blueprint.get("/groups/<name>")
@require_role(Role.VIEWER)
def show(name: str) -> ResponseReturnValue:
    """Show one group: its rule or its boxes, and what was done with it."""
    read_only()
    return _show(name)


@blueprint.post("/groups")
@require_role(Role.OPERATOR)
def make() -> ResponseReturnValue:
    """Make a group: empty, or by a rule."""
    form = request.form
    name = form.get("name", "").strip()
    try:
        rule = _rule(form.get("rule", "").strip()[:2000])
        db.session.rollback()
        groups.create(
            name, note=form.get("note", "").strip(), rule=rule, actor=identity().actor,
            now=now_utc(),
        )  # fmt: skip
    except (BadPlanError, GroupThereError) as error:
        read_only()
        return _index(error), error.status
    flash(gettext("Group %(name)s is made.", name=name))
    return redirect(url_for("group_pages.show", name=name), 303)


@blueprint.post("/groups/<name>")
@require_role(Role.OPERATOR)
def change(name: str) -> ResponseReturnValue:
    """Put boxes in, or take boxes out."""
    ids = [normalise_device_id(one) for one in request.form.get("boxes", "")[:CHARS_MAX].split()]
    added = {"add": ids, "remove": []}
    if request.form.get("do") == "remove":
        added = {"add": [], "remove": ids}
    try:
        db.session.rollback()
        if not ids:
            raise BadPlanError(gettext("List at least one box, one id a line."), "boxes")
        groups.change(name, **added, actor=identity().actor, now=now_utc())
    except BadPlanError as error:
        read_only()
        return _show(name, error), error.status
    flash(gettext("Group %(name)s is changed.", name=name))
    return redirect(url_for("group_pages.show", name=name), 303)


@blueprint.post("/groups/<name>/remove")
@require_role(Role.OPERATOR)
def remove(name: str) -> ResponseReturnValue:
    """Remove a group; its boxes stay as they are."""
    db.session.rollback()
    try:
        groups.remove(name, actor=identity().actor, now=now_utc())
    except GroupInUseError as error:
        read_only()
        return _show(name, error), error.status
    flash(gettext("Group %(name)s is removed.", name=name))
    return redirect(url_for("group_pages.index"), 303)


def rule_words(rule: Where | None) -> str:
    """Return *rule* as a sentence; that boxes are listed where there is none."""
    if rule is None:
        return gettext("boxes that are listed")
    region, version, zone, can = (
        ", ".join(values) for values in (rule.region, rule.version, rule.zone, rule.provides)
    )
    parts = [
        region and gettext("region is %(values)s", values=region),
        version and gettext("version is %(values)s", values=version),
        zone and gettext("time zone is %(values)s", values=zone),
        can and gettext("can do %(values)s", values=can),
        rule.version_min and gettext("version is %(value)s or newer", value=rule.version_min),
        rule.version_max and gettext("version is %(value)s or older", value=rule.version_max),
    ]
    return "; ".join(part for part in parts if part)


def _rule(text: str) -> Where | None:
    if not text:
        return None
    found = parse_cover(text)
    if found.where is None or found.count is not None:
        raise BadPlanError(gettext("A rule names attributes, such as region=Brno."), "rule")
    return found.where


def _index(error: ServerError | None = None) -> str:
    found = groups.list_groups()
    return render_template(
        "groups/index.html",
        nav="devices",
        groups=[(group, rule_words(group.rule), groups.boxes_in(group)) for group in found],
        error=error,
        typed=request.form,
    )


def _show(name: str, error: ServerError | None = None) -> str:
    group = groups.get(name)
    return render_template(
        "groups/show.html",
        nav="devices",
        group=group,
        rule=rule_words(group.rule),
        boxes=groups.boxes_in(group),
        members=groups.members(name, limit=SHOWN),
        shown=SHOWN,
        used_by=groups.used_by(name),
        events=audit.events_about(f"group:{name}", ACTIVITY_SHOWN),
        actor=activity.actor,
        deed_word=activity.deed_word,
        moment=words.moment,
        error=error,
        typed=request.form,
    )
