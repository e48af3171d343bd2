"""What the page of a diagnosis shows, worked out from a verdict and orders; no SQL here."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from flask_babel import force_locale, get_domain
from oleada_wire import actions as wire
from oleada_wire.action_table import TABLE
from oleada_wire.actions import Action
from oleada_wire.readings import field_of

from oleada_server.actions import answers, rules
from oleada_server.actions import service as actions
from oleada_server.actions.answers import Answer
from oleada_server.actions.models import ActionOrder
from oleada_server.actions.rules import State
from oleada_server.clock import from_ms
from oleada_server.diagnosis import checking
from oleada_server.diagnosis.service import UNSAID
from oleada_server.diagnosis.shapes import Operator, Ranked, Seen, Stage, Value, Verdict
from oleada_server.web import words
from oleada_server.web.status import Status
from oleada_server.web.words import gettext, say_n

SHOWN_VALUES: Final = 30
OTHERS_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Sign:
    """A sign in words: what is seen, with which value, against which limit of which source."""

    title: str
    value: str
    limit: str
    source: str


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause in words with how sure that is, and what speaks for and against it."""

    title: str
    next_step: str
    stage: str
    share: float
    is_likely: bool
    action: str
    speaks_for: list[Sign]
    speaks_against: list[Sign]


@dataclass(frozen=True, slots=True)
class Sentence:
    """What to say to the subscriber in one language."""

    language: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """The first thing to know: one sentence, and what to do.

    *is_first* is whether it matters more than how the box stands otherwise.
    """

    kind: str
    title: str
    text: str
    is_first: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    """An action that a page offers: at once by a button, or *by_form* with its arguments."""

    name: str
    title: str
    by_form: bool


@dataclass(frozen=True, slots=True)
class Question:
    """What nobody but a person can answer."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Told:
    """One value of a result: its name as the standard has it, and the value with its unit."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Run:
    """An action that was ordered: how it stands, and what it told."""

    order: ActionOrder
    title: str
    state: Status
    is_open: bool
    rows: list[Told]
    output: str
    files: list[tuple[str, int, bool | None]]


def finding(verdict: Verdict) -> Finding:
    """Return in one sentence what is most likely wrong."""
    likely = verdict.likely
    if likely:
        first = likely[0]
        title = gettext("Most likely: %(cause)s", cause=gettext(first.cause.title))
        return Finding("warn", title, gettext(first.cause.next_step), is_first=True)
    if verdict.causes and verdict.nothing < 1 / 2:
        first = verdict.causes[0]
        title = gettext("Not sure yet; first of all: %(cause)s", cause=gettext(first.cause.title))
        text = gettext("The checks and the questions below tell more.")
        return Finding("wait", title, text, is_first=verdict.symptom != UNSAID)
    if verdict.seen:
        text = gettext("Nothing that was looked at speaks for a fault of this box.")
        return Finding("ok", gettext("No fault is seen"), text)
    return Finding(
        "off",
        gettext("Nothing is known of this box now"),
        gettext("Its health is missing or old; the questions below still help."),
    )


def causes(verdict: Verdict) -> list[Cause]:
    """Return the causes in words, the most likely first."""
    found = [_cause(one, at < verdict.found) for at, one in enumerate(verdict.causes)]
    return found[: max(verdict.found, OTHERS_SHOWN)]


def mends(verdict: Verdict) -> Tool | None:
    """Return the action that mends the first likely cause; None if there is no such."""
    named = [one.cause.action for one in verdict.likely[:1] if one.cause.action]
    return _tool(rules.known(named[0])) if named else None


def sentence(verdict: Verdict, language: str) -> Sentence | None:
    """Return what to say to the subscriber in their *language*; None where nothing is likely."""
    if not verdict.likely:
        return None
    text = verdict.likely[0].cause.say
    return Sentence(language, words.LANGUAGE_NAMES[language], _in(language, text))


