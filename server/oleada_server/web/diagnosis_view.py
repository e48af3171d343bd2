"""What the page of a diagnosis shows, worked out from a verdict and orders; no SQL here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from flask_babel import force_locale, get_domain
from oleada_wire.readings import field_of

from oleada_server.actions import answers, rules
from oleada_server.actions import service as actions
from oleada_server.actions.models import ActionOrder
from oleada_server.actions.rules import State
from oleada_server.diagnosis.shapes import Operator, Ranked, Seen, Stage, Value, Verdict
from oleada_server.web import words
from oleada_server.web.status import Status
from oleada_server.web.words import gettext

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
    """The first thing to know: one sentence, and what to do."""

    kind: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """What nobody but a person can answer."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Run:
    """An action that was ordered: how it stands, and what it told."""

    order: ActionOrder
    title: str
    state: Status
    is_open: bool
    values: list[tuple[str, str]]
    output: str
    files: list[tuple[str, int, bool | None]]


def finding(verdict: Verdict) -> Finding:
    """Return in one sentence what is most likely wrong."""
    likely = verdict.likely
    if likely:
        first = likely[0]
        title = gettext("Most likely: %(cause)s", cause=gettext(first.cause.title))
        return Finding("warn", title, gettext(first.cause.next_step))
    if verdict.causes and verdict.nothing < 1 / 2:
        first = verdict.causes[0]
        title = gettext("Not sure yet; first of all: %(cause)s", cause=gettext(first.cause.title))
        return Finding("wait", title, gettext("The checks and the questions below tell more."))
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


def sentences(verdict: Verdict, first: str) -> list[Sentence]:
    """Return what to say to the subscriber, in every language, that of the reader first."""
    if not verdict.likely:
        return []
    text = verdict.likely[0].cause.say
    order = sorted(words.LANGUAGE_NAMES, key=lambda one: one != first)
    return [Sentence(one, words.LANGUAGE_NAMES[one], _in(one, text)) for one in order]


def questions(verdict: Verdict, answered: Mapping[str, bool]) -> list[Question]:
    """Return what to ask the subscriber, the most telling first."""
    found = [one.sign for one in verdict.checks if one.sign.asks]
    names = {sign.fact.removeprefix("asked:"): sign for sign in found}
    return [
        Question(name, gettext(sign.asks)) for name, sign in names.items() if name not in answered
    ]


def runs(orders: Sequence[ActionOrder], now: datetime) -> list[Run]:
    """Return orders in words, newest first."""
    return [_run(one, now) for one in orders]


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


def _run(order: ActionOrder, now: datetime) -> Run:
    answer = answers.answer_of(order)
    state = actions.state_of(order, now)
    values = [(name, value_of(name, value)) for name, value in answer.values.items()]
    return Run(
        order,
        action_title(order.action),
        _state(order, state),
        state in {State.WAITING, State.RUNNING},
        values[:SHOWN_VALUES],
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


def by_risk() -> list[tuple[str, list[str]]]:
    """Return the actions that a page offers, by what they do to whoever watches."""
    shown = [one for one in rules.BY_PEOPLE if not any(a.default is None for a in one.arguments)]
    safe = [one.name for one in shown if one.is_safe_while_watching and one.consent == "none"]
    noticed = [one.name for one in shown if one.name not in safe and one.risk != "destroys"]
    return [
        (gettext("Nobody notices"), safe),
        (gettext("Who watches may notice"), noticed),
    ]
