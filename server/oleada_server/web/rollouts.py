"""Rollouts: the list, the page of one, and what a person does with it.

Each deed has a page that says its consequences before it asks; with JavaScript the same
form opens as a dialog.
"""

from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from oleada_server.accounts.access import identity, require_role
from oleada_server.accounts.models import Role
from oleada_server.clock import now_utc
from oleada_server.db import db, read_only
from oleada_server.errors import BadInputError
from oleada_server.live import service as live
from oleada_server.rollouts import service
from oleada_server.rollouts.states import OPEN_ROLLOUTS, RolloutState
from oleada_server.web import rollout_deeds, rollout_page, rollout_view, sentence, words
from oleada_server.web.device_list import number_in
from oleada_server.web.rollout_deeds import Deed
from oleada_server.web.words import gettext

REASON_CHARS_MAX = 500
PAGE_SIZE = 25

blueprint = Blueprint("rollout_pages", __name__)


@blueprint.get("/rollouts")
@require_role(Role.VIEWER)
def index() -> ResponseReturnValue:
    """List the rollouts, newest first, one line each."""
    before = request.args.get("before", "")
    read_only()
    found = service.list_rollouts(
        before_id=number_in(before),
        limit=PAGE_SIZE + 1,
    )
    shown = found[:PAGE_SIZE]
    lines = [rollout_page.line(rollout) for rollout in shown]
    return render_template(
        "rollouts/index.html",
        nav="rollouts",
        lines=lines,
        open_count=sum(RolloutState(one.state) in OPEN_ROLLOUTS for one in shown),
        is_first=not before,
        next_before=shown[-1].id if len(found) > PAGE_SIZE else None,
        view=rollout_view,
        sentence=sentence,
    )


@blueprint.get("/rollouts/R-<int(max=999999999):rollout_id>")
@require_role(Role.VIEWER)
def show(rollout_id: int) -> ResponseReturnValue:
    """Show one rollout; it stays live by itself."""
    read_only()
    after = live.latest_id()
    page = rollout_page.load(rollout_id, now_utc())
    return render_template("rollouts/show.html", nav="rollouts", after=after, **page)


@blueprint.get("/rollouts/R-<int(max=999999999):rollout_id>/<any(start, pause, stop):verb>")
@require_role(Role.OPERATOR)
def ask(rollout_id: int, verb: str) -> ResponseReturnValue:
    """Show the consequences of a deed and the form that does it."""
    read_only()
    return _asked(rollout_id, Deed(verb))


@blueprint.post(
    "/rollouts/R-<int(max=999999999):rollout_id>/<any(start, pause, resume, stop):verb>"
)
@require_role(Role.OPERATOR)
def do(rollout_id: int, verb: str) -> ResponseReturnValue:
    """Do it, and show the rollout as it now is."""
    deed = Deed(verb)
    reason = request.form.get("reason", "").strip()[:REASON_CHARS_MAX]
    try:
        rollout_deeds.check(deed, rollout_id, reason, request.form.get("confirm", ""))
    except BadInputError as error:
        read_only()
        return _asked(rollout_id, deed, error), error.status
    rollout_deeds.do(deed, rollout_id, reason, actor=identity().actor, now=now_utc())
    flash(rollout_deeds.done(deed, rollout_id))
    return redirect(url_for("rollout_pages.show", rollout_id=rollout_id), 303)


@blueprint.post("/rollouts/R-<int(max=999999999):rollout_id>/retry")
@require_role(Role.OPERATOR)
def retry(rollout_id: int) -> ResponseReturnValue:
    """Try the boxes again that ended for one reason."""
    count = service.retry(
        rollout_id,
        actor=identity().actor,
        now=now_utc(),
        ended_for=request.form.get("ended_for", "")[:40] or None,
    )
    flash(str(words.say_n("%(n)s box tries again.", "%(n)s boxes try again.", count)))
    return redirect(url_for("rollout_pages.show", rollout_id=rollout_id), 303)


def _asked(rollout_id: int, deed: Deed, error: BadInputError | None = None) -> str:
    page: dict[str, Any] = rollout_page.load(rollout_id, now_utc())
    db.session.rollback()
    return render_template(
        "rollouts/ask.html",
        nav="rollouts",
        deed=deed,
        error=error,
        reason=request.form.get("reason", ""),
        heading=gettext("Please confirm"),
        **page,
    )
