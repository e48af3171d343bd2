"""What a remote action is: its arguments, limits, risk, consent and results.

The table itself is in ``action_table``. Server and box check the same arguments with
:func:`arguments_of`: the server before it signs, the box before it acts. Names of
results are those of TR-181 and TR-135, flat: ``RouteHops.{i}.HostAddress``.
Source: docs/adr/0031-actions-run-in-children.md; TR-181 2.x, "IP Diagnostics".
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from oleada_wire.errors import BadArgumentError

WORD: Final = "actions"
"""What a box says in ``Hello.reads`` when it understands actions with arguments."""
CANCEL: Final = "cancel"
"""The verb that ends an action: its one argument is ``cmd_id``."""
RESULT_BYTES_MAX: Final = 256 * 1024
"""Of all values and texts of one action; what is beyond is cut, and ``is_truncated``."""
PROGRESS_MAX: Final = 64
"""Progress messages of one action."""
FILE_BYTES_MAX: Final = 8 * 1024 * 1024
"""Of a file that an action uploads."""
FILES_MAX: Final = 4
TEXT_CHARS_MAX: Final = 1024

Value = bool | int | str


class Risk(StrEnum):
    """What an action can do to the home, the least first."""

    READ = "read"
    DISTURBS = "disturbs"
    CHANGES = "changes"
    DESTROYS = "destroys"


class Consent(StrEnum):
    """Who must have agreed before the server signs an action."""

    NONE = "none"
    VIEWER = "viewer"
    TWO_PEOPLE_OR_PIN = "two-people-or-pin"


class Needs(StrEnum):
    """What a box must have for an action; one without it answers ``not-on-this-model``."""

    NOTHING = "nothing"
    MEDIA = "media"
    WIFI = "wifi"
    ROOT = "root"


class Argument(NamedTuple):
    """One argument of an action.

    Attributes:
        kind: ``int``, ``bool`` or ``str``.
        least: The smallest number, or the fewest characters.
        most: The largest number, or the most characters.
        unit: Of a number, such as ``ms``.
        default: None when it must be given.
        words: What a text may be; any text when empty.
        pattern: What a text must match as a whole; anything printable when empty.
    """

    name: str
    kind: type[bool] | type[int] | type[str]
    least: int = 0
    most: int = 0
    unit: str = ""
    default: Value | None = None
    words: tuple[str, ...] = ()
    pattern: str = ""


class Field(NamedTuple):
    """One value of a result; ``{i}`` in its name stands for 1, 2, 3 …"""

    name: str
    kind: type[bool] | type[int] | type[str]
    unit: str = ""


class Action(NamedTuple):
    """One thing that a box can be told to do.

    Attributes:
        name: The verb of the command.
        standard: The command of TR-181, or the object of TR-135 that it acts on; "" if none.
        summary: What it does, in one sentence.
        touches: What of the box it touches, for the reference.
        timeout_ms: Unless the command says another one.
        timeout_ms_max: Longer ones are cut to this by the box.
        ttl_ms: How long the server lets it wait for the box.
        is_safe_while_watching: Nobody who watches can notice it.
        files: Names of files that it may upload.
        errors: Words of ``ResultStatus`` that it may end with beside the common ones.
    """

    name: str
    standard: str
    summary: str
    touches: str
    risk: Risk
    consent: Consent = Consent.NONE
    arguments: tuple[Argument, ...] = ()
    results: tuple[Field, ...] = ()
    timeout_ms: int = 15_000
    timeout_ms_max: int = 60_000
    ttl_ms: int = 120_000
    is_safe_while_watching: bool = False
    needs: Needs = Needs.NOTHING
    files: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    @property
    def is_exclusive(self) -> bool:
        """Whether no other such action may run beside it: it is more than reading."""
        return self.risk is not Risk.READ


def arguments_of(action: Action, given: Mapping[str, object]) -> dict[str, Value]:
    """Return every argument of *action*: as *given*, or its default.

    Raises:
        BadArgumentError: one is unknown, missing, of a wrong kind or out of its limits.
    """
    known = {argument.name for argument in action.arguments}
    if unknown := sorted(set(given) - known):
        names = ", ".join(sorted(known)) or "none"
        raise BadArgumentError(action.name, unknown[0][:40], f"it is unknown; known are: {names}.")
    return {one.name: _checked(action, one, given) for one in action.arguments}


def timeout_ms_of(action: Action, asked_ms: int | None) -> int:
    """Return after how long *action* is ended: as *asked_ms*, within its limits."""
    return max(100, min(asked_ms or action.timeout_ms, action.timeout_ms_max))


def find(table: Iterable[Action], name: str) -> Action | None:
    """Return the action called *name*; None if there is none."""
    return next((action for action in table if action.name == name), None)


def _checked(action: Action, argument: Argument, given: Mapping[str, object]) -> Value:
    value = given.get(argument.name, argument.default)
    if value is None:
        raise BadArgumentError(action.name, argument.name, "it is missing.")
    if type(value) is not argument.kind:
        wanted = argument.kind.__name__
        raise BadArgumentError(action.name, argument.name, f"{wanted} was expected.")
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        _check_number(action, argument, value)
        return value
    assert isinstance(value, str)  # noqa: S101 - there are three kinds
    _check_text(action, argument, value)
    return value


def _check_number(action: Action, argument: Argument, value: int) -> None:
    if not argument.least <= value <= argument.most:
        unit = f" {argument.unit}" if argument.unit else ""
        why = f"{value} is not {argument.least} to {argument.most}{unit}."
        raise BadArgumentError(action.name, argument.name, why)


def _check_text(action: Action, argument: Argument, value: str) -> None:
    if argument.words:
        if value not in argument.words:
            why = f"one of {', '.join(argument.words)} was expected."
            raise BadArgumentError(action.name, argument.name, why)
        return
    if not argument.least <= len(value) <= argument.most or not (value.isprintable()):
        why = f"{argument.least} to {argument.most} printable characters were expected."
        raise BadArgumentError(action.name, argument.name, why)
    if argument.pattern and re.fullmatch(argument.pattern, value) is None:
        why = f"it must match {argument.pattern}."
        raise BadArgumentError(action.name, argument.name, why)
