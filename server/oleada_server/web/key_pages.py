"""Signing keys and whose they are: one person asks, another one confirms."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from oleada_server.accounts import second_person
from oleada_server.accounts import service as accounts
from oleada_server.accounts.access import identity, require_role, steps_up
from oleada_server.accounts.errors import UserNotFoundError
from oleada_server.accounts.models import Role
from oleada_server.accounts.rights import includes
from oleada_server.clock import now_utc
from oleada_server.db import read_only
from oleada_server.errors import BadInputError, ServerError
from oleada_server.releases import owners
from oleada_server.web import activity
from oleada_server.web.words import gettext

blueprint = Blueprint("key_pages", __name__)


@blueprint.get("/keys")
@require_role(Role.AUDITOR)
def index() -> ResponseReturnValue:
    """List the keys that sign releases, their owners, and what waits for a second person."""
    return _index()


@blueprint.post("/keys/owner")
@require_role(Role.USER_ADMIN)
@steps_up
def ask() -> ResponseReturnValue:
    """Ask that a key belong to somebody; another user administrator confirms it."""
    form = request.form
    try:
        owners.ask(
            form.get("key_id", ""), form.get("user", ""), form.get("reason", ""),
            actor=identity().actor, now=now_utc(),
        )  # fmt: skip
    except (BadInputError, UserNotFoundError) as error:
        return _index(error), error.status
    flash(gettext("It waits for a second person now."))
    return redirect(url_for("key_pages.index"), 303)


@blueprint.post("/keys/asked/<int(max=2147483647):deed_id>/<any(confirm, decline):verb>")
@require_role(Role.USER_ADMIN)
@steps_up
def decide(deed_id: int, verb: str) -> ResponseReturnValue:
    """Confirm what somebody else asked for, or decline it."""
    second_person.decide(deed_id, identity(), confirm=verb == "confirm", now=now_utc())
    flash(gettext("Confirmed.") if verb == "confirm" else gettext("Declined."))
    return redirect(url_for("key_pages.index"), 303)


def _index(error: ServerError | None = None) -> str:
    read_only()
    signers = [
        user
        for user in accounts.list_users()
        if user.disabled_at is None and includes(Role(user.role), Role.RELEASE_SIGNER)
    ]
    return render_template(
        "keys/index.html",
        nav="users",
        keys=owners.list_keys(),
        waiting=owners.waiting(now_utc()),
        signers=signers,
        actor=activity.actor,
        me=identity().actor,
        error=error,
        typed=request.form,
    )
