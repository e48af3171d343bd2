"""A person lets rollouts leave one box alone for a while, or takes that back; on its page.

Both ask :mod:`oleada_server.rollouts.left_alone`, as REST does; here a time is typed as the
reader's clock shows it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from oleada_wire.ids import normalise_device_id

from oleada_server.accounts.access import identity, require_role
from oleada_server.accounts.models import Role
from oleada_server.clock import now_utc
from oleada_server.db import db, read_only
from oleada_server.devices import service as devices
from oleada_server.errors import BadInputError
from oleada_server.rollouts import left_alone
from oleada_server.rollouts.left_alone import LONGEST, REF_CHARS_MAX, Because
from oleada_server.web import activity, words
from oleada_server.web.words import gettext

USUALLY: Final = timedelta(hours=3)
"""What the form offers: most recordings are over by then."""

blueprint = Blueprint("left_alone_pages", __name__)


@dataclass(frozen=True, slots=True)
class Form:
    """What was typed, or what is offered: *until* as the reader's clock shows it."""

    because: str
    until: str
    ref: str = ""
    error: BadInputError | None = None


def offered(now: datetime) -> Form:
    """Return the form before anybody has typed."""
    local = (now + USUALLY).astimezone(ZoneInfo(words.choose_zone()))
    return Form(str(Because.RECORDING), f"{local:%Y-%m-%dT%H:%M}")


def because_word(kind: str) -> str:
    """Return in words why a box is left alone."""
    return {
        Because.RECORDING: gettext("it records"),
        Because.CRITICAL_CASE: gettext("its case is critical"),
    }[Because(kind)]


@blueprint.get("/devices/<device_id>/left-alone")
@require_role(Role.OPERATOR)
def ask(device_id: str) -> ResponseReturnValue:
    """Show why rollouts leave a box alone now, and the form that says so."""
    read_only()
    return _page(device_id, offered(now_utc()))


@blueprint.post("/devices/<device_id>/left-alone")
@require_role(Role.OPERATOR)
def note(device_id: str) -> ResponseReturnValue:
    """Let rollouts leave a box alone until the time that was typed, for the reason that was."""
    found, now = devices.get(normalise_device_id(device_id)).id, now_utc()
    db.session.rollback()
    typed = Form(
        request.form.get("because", ""),
        request.form.get("until", ""),
        request.form.get("ref", "").strip(),
    )
    try:
        because, until = _read(typed, now)
        left_alone.note(found, because, until=until, ref=typed.ref, actor=identity().actor, now=now)
    except BadInputError as error:
        db.session.rollback()
        return _page(found, Form(typed.because, typed.until, typed.ref, error)), 400
    flash(gettext("Rollouts leave it alone until %(when)s.", when=words.moment(until)))
    return redirect(url_for("device_page.show", device_id=found), 303)


@blueprint.post("/devices/<device_id>/left-alone/lift")
@require_role(Role.OPERATOR)
def lift(device_id: str) -> ResponseReturnValue:
    """Take a note back before its time."""
    found = devices.get(normalise_device_id(device_id)).id
    db.session.rollback()
    try:
        because = Because(request.form.get("because", ""))
    except ValueError:
        return _page(found, Form("", "", error=_no_such_reason())), 400
    left_alone.lift(found, because, actor=identity().actor, now=now_utc())
    flash(gettext("That is over: rollouts may begin on it again."))
    return redirect(url_for("device_page.show", device_id=found), 303)


def _page(device_id: str, form: Form) -> str:
    now = now_utc()
    device = devices.get(normalise_device_id(device_id))
    page: dict[str, Any] = {
        "nav": "devices",
        "device": device,
        "left_alone": left_alone.of(device.id, now),
        "because_word": because_word,
        "actor": activity.actor,
        "alone_form": form,
        "ref_chars_max": REF_CHARS_MAX,
    }
    return render_template("devices/left_alone.html", **page)


def _read(typed: Form, now: datetime) -> tuple[Because, datetime]:
    """Return reason and end as they were typed.

    Raises:
        BadInputError: One of them can not be read, is missing, or is no time to come.
    """
    try:
        because = Because(typed.because)
    except ValueError as error:
        raise _no_such_reason() from error
    if not typed.ref:
        text = gettext("Write what is recorded, or the number of the case; it is kept.")
        raise BadInputError(text, "ref")
    if len(typed.ref) > REF_CHARS_MAX or not typed.ref.isprintable():
        text = gettext("At most %(n)s characters that can be printed.", n=REF_CHARS_MAX)
        raise BadInputError(text, "ref")
    until = _moment(typed.until)
    longest = LONGEST[because]
    if not now < until <= now + longest:
        text = words.say_n(
            "Write a time to come, within %(n)s day.",
            "Write a time to come, within %(n)s days.",
            longest.days,
        )
        raise BadInputError(str(text), "until")
    return because, until


def _moment(typed: str) -> datetime:
    zone = ZoneInfo(words.choose_zone())
    try:
        local = datetime.fromisoformat(typed).replace(tzinfo=zone)
    except ValueError as error:
        raise BadInputError(gettext("Write the day and the time of its end."), "until") from error
    try:
        at = local.astimezone(UTC)
    except OverflowError as error:
        raise BadInputError(gettext("Write the day and the time of its end."), "until") from error
    if at.astimezone(zone).replace(tzinfo=None) != local.replace(tzinfo=None):
        raise BadInputError(gettext("That time is skipped when the clocks change."), "until")
    return at


def _no_such_reason() -> BadInputError:
    return BadInputError(gettext("Choose why it is left alone."), "because")
