"""Heads of the audit trail that boxes were shown and this server never issued, and their end."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from oleada_server.accounts.access import identity, require_role, steps_up
from oleada_server.accounts.models import Role
from oleada_server.audit import witnessed
from oleada_server.audit.models import AuditSighting
from oleada_server.audit.witnessed import Kind
from oleada_server.clock import from_ms, now_utc
from oleada_server.db import read_only
from oleada_server.errors import BadInputError, ConflictError
from oleada_server.web import activity, system_strip
from oleada_server.web.words import gettext

SHOWN_MAX: Final = 50
MOMENTS_END_MS: Final = 4_102_444_800_000
"""The year 2100: what is signed beyond is no time at which anybody has signed."""

blueprint = Blueprint("sighting_pages", __name__)


@dataclass(frozen=True, slots=True)
class Line:
    """One head as the page shows it.

    Attributes:
        signed_at: When its signer says to have signed; nothing if that is no time at all.
        settled_by: Who has cleared it up.
    """

    found: AuditSighting
    signed_at: datetime | None
    settled_by: str
    is_lost: bool
    names_all: bool


@blueprint.get("/audit/sightings")
@require_role(Role.VIEWER)
def index() -> ResponseReturnValue:
    """Show the heads that are not this server's: what each means, and how it was cleared up."""
    read_only()
    return _page()


@blueprint.post("/audit/sightings/<int(max=2147483647):number>/settle")
@require_role(Role.AUDITOR)
@steps_up
def settle(number: int) -> ResponseReturnValue:
    """Take note how a head was cleared up; pages stop to warn of it."""
    reason = request.form.get("reason", "").strip()[: witnessed.REASON_CHARS_MAX]
    if not reason:
        error = BadInputError(gettext("A reason is missing; it is kept."), "reason")
        return _page(number, error), error.status
    try:
        witnessed.settle(number, identity().actor, reason, now_utc())
    except ConflictError:
        error = BadInputError(gettext("Somebody else has settled it already; see how."), "reason")
        return _page(number, error), ConflictError.status
    system_strip.forget()
    flash(gettext("Settled: nobody is warned of it any more."))
    return redirect(url_for("sighting_pages.index"), 303)


def _page(number: int | None = None, error: BadInputError | None = None) -> str:
    read_only()
    return render_template(
        "audit/sightings.html",
        nav="audit",
        lines=list(_lines(witnessed.first(SHOWN_MAX))),
        total=witnessed.count(),
        reason_chars_max=witnessed.REASON_CHARS_MAX,
        about=number,
        error=error,
        typed=request.form.get("reason", ""),
    )


def _lines(found: list[AuditSighting]) -> Iterator[Line]:
    for one in found:
        yield Line(
            one,
            _moment(one.signed_ms),
            activity.actor(witnessed.settled_by(one)),
            one.kind == Kind.LOST,
            len(one.boxes) < witnessed.NAMED_MAX,
        )


def _moment(at_ms: int) -> datetime | None:
    """Return the time that a signer, perhaps a thief, has written; None if it can be no such."""
    return from_ms(at_ms) if 0 <= at_ms < MOMENTS_END_MS else None
