"""Users, for administrators: who may do what, one-time links, roles, shutting out."""

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from oleada_server import config
from oleada_server.accounts import factors, rights_given, service
from oleada_server.accounts.access import demand_on_user, identity, require_role, steps_up
from oleada_server.accounts.errors import UserExistsError
from oleada_server.accounts.models import Role
from oleada_server.accounts.objects import Deed, OfUser, demand_on
from oleada_server.audit import service as audit
from oleada_server.clock import now_utc
from oleada_server.db import db, read_only
from oleada_server.errors import BadInputError, ServerError
from oleada_server.web import activity, conflict, pages, status
from oleada_server.web.parts import Parts
from oleada_server.web.words import gettext

ACTIVITY_SHOWN = 12
CHANGE_USER = frozenset({"user.role", "user.disable", "user.enable", "factor.reset"})

blueprint = Blueprint("people_pages", __name__)


@blueprint.get("/users")
@require_role(Role.AUDITOR)
def index() -> ResponseReturnValue:
    """List everybody, and offer to add somebody."""
    read_only()
    return _index()


@blueprint.get("/users/<name>")
@require_role(Role.AUDITOR)
def show(name: str) -> ResponseReturnValue:
    """Show one user: role, link, and what was done with them."""
    return _show(name)


@blueprint.post("/users")
@require_role(Role.USER_ADMIN)
@steps_up
def add() -> ResponseReturnValue:
    """Add a user and show the one-time link, this once."""
    name = request.form.get("name", "").strip().casefold()
    try:
        role = _role()
        demand_on(identity(), Deed.CHANGE_ROLE, OfUser(name, Role.VIEWER, role))
        waits = _waits_for_another(Role.VIEWER, role)
        service.add_user(
            name,
            full_name=request.form.get("full_name", ""),
            role=Role.VIEWER if waits else role,
            language=request.form.get("language", "en"),
            zone=request.form.get("zone", "UTC"),
            actor=identity().actor,
            now=now_utc(),
        )
    except (BadInputError, UserExistsError) as error:
        read_only()
        return _index(error), error.status
    if waits:
        _give(name, role)
    return _with_link(name)


@blueprint.post("/users/<name>/link")
@require_role(Role.USER_ADMIN)
@steps_up
def link(name: str) -> ResponseReturnValue:
    """Make a new one-time link and show it, this once."""
    demand_on_user(Deed.MAKE_LINK, name)
    return _with_link(name)


@blueprint.post("/users/<name>/role")
@require_role(Role.USER_ADMIN)
@steps_up
def change_role(name: str) -> ResponseReturnValue:
    """Give somebody another role; it holds from their next request on."""
    role = _role()
    demand_on_user(Deed.CHANGE_ROLE, name, role)
    if changes := _changes(name):
        return _show(name, changes=changes), 409
    if (error := _give(name, role)) is not None:
        return _show(name, error), error.status
    return redirect(url_for("people_pages.show", name=name), 303)


@blueprint.post("/users/<name>/disable")
@require_role(Role.USER_ADMIN)
@steps_up
def disable(name: str) -> ResponseReturnValue:
    """Shut somebody out: sessions, links and tokens end at once."""
    demand_on_user(Deed.SHUT_OUT, name)
    if changes := _changes(name):
        return _show(name, changes=changes), 409
    if request.form.get("confirm", "").strip() != name:
        error = BadInputError(
            gettext("Type %(wanted)s to confirm; you wrote “%(typed)s”.",
                    wanted=name, typed=request.form.get("confirm", "")[:40]),
            "confirm",
        )  # fmt: skip
        return _show(name, error), error.status
    service.disable_user(name, actor=identity().actor, now=now_utc(), keep_admin=True)
    flash(gettext("%(name)s is shut out.", name=name))
    return redirect(url_for("people_pages.show", name=name), 303)


@blueprint.post("/users/<name>/enable")
@require_role(Role.USER_ADMIN)
@steps_up
def enable(name: str) -> ResponseReturnValue:
    """Let somebody in again who was shut out, and show the one-time link that they need."""
    demand_on_user(Deed.LET_IN, name)
    service.let_in_again(name, actor=identity().actor, now=now_utc())
    return _with_link(name)


