"""What a box's page says of its diagnosis: verdict, sentence, questions, checks, comparison.

The first verdict comes from what is stored, so it waits for no box; checks that nobody can
notice are begun by the page itself when they are due (:func:`is_due`), and what they find
moves the verdict.
"""

from datetime import datetime, timedelta
from typing import Any, Final

from oleada_server.accounts.models import Role
from oleada_server.accounts.rights import Identity
from oleada_server.actions import service as actions
from oleada_server.devices.models import Device
from oleada_server.diagnosis import checking, comparing, reading, service
from oleada_server.diagnosis.shapes import Verdict
from oleada_server.web import diagnosis_view as view
from oleada_server.web.asked_diagnosis import Asked
from oleada_server.web.parts import Parts
from oleada_server.web.words import gettext

RUNS_SHOWN: Final = 14
RUNS_WITHIN: Final = timedelta(hours=12)
PARTS: Final = ("say", "checks", "causes", "beside")


def load(
    parts: Parts, device: Device, asked: Asked, person: Identity | None, now: datetime
) -> dict[str, Any]:
    """Return what the parts of a diagnosis need; one that is not read says so."""
    page: dict[str, Any] = {
        "asked": asked, "symptoms": symptoms(), "symptom_word": symptom_word,
        "action_title": view.action_title, "tools": view.by_risk(),
        "reads_actions": device.reads_actions, "finding": None,
        "standby": actions.facts_of(device, now).is_standby,
    }  # fmt: skip
    page |= parts.read(("say", "causes"), lambda: _verdict(device, asked, now))
    verdict = page.get("diagnosed")
    page |= parts.read(("checks",), lambda: _runs(device, verdict, person, now))
    page |= parts.read(("beside",), lambda: _beside(device, now))
    return page


def titles() -> dict[str, str]:
    """Return what the parts are called."""
    return {
        "say": gettext("Say to the subscriber"),
        "checks": gettext("Checks"),
        "causes": gettext("What may be behind it"),
        "beside": gettext("Beside a healthy box"),
    }


def symptoms() -> list[tuple[str, str]]:
    """Return every symptom with its words; that nothing was said comes first."""
    books = sorted(
        reading.library().playbooks.values(), key=lambda one: one.symptom != service.UNSAID
    )
    return [(book.symptom, gettext(book.title)) for book in books]


def symptom_word(symptom: str) -> str:
    """Return a symptom in words."""
    return gettext(reading.library().playbooks[symptom].title)


def is_due(device: Device, verdict: Verdict, person: Identity | None, now: datetime) -> bool:
    """Return whether the page begins checks by itself for *person*: any is due, and may be."""
    return (
        person is not None
        and person.may(Role.SUPPORT)
        and checking.is_heard(device, now)
        and bool(checking.due(device, checking.safe_checks(verdict), now))
    )


def _verdict(device: Device, asked: Asked, now: datetime) -> dict[str, Any]:
    verdict = service.diagnose(device.id, asked.symptom, asked.answers, now, asked.channel)
    return {
        "diagnosed": verdict,
        "finding": view.finding(verdict),
        "mends": view.mends(verdict),
        "causes": view.causes(verdict),
        "sentence": view.sentence(verdict, asked.language),
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
    return [
        (gettext(asks[name]), value, asked.without(name))
        for name, value in asked.answers.items()
        if name in asks
    ]


def _runs(
    device: Device, verdict: Verdict | None, person: Identity | None, now: datetime
) -> dict[str, Any]:
    orders = [
        one for one in actions.orders_of(device.id, RUNS_SHOWN) if one.asked_at > now - RUNS_WITHIN
    ]
    done, whole = checking.at_work(orders, now)
    return {
        "runs": view.runs(orders, now),
        "done": done,
        "whole": whole,
        "is_due": verdict is not None and is_due(device, verdict, person, now),
        "again_min": checking.AGAIN_AFTER // timedelta(minutes=1),
        "held_until": checking.held_until(device.id, now),
    }


def _beside(device: Device, now: datetime) -> dict[str, Any]:
    other = comparing.healthy_one(device, now)
    rows = comparing.beside(device, other) if other is not None else []
    return {"other": other, "rows": rows, "value_of": view.value_of}