def questions(verdict: Verdict, answered: Mapping[str, bool]) -> list[Question]:
    """Return what to ask the subscriber, the most telling first."""
    found = [one.sign for one in verdict.checks if one.sign.asks]
    names = {sign.fact.removeprefix("asked:"): sign for sign in found}
    return [
        Question(name, gettext(sign.asks)) for name, sign in names.items() if name not in answered
    ]


def runs(orders: Sequence[ActionOrder], now: datetime) -> list[Run]:
    """Return orders in words, newest first."""
    told = answers.answers_of(orders)
    return [_run(one, told[one.id], now) for one in orders]


def action_title(name: str) -> str:
    """Return what an action is called on pages."""
    titles = {
        "ping": gettext("The agent answers"),
        "report_health": gettext("Health, read now"),
        "self_test": gettext("Self-test"),
        "process_list": gettext("Processes"),
        "log_pull": gettext("Log"),
        "config_get": gettext("Settings of the box"),
        "config_set": gettext("Change a setting"),
        "config_undo": gettext("Take the last change back"),
        "media_status": gettext("Media player"),
        "hdmi_info": gettext("TV at the HDMI socket"),
        "screenshot": gettext("Picture of the menus"),
        "ip_ping": gettext("Ping"),
        "traceroute": gettext("Way into the network"),
        "dns_lookup": gettext("Names are resolved"),
        "download_test": gettext("Speed down"),
        "upload_test": gettext("Speed up"),
        "udp_echo": gettext("Packets there and back"),
        "wifi_scan": gettext("Wi-Fi around"),
        "packet_capture": gettext("Packet headers"),
        "keys": gettext("Press keys"),
        "tune": gettext("Change the channel"),
        "channel_test": gettext("Watch a channel"),
        "colour_bars": gettext("Colour bars"),
        "hdmi_mode": gettext("HDMI resolution"),
        "audio_mode": gettext("Kind of sound"),
        "message": gettext("Sentence on the screen"),
        "clear_cache": gettext("Clear the cache"),
        "drm_reauthorise": gettext("Fetch rights again"),
        "restart_app": gettext("Restart the application"),
        "reboot": gettext("Restart the box"),
        "factory_reset": gettext("Factory reset"),
    }
    return titles.get(name, name)


def value_of(path: str, value: Any) -> str:
    """Return *value* of a parameter in words, with the unit of its name."""
    if value is None:
        return gettext("not reported")
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    field = field_of(path)
    unit = f" {field.unit}" if field is not None and field.unit else ""
    text = words.number(value) if isinstance(value, int | float) else str(value)
    return f"{text}{unit}"


def _told(action: str, name: str, value: Any) -> str:
    """Return a value of a result in words, with the unit that the action's schema gives it."""
    found = wire.find(TABLE, action)
    plain = _NUMBER.sub(".{i}", name)
    units = {one.name: one.unit for one in (found.results if found is not None else ())}
    unit = units.get(name) or units.get(plain, "")
    if unit == "ms since 1970" and type(value) is int:
        return words.full_moment(from_ms(value))
    if unit == "bytes" and type(value) is int:
        return words.size(value)
    return f"{value_of(name, value)} {unit}" if unit else value_of(name, value)


_NUMBER: Final = re.compile(r"\.\d+(?=\.)")


def _cause(one: Ranked, is_likely: bool) -> Cause:
    stages = {
        Stage.SCOPE: gettext("more than this box"),
        Stage.ENTITLEMENT: gettext("rights"),
        Stage.HOME: gettext("this home"),
    }
    return Cause(
        gettext(one.cause.title),
        gettext(one.cause.next_step),
        stages[one.cause.stage],
        one.confidence,
        is_likely,
        one.cause.action,
        [_sign(seen) for seen in one.speaks_for],
        [_sign(seen) for seen in one.speaks_against],
    )


