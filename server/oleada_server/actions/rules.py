"""May this action be ordered, and how does an order stand? Pure; facts and time in, answer out."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from oleada_wire import actions as wire
from oleada_wire.action_table import AGENT, TABLE
from oleada_wire.actions import Action, Consent, Risk

from oleada_server.actions.errors import (
    ActionDeniedError,
    ActionNotKnownError,
    BadActionError,
    ConsentMissingError,
)

SCOPES: Final[Mapping[Risk, str]] = {
    Risk.READ: "actions:read",
    Risk.DISTURBS: "actions:run",
    Risk.CHANGES: "actions:change",
    Risk.DESTROYS: "actions:destroy",
}
"""What a person needs for an action of each risk."""
BY_PEOPLE: Final = tuple(action for action in TABLE if action.name != wire.CANCEL)
"""What people may order; an order is cancelled by its own number."""
OF_EVERY_AGENT: Final = frozenset(action.name for action in AGENT) - {wire.CANCEL}
"""What agents do that are older than actions; without arguments."""
SECRETS: Final = frozenset({"pin"})
"""Arguments that are never kept; the box alone may know them."""
STANDBY: Final = "Device.Services.STBService.1.X_OLEADA_Standby"
STANDBY_FRESH: Final = timedelta(minutes=15)
LATE: Final = timedelta(minutes=1)
"""After the time to live and the timeout a result may still be on its way for so long."""
REASON_CHARS_MAX: Final = 200


class Given(StrEnum):
    """Who has agreed to an action, as the person who orders it says."""

    NONE = "none"
    VIEWER = "viewer"
    PIN = "pin"
    SECOND_PERSON = "second-person"


class State(StrEnum):
    """How an order stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class BoxFacts:
    """What is known of a box when something is ordered.

    *denied* are actions that its settings deny; *is_standby* is None when it is not known
    or was told too long ago.
    """

    reads_actions: bool
    denied: frozenset[str]
    is_standby: bool | None


def known(name: str) -> Action:
    """Return the action that people call *name*.

    Raises:
        ActionNotKnownError: There is none.
    """
    found = wire.find(BY_PEOPLE, name)
    if found is None:
        names = ", ".join(action.name for action in BY_PEOPLE)
        raise ActionNotKnownError(f"There is no action {name[:40]!r}; there are: {names}.")
    return found


def demand_possible(action: Action, box: BoxFacts) -> None:
    """Let *action* pass if this box does it.

    Raises:
        ActionNotKnownError: Its agent is older than the action.
        ActionDeniedError: Its settings deny it.
    """
    if action.name in box.denied:
        raise ActionDeniedError(action.name)
    if not box.reads_actions and action.name not in OF_EVERY_AGENT:
        raise ActionNotKnownError(
            f"The agent of this box is older than {action.name}; it knows: "
            f"{', '.join(sorted(OF_EVERY_AGENT))}. Update the box first."
        )


def needs_second_person(action: Action, arguments: Mapping[str, object]) -> bool:
    """Return whether another person has to confirm: it destroys, and no PIN was given."""
    return action.consent is Consent.TWO_PEOPLE_OR_PIN and not arguments.get("pin")


def consent_of(
    action: Action, arguments: Mapping[str, object], said: Given, box: BoxFacts
) -> Given:
    """Return by whose consent *action* may be done.

    A box in standby disturbs nobody, and one that is asked to wait until nobody watches
    looks itself.

    Raises:
        ConsentMissingError: Somebody may be watching.
    """
    if action.consent is Consent.TWO_PEOPLE_OR_PIN:
        return Given.PIN if arguments.get("pin") else Given.SECOND_PERSON
    if action.consent is Consent.NONE or said is Given.VIEWER:
        return said
    if box.is_standby or arguments.get("when_idle") is True:
        return Given.NONE
    raise ConsentMissingError(action.name)


def is_standby(parameters: Mapping[str, object], at: datetime | None, now: datetime) -> bool | None:
    """Return whether a box sleeps, by what it said of its health at *at*; None if not known."""
    if at is None or now - at > STANDBY_FRESH:
        return None
    found = parameters.get(STANDBY)
    return found if isinstance(found, bool) else None


def without_secrets(arguments: Mapping[str, wire.Value]) -> dict[str, wire.Value]:
    """Return *arguments* without what only the box may know."""
    return {name: value for name, value in arguments.items() if name not in SECRETS}


def reason_of(text: str) -> str:
    """Return the reason of an order as it is kept.

    Raises:
        BadActionError: There is none, or it is too long or not printable.
    """
    found = text.strip()
    if not 1 <= len(found) <= REASON_CHARS_MAX or not found.isprintable():
        raise BadActionError(
            f"A reason has 1 to {REASON_CHARS_MAX} printable characters; it is kept.", "reason"
        )
    return found


def state_of(
    status: str | None, heard_at: datetime | None, expires_at: datetime, timeout_ms: int,
    now: datetime,
) -> State:  # fmt: skip
    """Return how an order stands at *now*; a late result still ends it."""
    if status is not None:
        return State.DONE
    if now > last_word_at(expires_at, timeout_ms):
        return State.SILENT
    return State.RUNNING if heard_at is not None else State.WAITING


def last_word_at(expires_at: datetime, timeout_ms: int) -> datetime:
    """Return until when a box may speak of an action that it began as late as it could."""
    return expires_at + timedelta(milliseconds=timeout_ms) + LATE
