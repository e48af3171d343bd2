"""May this person do this to this very thing? The one place where that is decided; pure.

A role or a scope opens a door (``rights.py``); behind it this function looks at the thing
itself: whose it is, who made it, who signed it. What it does not know it refuses.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from oleada_server.accounts.errors import NotYoursError
from oleada_server.accounts.models import Role
from oleada_server.accounts.rights import Identity, includes


class Deed(StrEnum):
    """What is done to one thing."""

    APPROVE = "approve"
    TAKE_BACK = "take-back"
    CHANGE_ROLE = "change-role"
    MAKE_LINK = "make-link"
    SHUT_OUT = "shut-out"
    LET_IN = "let-in"
    RESET_FACTORS = "reset-factors"
    END_SESSION = "end-session"
    END_TOKEN = "end-token"  # noqa: S105 - the name of a deed
    MAKE_TOKEN = "make-token"  # noqa: S105 - the name of a deed
    CONFIRM = "confirm"


@dataclass(frozen=True, slots=True)
class OfRollout:
    """A rollout: actors who planned it and asked, and who own a key that signed its release."""

    planned_by: str
    asked_by: str | None
    signed_by: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class OfUser:
    """A user, or what belongs to one: sessions, tokens, factors. *wanted* is a new role."""

    name: str
    role: Role
    wanted: Role | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A deed that needs two persons, and the actor who asked for it."""

    asked_by: str


Thing = OfRollout | OfUser | Asked


def refusal(person: Identity, deed: Deed, thing: Thing) -> str | None:
    """Return why *person* may not do *deed* to *thing*, as a sentence; None if they may."""
    rule = _RULES.get((deed, type(thing)))
    if rule is None:
        return f"Nobody may {deed} this."
    return rule(person, thing)


def demand_on(person: Identity, deed: Deed, thing: Thing) -> None:
    """Let *person* do *deed* to *thing*.

    Raises:
        NotYoursError: They may not; says why.
    """
    if (why := refusal(person, deed, thing)) is not None:
        raise NotYoursError(why)


def is_first_person(actor: str, thing: OfRollout) -> bool:
    """Return whether *actor* planned a rollout or asked for it, so that another one decides."""
    return actor in {thing.planned_by, thing.asked_by}


def _approve(person: Identity, thing: OfRollout) -> str | None:
    if is_first_person(person.actor, thing):
        return "You planned it or asked for its approval; another person has to decide."
    if person.actor in thing.signed_by:
        return "You own a key that signed its release; who signs does not approve."
    return None


def _take_back(person: Identity, thing: OfRollout) -> str | None:
    own = person.actor in {thing.planned_by, thing.asked_by}
    return None if own or person.may(Role.APPROVER) else "Only who asked, or an approver, may."


def _change_role(person: Identity, thing: OfUser) -> str | None:
    assert thing.wanted is not None, "a change of role names the new one"  # noqa: S101
    if thing.name == person.name and not includes(thing.role, thing.wanted):
        return "Nobody gives themselves more rights; another user administrator has to do it."
    if Role.ADMIN in {thing.role, thing.wanted} and not person.may(Role.ADMIN):
        return "Only an administrator makes or unmakes an administrator."
    return None


def _of_a_user(person: Identity, thing: OfUser) -> str | None:
    if thing.role is Role.ADMIN and not person.may(Role.ADMIN):
        return "Only an administrator may do this to an administrator."
    return None


def _of_another(person: Identity, thing: OfUser) -> str | None:
    if thing.name == person.name:
        return "Nobody resets their own second factors; another user administrator has to do it."
    return _of_a_user(person, thing)


def _own(person: Identity, thing: OfUser) -> str | None:
    if thing.name == person.name:
        return None
    if not person.may(Role.USER_ADMIN):
        return "This belongs to somebody else."
    return _of_a_user(person, thing)


def _only_own(person: Identity, thing: OfUser) -> str | None:
    return None if thing.name == person.name else "Everybody makes their own tokens."


def _confirm(person: Identity, thing: Asked) -> str | None:
    if person.actor == thing.asked_by:
        return "You asked for it; another person has to confirm."
    return None


_RULES: Final[Mapping[tuple[Deed, type[Thing]], Callable[..., str | None]]] = {
    (Deed.APPROVE, OfRollout): _approve,
    (Deed.TAKE_BACK, OfRollout): _take_back,
    (Deed.CHANGE_ROLE, OfUser): _change_role,
    (Deed.MAKE_LINK, OfUser): _of_a_user,
    (Deed.SHUT_OUT, OfUser): _of_a_user,
    (Deed.LET_IN, OfUser): _of_a_user,
    (Deed.RESET_FACTORS, OfUser): _of_another,
    (Deed.END_SESSION, OfUser): _own,
    (Deed.END_TOKEN, OfUser): _own,
    (Deed.MAKE_TOKEN, OfUser): _only_own,
    (Deed.CONFIRM, Asked): _confirm,
}