def _sign(seen: Seen) -> Sign:
    sign = seen.sign
    return Sign(
        gettext(sign.title), _written(seen.fact.value, sign.unit), _limit(seen), sign.source
    )


def _limit(seen: Seen) -> str:
    limit = seen.sign.limits[0]
    match seen.sign.operator:
        case Operator.BELOW:
            return gettext("under %(limit)s", limit=_written(limit, seen.sign.unit))
        case Operator.ABOVE:
            return gettext("over %(limit)s", limit=_written(limit, seen.sign.unit))
        case _:
            return ""


def _written(value: Value, unit: str) -> str:
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    text = words.number(value) if isinstance(value, int | float) else value
    # Units of counters are words of the playbook; those of physics are the same everywhere.
    return f"{text} {unit}" if unit in _UNITS else str(text)


_UNITS: Final = frozenset({"dBm", "%", "°C", "ms", "s", "kbit/s"})


def _run(order: ActionOrder, answer: Answer, now: datetime) -> Run:
    state = actions.state_of(order, now)
    rows = [Told(name, _told(order.action, name, value)) for name, value in answer.values.items()]
    return Run(
        order,
        action_title(order.action),
        _state(order, state),
        state in {State.WAITING, State.RUNNING},
        rows[:SHOWN_VALUES],
        answer.output,
        [(one.name, one.size_bytes, is_whole) for one, is_whole in answer.files],
    )


def _state(order: ActionOrder, state: State) -> Status:
    if state is State.DONE:
        return _ended(order)
    return {
        State.WAITING: Status("live", gettext("waits for the box"), "live"),
        State.RUNNING: Status("live", gettext("runs"), "live"),
        State.SILENT: Status("warn", gettext("no answer came"), "warn"),
    }[state]


def _ended(order: ActionOrder) -> Status:
    if order.status == "Complete":
        took = answers.seconds_of(order) or 0.0
        return Status("ok", gettext("done in %(n)s s", n=words.number(round(took, 1))), "ok")
    if order.status == "Canceled":
        return Status("off", gettext("cancelled"), "skip")
    why = {
        "not-on-this-model": gettext("not on this model"),
        "denied": gettext("this box does it for nobody"),
        "viewer": gettext("somebody is watching"),
        "busy": gettext("the box was busy"),
        "timed-out": gettext("it took too long"),
        "wrong-pin": gettext("the PIN is wrong"),
        "media": gettext("the media player did not answer"),
    }.get(order.error or "")
    kind = "off" if order.error == "not-on-this-model" else "warn"
    return Status(kind, why or (order.status or ""), "skip" if kind == "off" else "warn")


def _in(language: str, text: str) -> str:
    with force_locale(language):
        return str(get_domain().get_translations().gettext(text))


def stopped_word(count: int) -> str:
    """Return that *count* actions are told to end."""
    if not count:
        return gettext("Nothing was under way.")
    return str(say_n("%(n)s check is told to end.", "%(n)s checks are told to end.", count))


def by_risk() -> list[tuple[str, list[Tool]]]:
    """Return the actions that a page offers, by what they do to whoever watches."""
    safe = [one for one in rules.BY_PEOPLE if one.is_safe_while_watching and one.consent == "none"]
    lasting = [one for one in rules.BY_PEOPLE if one.risk == "destroys"]
    rest = [one for one in rules.BY_PEOPLE if one not in safe and one not in lasting]
    return [
        (gettext("Nobody notices"), [_tool(one) for one in safe]),
        (gettext("Who watches may notice"), [_tool(one) for one in rest]),
        (gettext("Can not be undone"), [_tool(one) for one in lasting]),
    ]


def _tool(action: Action) -> Tool:
    """Return how a page offers *action*: what nobody can guess and what destroys, by a form."""
    by_form = any(one.default is None for one in action.arguments) or action.risk == "destroys"
    by_form = by_form or (bool(action.arguments) and action.name not in checking.HOSTED)
    return Tool(action.name, action_title(action.name), by_form)
