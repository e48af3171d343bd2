"""The page that plans a rollout: four short steps, and beside them what it would do.

Each button works without JavaScript; with it the preview follows every change. What is
stored is what the preview showed: the plan must have the digest that was shown, and is
stored with the salt that chose those boxes.
"""

import secrets
from collections.abc import Sequence
from dataclasses import replace

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from oleada_server.accounts.access import identity, require_role
from oleada_server.accounts.models import Role
from oleada_server.clock import now_utc
from oleada_server.db import db, read_only
from oleada_server.devices import service as devices
from oleada_server.releases import service as releases
from oleada_server.releases.models import Release, ReleaseState
from oleada_server.rollouts import approvals, service
from oleada_server.rollouts.once import Once
from oleada_server.rollouts.states import RolloutState
from oleada_server.web import kept_forms, plan_form, plan_judging, plan_view
from oleada_server.web.device_list import number_in
from oleada_server.web.plan_form import PlanForm, Wrong
from oleada_server.web.plan_view import Shown
from oleada_server.web.words import choose_zone, gettext

blueprint = Blueprint("plan_pages", __name__)


@blueprint.get("/rollouts/new")
@require_role(Role.OPERATOR)
def new() -> ResponseReturnValue:
    """Show the form: as an earlier rollout was planned, or with the usual waves."""
    read_only()
    published = _published()
    form = PlanForm(once=secrets.token_hex(8))
    model = ""
    before = number_in(request.args.get("from", "").upper().removeprefix("R-"))
    if before is not None:
        rollout = service.get(before)
        model = rollout.release.hardware_model
        form = replace(plan_form.like(rollout, service.spec_of(rollout)), once=form.once)
    typed = kept_forms.typed_again()
    if typed is not None:  # as it was when the session ended, with as many waves
        form = plan_form.read(typed)
        return _page(form, _shown(form), published, before=before)
    wanted = request.args.get("release", "")
    form = replace(form, release=_chosen(published, wanted, model))
    return _page(form, _shown(form), published, before=before)


@blueprint.post("/rollouts/new/preview")
@require_role(Role.OPERATOR)
def preview() -> ResponseReturnValue:
    """Return the preview alone, for a page that follows every change."""
    read_only()
    form = plan_form.read(request.form)
    page = {"form": form, "shown": _shown(form)}
    return render_template("rollouts/plan/_preview.html", **page)


@blueprint.post("/rollouts/new")
@require_role(Role.OPERATOR)
def change_or_store() -> ResponseReturnValue:
    """Do what the pressed button says: change the waves, look again, or store the plan."""
    read_only()
    form, deed = plan_form.read(request.form), request.form.get("do", "")
    verb, _, argument = deed.partition(":")
    match verb:
        case "template":
            form = form.with_template(argument)
        case "add":
            form = form.with_wave()
        case "remove":
            number = number_in(argument)
            form = form if number is None else form.without_wave(number)
        case "ask" | "draft":
            return _store(form, is_asked=verb == "ask")
        case _:
            pass  # look again
    return _page(form, _shown(form), _published())


def _store(form: PlanForm, *, is_asked: bool) -> ResponseReturnValue:
    shown = _shown(form, keep_salt=True)
    found = list(shown.wrong)
    if not found and form.shown != shown.digest:
        shown = _shown(form)
        found.append(
            Wrong("preview", gettext("The plan was changed after this preview was made. Look at "
                                     "the new one, then ask again."))
        )  # fmt: skip
    if is_asked and not form.remark:
        found.append(Wrong("reason", gettext("A remark is missing; the approver reads it.")))
    if found:
        return _page(form, shown, _published(), wrong=found), 400
    db.session.rollback()
    actor, now = identity().actor, now_utc()
    spec = replace(plan_form.spec_of(form, now, choose_zone()), salt=form.salt)
    key = f"plan-{form.once[:32]}-{shown.digest}"
    rollout_id = service.create(
        spec, actor=actor, now=now, once=Once.of(key, key.encode()), in_console=True
    )
    if is_asked and service.get(rollout_id).state == RolloutState.DRAFT:
        service.ask_approval(rollout_id, form.remark, actor=actor, now=now)
    ref = f"R-{rollout_id}"
    flash(
        gettext("Rollout %(ref)s awaits approval by a second person.", ref=ref)
        if is_asked
        else gettext("Rollout %(ref)s is planned; nothing is sent yet.", ref=ref)
    )
    return redirect(url_for("rollout_pages.show", rollout_id=rollout_id), 303)


def _shown(form: PlanForm, *, keep_salt: bool = False) -> Shown:
    return plan_view.show(form, now_utc(), choose_zone(), keep_salt=keep_salt)


def _page(
    form: PlanForm,
    shown: Shown,
    published: Sequence[Release],
    *,
    wrong: Sequence[Wrong] = (),
    before: int | None = None,
) -> str:
    return render_template(
        "rollouts/new.html",
        nav="rollouts",
        form=form,
        shown=shown,
        published=published,
        boxes_of=devices.model_counts(),
        wrong=list(wrong),
        judging_labels=plan_judging.labels(),
        wrong_fields={one.field for one in [*wrong, *shown.wrong]},
        before=before,
        needs_approval=approvals.is_wanted(in_console=True),
        templates=[
            ("careful", gettext("Careful"), gettext("1, 5, 25, 100 %, 48 h each")),
            ("usual", gettext("Usual"), gettext("5, 25, 100 %, 24 h each")),
            ("once", gettext("All at once"), gettext("one wave, 24 h")),
        ],
    )


def _published() -> list[Release]:
    """Return the releases that may go to boxes, newest first."""
    return [one for one in releases.list_releases() if one.state == ReleaseState.PUBLISHED]


def _chosen(published: Sequence[Release], wanted: str, model: str) -> str:
    """Return the release that is asked for, else the newest of *model*, else the newest."""
    names = [f"{one.hardware_model}/{one.version}" for one in published]
    if wanted in names:
        return wanted
    of_model = [name for name in names if not model or name.startswith(f"{model}/")]
    return next(iter(of_model), "")
