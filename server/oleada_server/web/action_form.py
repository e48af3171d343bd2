"""The form of an action, made of its schema: a field for each argument with its limits.

What is typed becomes the value that the schema wants, or stays as it was typed, so that the
schema itself refuses it and says why at the field.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from oleada_wire.actions import Action, Argument, Consent, Risk

from oleada_server.actions import rules
from oleada_server.diagnosis import checking
from oleada_server.web import words
from oleada_server.web.words import gettext

PREFIX: Final = "a-"
"""Of the names of fields that are arguments; ``reason`` and the like are the form's own."""


@dataclass(frozen=True, slots=True)
class Field:
    """One argument as a field.

    Attributes:
        kind: ``check``, ``number``, ``choice``, ``secret`` or ``text``.
        value: What stands in it.
        hint: Limits, unit and default in words.
        error: Why what was typed is refused; empty if it is not.
    """

    name: str
    label: str
    kind: str
    value: str
    hint: str
    is_needed: bool
    least: int
    most: int
    pattern: str
    words: tuple[str, ...]
    error: str = ""


def fields_of(
    action: Action, typed: Mapping[str, str] | None, wrong: str | None, why: str
) -> list[Field]:
    """Return the fields of *action*, filled with what was *typed*, or with its defaults.

    *why* stands at the argument *wrong*.
    """
    given = checking.arguments_of(action.name)
    return [_field(one, typed, given, why if one.name == wrong else "") for one in action.arguments]


def arguments_in(action: Action, typed: Mapping[str, str]) -> dict[str, object]:
    """Return the arguments that *typed* says; an empty field means the default."""
    found: dict[str, object] = {}
    for one in action.arguments:
        text = typed.get(f"{PREFIX}{one.name}", "")
        if one.kind is bool:
            found[one.name] = bool(text)
        elif text.strip() or (one.kind is str and one.default is None and one.least == 0):
            found[one.name] = _value(one, text)
    return found


def needs_consent(action: Action) -> bool:
    """Return whether whoever watches has to agree, unless the box sleeps."""
    return action.consent is Consent.VIEWER


def destroys(action: Action) -> bool:
    """Return whether something is gone afterwards."""
    return action.risk is Risk.DESTROYS


def _value(argument: Argument, text: str) -> object:
    if argument.kind is int:
        plain = text.strip()
        digits = plain.removeprefix("-")
        is_whole = digits.isascii() and digits.isdigit() and len(digits) < 19
        return int(plain) if is_whole else plain
    return text.strip()


def _field(
    argument: Argument, typed: Mapping[str, str] | None, given: Mapping[str, object], error: str
) -> Field:
    kind = _kind(argument)
    default = given.get(argument.name, argument.default)
    value = "" if default is None else str(default)
    if kind == "check":
        value = "1" if default else ""
    if typed is not None:
        value = typed.get(f"{PREFIX}{argument.name}", "")
    return Field(
        f"{PREFIX}{argument.name}", _label(argument.name), kind,
        "" if kind == "secret" else value, _hint(argument, kind), argument.default is None,
        argument.least, argument.most, argument.pattern, argument.words, error,
    )  # fmt: skip


def _kind(argument: Argument) -> str:
    if argument.kind is bool:
        return "check"
    if argument.kind is int:
        return "number"
    if argument.words:
        return "choice"
    return "secret" if argument.name in rules.SECRETS else "text"


def _hint(argument: Argument, kind: str) -> str:
    if kind == "number":
        unit = f" {argument.unit}" if argument.unit else ""
        least, most = words.number(argument.least), words.number(argument.most)
        return gettext("%(least)s to %(most)s%(unit)s", least=least, most=most, unit=unit)
    if kind == "text":
        return gettext("at most %(most)s characters", most=words.number(argument.most))
    return ""


def _label(name: str) -> str:
    known = {
        "as_file": gettext("As a file to download"),
        "back_after_s": gettext("Take it back by itself after"),
        "block_bytes": gettext("Size of a packet"),
        "bytes": gettext("Bytes to send"),
        "bytes_max": gettext("At most so many bytes"),
        "cancel_mute": gettext("Also end muting"),
        "channel": gettext("Channel"),
        "count": gettext("How many"),
        "duration_s": gettext("For how long"),
        "file": gettext("Log; all if empty"),
        "hops_max": gettext("At most so many hops"),
        "host": gettext("Host"),
        "interface": gettext("Network interface; the first one if empty"),
        "interval_ms": gettext("Between two packets"),
        "keys": gettext("Keys, such as HOME OK"),
        "lines": gettext("Lines"),
        "mode": gettext("Mode"),
        "name": gettext("Setting"),
        "packets_max": gettext("At most so many packets"),
        "pause_ms": gettext("Between two keys"),
        "pin": gettext("PIN of the subscriber"),
        "port": gettext("Port; 0 is any"),
        "repetitions": gettext("How often"),
        "server": gettext("Name server; the box's own if empty"),
        "since_s": gettext("Of the last; 0 is all"),
        "text": gettext("Sentence"),
        "timeout_ms": gettext("Wait for an answer"),
        "tries": gettext("Tries for each hop"),
        "url": gettext("Address of the test file"),
        "value": gettext("Value"),
        "when_idle": gettext("Only when nobody watches"),
    }
    return known.get(name, name)
