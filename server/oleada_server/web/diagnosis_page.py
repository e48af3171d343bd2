"""The page for the person on the phone: symptom, verdict, the sentence to say, checks, causes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from flask import Blueprint, flash, redirect, render_template, request, send_file, url_for
from flask.typing import ResponseReturnValue
from oleada_wire.ids import normalise_device_id
from werkzeug.datastructures import MultiDict

from oleada_server.accounts.access import identity, require_role
from oleada_server.accounts.models import Role
from oleada_server.actions import service as actions
from oleada_server.actions import uploads
from oleada_server.actions.rules import Given
from oleada_server.actions.service import Wish
from oleada_server.audit import service as audit
from oleada_server.clock import now_utc
from oleada_server.db import db, read_only
from oleada_server.devices import service as devices
from oleada_server.diagnosis import checking, comparing, reading, service
from oleada_server.errors import BadInputError, ServerError
from oleada_server.live import service as live
from oleada_server.web import diagnosis_view as view
from oleada_server.web.parts import Parts
from oleada_server.web.words import choose_language, gettext

RUNS_SHOWN: Final = 14
RUNS_WITHIN: Final = timedelta(hours=12)
FOLDER: Final = "diagnosis/parts"
PARTS: Final = ("finding", "checks", "causes", "beside")
ONE: Final = "/devices/<device_id>/diagnosis"

blueprint = Blueprint("diagnosis_pages", __name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address of the page says: symptom, channel, and answers by question."""

    symptom: str
    channel: str
    answers: Mapping[str, bool]

    def args(self, **more: bool) -> dict[str, Any]:
        """Return it as the arguments of an address, with *more* answers."""
        said = {**self.answers, **{name.replace("_", "-"): value for name, value in more.items()}}
        words = [f"{name}:{'yes' if value else 'no'}" for name, value in said.items()]
        return {"symptom": self.symptom, "channel": self.channel or None, "asked": words}


def read(args: MultiDict[str, str]) -> Asked:
    """Return what *args* ask; what there is no playbook for counts as nothing said."""
    symptom = args.get("symptom", service.UNSAID)
    if symptom not in reading.library().playbooks:
        symptom = service.UNSAID
    pairs = [one.partition(":") for one in args.getlist("asked")]
    answers = {name: word == "yes" for name, _, word in pairs if word in {"yes", "no"}}
    channel = args.get("channel", "").strip()[: service.CHANNEL_CHARS_MAX]
    return Asked(symptom, channel, answers)


@blueprint.get(ONE)
@require_role(Role.VIEWER)
def show(device_id: str) -> ResponseReturnValue:
    """Show what is most likely wrong with a box."""
    read_only()
    after = live.latest_id()
    asked = read(request.args)
    page = load(normalise_device_id(device_id), asked, now_utc())
    return render_template("diagnosis/show.html", nav="devices", after=after, **page)


@blueprint.post(ONE)
@require_role(Role.SUPPORT)
def begin(device_id: str) -> ResponseReturnValue:
    """Note what is complained of, and begin every check that nobody can notice."""
    db.session.rollback()
    box, asked, person, now = (
        normalise_device_id(device_id),
        read(request.form),
        identity(),
        now_utc(),
    )
    service.complain(box, asked.symptom, asked.channel, actor=person.actor, now=now)
    verdict = service.diagnose(box, asked.symptom, asked.answers, now, asked.channel)
    reason = f"complaint: {asked.symptom}"
    checking.begin(box, checking.safe_checks(verdict), reason, person, now)
    return _back(box, asked)


@blueprint.post(f"{ONE}/run")
@require_role(Role.SUPPORT)
def run(device_id: str) -> ResponseReturnValue:
    """Order one action; with consent when the subscriber has agreed."""
    box, asked, now = normalise_device_id(device_id), read(request.form), now_utc()
    name = request.form.get("action", "")
    if not any(name in names for _, names in view.by_risk()):
        raise BadInputError(gettext("This page does not offer that action."), "action")
    given = Given.VIEWER if request.form.get("consent") else Given.NONE
    wish = Wish(box, name, checking.arguments_of(name), f"complaint: {asked.symptom}", given)
    try:
        actions.order(wish, identity(), now)
    except ServerError as error:
        if error.code not in {"consent-missing", "action-denied", "action-not-known"}:
            raise
        db.session.rollback()
        flash(_said(error))
    return _back(box, asked)


