"""Rollouts: the list, the page of one, and what a person does with it.

Each deed has a page that says its consequences before it asks; with JavaScript the same
form opens as a dialog, fetched when it opens, so that its numbers are those of the moment.
Who changed the rollout in between is shown before anything is done.
"""

from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from oleada_server.accounts.access import demand_fresh, identity, require_role, steps_up
from oleada_server.accounts.models import Role
from oleada_server.accounts.rights import demand_role
from oleada_server.clock import now_utc
from oleada_server.db import db, read_only
from oleada_server.errors import BadInputError, ConflictError, ServerError
from oleada_server.live import service as live
from oleada_server.rollouts import service
from oleada_server.rollouts.errors import SecondPersonError
from oleada_server.rollouts.evidence import closing
from oleada_server.web import conflict, rollout_deeds, rollout_list, rollout_page, words
from oleada_server.web.device_list import number_in
from oleada_server.web.rollout_deeds import Deed, Typed
from oleada_server.web.words import gettext

REASON_CHARS_MAX = 500
ONE = "/rollouts/R-<int(max=999999999):rollout_id>"

blueprint = Blueprint("rollout_pages", __name__)


@blueprint.get("/rollouts")
@require_role(Role.VIEWER)
def index() -> ResponseReturnValue:
    """List the rollouts, newest first, one line each, under what waits for a person."""
    read_only()
    after = live.latest_id()
    page = rollout_list.load(request.args, identity(), now_utc())
    return render_template("rollouts/index.html", nav="rollouts", after=after, **page)


@blueprint.get(ONE)
@require_role(Role.VIEWER)
def show(rollout_id: int) -> ResponseReturnValue:
    """Show one rollout; it stays live by itself."""
    return _shown(rollout_id)


@blueprint.get(f"{ONE}/<any(start, ask, pause, stop):verb>")
@require_role(Role.OPERATOR)
def ask(rollout_id: int, verb: str) -> ResponseReturnValue:
    """Show the consequences of a deed and the form that does it."""
    read_only()
    return _asked(rollout_id, Deed(verb))


@blueprint.post(f"{ONE}/<any(start, ask, pause, resume, stop):verb>")
@require_role(Role.OPERATOR)
def do(rollout_id: int, verb: str) -> ResponseReturnValue:
    """Do it, and show the rollout as it now is; or what has changed in between.

    A pause makes things safe, so it waits for nothing: whatever changed, it is done. A stop
    can not be taken back, so it wants a second factor proved just now.
    """
    deed, typed = Deed(verb), _typed()
    if deed is Deed.STOP:
        demand_fresh()
    read_only()
    rollout = service.get(rollout_id)
    if deed is not Deed.PAUSE and (changes := _changes(rollout_id)):
        if deed is Deed.RESUME:
            return _shown(rollout_id, changes=changes), 409
        return _asked(rollout_id, deed), 409
    try:
        rollout_deeds.check(deed, rollout, typed)
    except BadInputError as error:
        return _asked(rollout_id, deed, error), error.status
    db.session.rollback()
    try:
        rollout_deeds.do(deed, rollout, typed, actor=identity().actor, now=now_utc())
    except ConflictError as error:
        db.session.rollback()
        read_only()
        return _asked(rollout_id, deed, refused=str(error)), error.status
    flash(rollout_deeds.done(deed, rollout_id), rollout_deeds.opposite(deed) or "message")
    return _back(rollout_id)


@blueprint.post(f"{ONE}/<any(approve, 'send-back'):verb>")
@require_role(Role.APPROVER)
def decide(rollout_id: int, verb: str) -> ResponseReturnValue:
    """Let a plan begin as the second person, or give it back with the reason."""
    if verb == "approve":
        demand_fresh()
    reason, actor = _typed().reason, identity().actor
    if refusal := _refusal(rollout_id, needs_reason=verb == "send-back"):
        return refusal
    try:
        if verb == "approve":
            service.approve(rollout_id, actor=actor, now=now_utc(), reason=reason or None)
            flash(gettext("Rollout %(ref)s is approved.", ref=f"R-{rollout_id}"))
        else:
            service.send_back(rollout_id, reason, actor=actor, now=now_utc())
            flash(gettext("Rollout %(ref)s is sent back.", ref=f"R-{rollout_id}"))
    except (ConflictError, SecondPersonError) as error:
        return _refused(rollout_id, error)
    return _back(rollout_id)