@blueprint.post("/users/<name>/reset-factors")
@require_role(Role.USER_ADMIN)
@steps_up
def reset_factors(name: str) -> ResponseReturnValue:
    """Take every second factor of somebody who has lost theirs; they enrol anew."""
    demand_on_user(Deed.RESET_FACTORS, name)
    if changes := _changes(name):
        return _show(name, changes=changes), 409
    try:
        asked = rights_given.reset_factors(name, _reason(), person=identity(), now=now_utc())
    except BadInputError as error:
        return _show(name, error), error.status
    if asked is None:
        flash(gettext("The second factors of %(name)s are reset.", name=name))
    else:
        flash(gettext("It waits for a second person now."))
    return redirect(url_for("people_pages.show", name=name), 303)


def _give(name: str, role: Role) -> BadInputError | None:
    """Give a role or ask a second person for it, and say which; return what is missing."""
    try:
        asked = rights_given.change_role(name, role, _reason(), person=identity(), now=now_utc())
    except BadInputError as error:
        return error
    if asked is None:
        flash(gettext("%(name)s is %(role)s now.", name=name, role=status.role(role)))
    else:
        flash(gettext("It waits for a second person now."))
    return None


def _waits_for_another(before: Role, wanted: Role) -> bool:
    """Return whether giving *wanted* would wait, and refuse at once if its reason is missing.

    Raises:
        BadInputError: There is no reason for the second person to read.
    """
    read_only()
    waits = rights_given.gives_power(before, wanted) and rights_given.needs_second(
        identity(), now_utc()
    )
    db.session.rollback()
    if waits and not _reason():
        raise BadInputError(gettext("Say why; the second person reads it."), "reason")
    return waits


def _reason() -> str:
    return request.form.get("reason", "").strip()


def _with_link(name: str) -> ResponseReturnValue:
    token = service.create_link(name, actor=identity().actor, now=now_utc())
    address = f"{config.current().console_url}/sign-in/link/{token}"
    hours = int(service.LINK_TTL.total_seconds() // 3600)
    read_only()
    return render_template(
        "people/link.html", nav="users", user=service.find_user(name), address=address, hours=hours
    )


def _role() -> Role:
    asked = request.form.get("role", "")
    if asked not in set(Role):
        raise BadInputError(f"The role {asked[:40]!r} is none of {', '.join(Role)}.", "role")
    return Role(asked)


def _index(error: ServerError | None = None) -> str:
    return render_template(
        "people/index.html",
        nav="users",
        users=service.list_users(),
        roles=list(Role),
        takes_two=rights_given.needs_second(identity(), now_utc()),
        role_means=role_means(),
        zones=pages.zones(),
        error=error,
        typed=request.form,
    )


def _changes(name: str) -> list[conflict.Changed]:
    """Return what others did to user *name* since the form was opened."""
    read_only()
    changes = conflict.sent(f"user:{name}", now_utc(), only=CHANGE_USER)
    db.session.rollback()
    return changes


def _show(
    name: str, error: ServerError | None = None, changes: Sequence[conflict.Changed] = ()
) -> str:
    read_only()
    user = service.find_user(name)
    reading = Parts("people/parts", {"activity": gettext("Activity")})
    page = reading.read(("activity",), lambda: _activity(name))
    return render_template(
        "people/show.html",
        # Who has power is read from the trail; while that can not be, it takes two.
        **{"takes_two": True} | page,
        reading=reading,
        nav="users",
        user=user,
        is_self=user.id == identity().user_id,
        factor_count=len(factors.list_factors(user.id)),
        roles=list(Role),
        role_means=role_means(),
        object_ref=f"user:{name}",
        actor=activity.actor,
        deed_word=activity.deed_word,
        error=error,
        changes=changes,
        typed=request.form,
    )


def _activity(name: str) -> dict[str, Any]:
    events = audit.events_about(f"user:{name}", ACTIVITY_SHOWN)
    takes_two = rights_given.needs_second(identity(), now_utc())
    return {"events": events, "seen": events[0].id if events else 0, "takes_two": takes_two}


def role_means() -> dict[str, str]:
    """Return what each role may do, in a sentence."""
    return {
        Role.VIEWER: gettext("sees everything, changes nothing"),
        Role.SUPPORT: gettext("also checks and mends one box at a time, with the subscriber"),
        Role.AUDITOR: gettext("also sees the users, exports and checks the audit trail"),
        Role.RELEASE_SIGNER: gettext("signs releases; publishes and withdraws firmware"),
        Role.OPERATOR: gettext("plans, starts, pauses and stops; publishes firmware"),
        Role.APPROVER: gettext("as an operator; also lets a plan of somebody else begin"),
        Role.DEVICE_CA_ADMIN: gettext("revokes certificates of boxes"),
        Role.USER_ADMIN: gettext("adds people, gives roles, resets second factors"),
        Role.ADMIN: gettext("has every right, and is still one person"),
    }