@blueprint.post(f"{ONE}/cancel/<order_id>")
@require_role(Role.SUPPORT)
def cancel(device_id: str, order_id: str) -> ResponseReturnValue:
    """Tell the box to end an action."""
    actions.cancel(order_id, identity(), now_utc())
    return _back(normalise_device_id(device_id), read(request.form))


@blueprint.get(f"{ONE}/files/<order_id>/<name>")
@require_role(Role.SUPPORT)
def file(device_id: str, order_id: str, name: str) -> ResponseReturnValue:
    """Hand out a file that the box has uploaded; who reads it is written down."""
    db.session.rollback()
    box = normalise_device_id(device_id)
    path = uploads.path_of(order_id, name)
    after = {"id": order_id, "name": name}
    audit.record(identity().actor, "device.file-read", f"device:{box}", now=now_utc(), after=after)
    db.session.commit()
    return send_file(path, "application/octet-stream", as_attachment=True, download_name=name)


def load(device_id: str, asked: Asked, now: datetime) -> dict[str, Any]:
    """Return everything the templates need; a part that is not read says so.

    Raises:
        DeviceNotFoundError: There is no such box.
    """
    device = devices.get(device_id)
    parts = Parts(FOLDER, titles())
    page: dict[str, Any] = {
        "reading": parts, "device": device, "asked": asked, "now": now,
        "symptoms": symptoms(), "symptom_word": symptom_word, "action_title": view.action_title,
        "tools": view.by_risk(), "reads_actions": device.reads_actions,
        "standby": actions.facts_of(device, now).is_standby,
    }  # fmt: skip
    page |= parts.read(("finding", "causes"), lambda: _verdict(device_id, asked, now))
    page |= parts.read(("checks",), lambda: _runs(device_id, now))
    page |= parts.read(("beside",), lambda: _beside(device_id, now))
    return page


def titles() -> dict[str, str]:
    """Return what the parts are called."""
    return {
        "finding": gettext("What is most likely"),
        "checks": gettext("Checks"),
        "causes": gettext("What may be behind it"),
        "beside": gettext("Beside a healthy box"),
    }


def symptoms() -> list[tuple[str, str]]:
    """Return every symptom with its words; that nothing was said comes last."""
    books = sorted(
        reading.library().playbooks.values(), key=lambda one: one.symptom == service.UNSAID
    )
    return [(book.symptom, gettext(book.title)) for book in books]


def symptom_word(symptom: str) -> str:
    """Return a symptom in words."""
    return gettext(reading.library().playbooks[symptom].title)


def _verdict(device_id: str, asked: Asked, now: datetime) -> dict[str, Any]:
    verdict = service.diagnose(device_id, asked.symptom, asked.answers, now, asked.channel)
    return {
        "verdict": verdict,
        "finding": view.finding(verdict),
        "causes": view.causes(verdict),
        "sentences": view.sentences(verdict, choose_language()),
        "questions": view.questions(verdict, asked.answers),
        "answered": _answered(asked),
    }


def _answered(asked: Asked) -> list[tuple[str, bool, dict[str, Any]]]:
    """Return each question that was answered, its answer, and the address without it."""
    asks = {
        sign.fact.removeprefix("asked:"): sign.asks
        for sign in reading.library().signs.values()
        if sign.asks
    }
    found = []
    for name, value in asked.answers.items():
        if name in asks:
            rest = {other: said for other, said in asked.answers.items() if other != name}
            without = Asked(asked.symptom, asked.channel, rest).args()
            found.append((gettext(asks[name]), value, without))
    return found


def _runs(device_id: str, now: datetime) -> dict[str, Any]:
    orders = [
        one for one in actions.orders_of(device_id, RUNS_SHOWN) if one.asked_at > now - RUNS_WITHIN
    ]
    done, whole = checking.at_work(orders, now)
    return {"runs": view.runs(orders, now), "done": done, "whole": whole}


def _beside(device_id: str, now: datetime) -> dict[str, Any]:
    device = devices.get(device_id)
    other = comparing.healthy_one(device, now)
    rows = comparing.beside(device, other) if other is not None else []
    return {"other": other, "rows": rows, "value_of": view.value_of}


def _said(error: ServerError) -> str:
    if error.code == "consent-missing":
        return gettext("Somebody may be watching. Ask the subscriber, then tick that they agreed.")
    if error.code == "action-denied":
        return gettext("This box does that for nobody; its own settings say so.")
    return gettext("The agent of this box is too old for that. Update the box first.")


def _back(device_id: str, asked: Asked) -> ResponseReturnValue:
    return redirect(url_for("diagnosis_pages.show", device_id=device_id, **asked.args()), 303)