@blueprint.post(f"{ONE}/take-back")
@require_role(Role.OPERATOR)
def take_back(rollout_id: int) -> ResponseReturnValue:
    """Withdraw the question for approval, as whoever asked or planned it."""
    if refusal := _refusal(rollout_id, needs_reason=False):
        return refusal
    read_only()
    rollout, person = service.get(rollout_id), identity()
    if person.actor not in {rollout.asked_by, rollout.created_by}:
        demand_role(person, Role.APPROVER)
    db.session.rollback()
    reason = _typed().reason or gettext("taken back by who asked")
    try:
        service.send_back(rollout_id, reason, actor=person.actor, now=now_utc())
    except ConflictError as error:
        return _refused(rollout_id, error)
    flash(gettext("Rollout %(ref)s is a plan again.", ref=f"R-{rollout_id}"))
    return _back(rollout_id)


@blueprint.post(f"{ONE}/waves/<int(max=1000):position>/go-on")
@require_role(Role.APPROVER)
@steps_up
def go_on(rollout_id: int, position: int) -> ResponseReturnValue:
    """Let a held wave go on with the numbers it has now."""
    if refusal := _refusal(rollout_id, needs_reason=True):
        return refusal
    reason, actor = _typed().reason, identity().actor
    try:
        service.go_on(rollout_id, position, reason, actor=actor, now=now_utc())
    except (ConflictError, SecondPersonError) as error:
        return _refused(rollout_id, error)
    flash(gettext("Wave %(n)s of %(ref)s goes on.", n=position, ref=f"R-{rollout_id}"))
    return _back(rollout_id)


@blueprint.post(f"{ONE}/waves/<int(max=1000):position>/open")
@require_role(Role.APPROVER)
@steps_up
def open_early(rollout_id: int, position: int) -> ResponseReturnValue:
    """Open the next wave before its gate, with the reason and the number of its boxes typed."""
    if refusal := _refusal(rollout_id, needs_reason=True):
        return refusal
    typed, actor = _typed(), identity().actor
    boxes = number_in(typed.confirm.strip()) or 0
    try:
        service.open_early(
            rollout_id, position, typed.reason, boxes=boxes, actor=actor, now=now_utc()
        )
    except (BadInputError, ConflictError, SecondPersonError) as error:
        return _refused(rollout_id, error)
    flash(gettext("Wave %(n)s of %(ref)s is open.", n=position, ref=f"R-{rollout_id}"))
    return _back(rollout_id)


@blueprint.post(f"{ONE}/force")
@require_role(Role.APPROVER)
@steps_up
def force(rollout_id: int) -> ResponseReturnValue:
    """Let it begin on boxes that are left alone, with the reason and their number typed."""
    if refusal := _refusal(rollout_id, needs_reason=True):
        return refusal
    typed, actor = _typed(), identity().actor
    boxes = number_in(typed.confirm.strip()) or 0
    try:
        service.force(rollout_id, typed.reason, boxes=boxes, actor=actor, now=now_utc())
    except (BadInputError, ConflictError, SecondPersonError) as error:
        return _refused(rollout_id, error)
    flash(gettext("%(ref)s goes over boxes that are left alone.", ref=f"R-{rollout_id}"))
    return _back(rollout_id)


@blueprint.post(f"{ONE}/unforce")
@require_role(Role.OPERATOR)
def unforce(rollout_id: int) -> ResponseReturnValue:
    """Leave boxes alone again."""
    if refusal := _refusal(rollout_id, needs_reason=False):
        return refusal
    reason = _typed().reason or None
    try:
        service.unforce(rollout_id, actor=identity().actor, now=now_utc(), reason=reason)
    except ConflictError as error:
        return _refused(rollout_id, error)
    flash(gettext("%(ref)s leaves boxes alone again.", ref=f"R-{rollout_id}"))
    return _back(rollout_id)


@blueprint.post(f"{ONE}/incidents/<int(max=999999999):incident_id>/close")
@require_role(Role.OPERATOR)
def close_incident(rollout_id: int, incident_id: int) -> ResponseReturnValue:
    """Close an incident with what was found; what is denied stays denied."""
    if refusal := _refusal(rollout_id, needs_reason=True):
        return refusal
    reason, actor = _typed().reason, identity().actor
    closing.close(f"I-{incident_id}", reason, actor=actor, now=now_utc())
    flash(gettext("Incident %(ref)s is closed.", ref=f"I-{incident_id}"))
    return _back(rollout_id)


@blueprint.post(f"{ONE}/retry")
@require_role(Role.OPERATOR)
def retry(rollout_id: int) -> ResponseReturnValue:
    """Try the boxes again that ended for one reason."""
    if refusal := _refusal(rollout_id, needs_reason=False):
        return refusal
    try:
        count = service.retry(
            rollout_id,
            actor=identity().actor,
            now=now_utc(),
            ended_for=request.form.get("ended_for", "")[:40] or None,
        )
    except ConflictError as error:
        return _refused(rollout_id, error)
    flash(str(words.say_n("%(n)s box tries again.", "%(n)s boxes try again.", count)))
    return _back(rollout_id)


def _typed() -> Typed:
    found = {name: request.form.get(name, "")[:40] for name in ("confirm", "count")}
    return Typed(
        reason=request.form.get("reason", "").strip()[:REASON_CHARS_MAX],
        scope=request.form.get("scope", rollout_deeds.Scope.ROLLOUT)[:20],
        **found,
    )


def _changes(rollout_id: int) -> list[conflict.Changed]:
    return conflict.sent(f"R-{rollout_id}", now_utc())


def _refusal(rollout_id: int, *, needs_reason: bool) -> ResponseReturnValue | None:
    """Return the page again if it changed meanwhile or the reason is missing."""
    read_only()
    if changes := _changes(rollout_id):
        return _shown(rollout_id, changes=changes), 409
    if needs_reason and not _typed().reason:
        wrong = gettext("A reason is missing; the audit trail keeps it.")
        return _shown(rollout_id, wrong=wrong), 400
    db.session.rollback()
    return None


def _refused(rollout_id: int, error: ServerError) -> ResponseReturnValue:
    """Return the rollout as it is, with why nothing was done and what was typed."""
    db.session.rollback()
    return _shown(rollout_id, wrong=str(error)), error.status


def _shown(rollout_id: int, **more: Any) -> str:
    read_only()
    after = live.latest_id()
    page = rollout_page.load(rollout_id, now_utc(), identity())
    more.setdefault("typed", _typed())
    return render_template("rollouts/show.html", nav="rollouts", after=after, **page, **more)


def _asked(
    rollout_id: int, deed: Deed, error: BadInputError | None = None, refused: str = ""
) -> str:
    page = rollout_page.load(rollout_id, now_utc(), identity())
    page |= {
        "question": rollout_deeds.question(deed, page["found"]),
        "typed": _typed(),
        "error": error,
        "refused": refused,
        "changes": _changes(rollout_id),
    }
    is_piece = request.method == "GET" and "HX-Request" in request.headers
    if is_piece and page["question"] is not None:
        return render_template("rollouts/dialog.html", **page)
    return render_template("rollouts/ask.html", nav="rollouts", **page)


def _back(rollout_id: int) -> ResponseReturnValue:
    return redirect(url_for("rollout_pages.show", rollout_id=rollout_id), 303)
