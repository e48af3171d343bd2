"""Giving rights to people: a role that guards something is given by two persons.

Who could give such a role alone could be two persons: one who plans, and one made for the
purpose who approves. The same holds for taking somebody's second factors, which opens the
way to enter as them. Where nobody else could confirm, one person acts alone and the audit
trail says so: else a server with one administrator would never get a second one. Somebody
who could have confirmed within the last week still counts, so that shutting out the other
administrator first does not help. The command line on the server's own machine acts alone:
who can read the server's files is stopped by no page.
"""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select

from oleada_server import config
from oleada_server.accounts import factors, second_person, service
from oleada_server.accounts.errors import NotYoursError
from oleada_server.accounts.models import ApiToken, AskedDeed, Role, User
from oleada_server.accounts.objects import Deed, OfUser, demand_on
from oleada_server.accounts.rights import GUARDED, Identity, includes
from oleada_server.audit.models import AuditEvent
from oleada_server.config import TwoPersons
from oleada_server.db import db
from oleada_server.errors import ConflictError

NEEDS: Final = Role.USER_ADMIN
SCOPE: Final = "accounts:write"
ROLE: Final = "user.role"
RESET: Final = "factor.reset"
REMEMBERED: Final = timedelta(days=7)


def gives_power(before: Role, wanted: Role) -> bool:
    """Return whether *wanted* guards something that *before* does not give; pure."""
    return wanted in GUARDED and not includes(before, wanted)


def change_role(
    name: str, role: Role, reason: str, *, person: Identity, now: datetime
) -> int | None:
    """Give user *name* another role, or ask for it; return the number of what was asked.

    None is returned when it is done. Taking rights away waits for nobody.

    Raises:
        BadInputError: A second person is needed, and there is no reason for them to read.
        UserNotFoundError: There is no such user.
        LastAdminError: Nobody would be left to administer.
    """
    db.session.rollback()
    before = Role(service.find_user(name).role)
    if not gives_power(before, role) or not needs_second(person, now, about=name):
        service.change_role(name, role, actor=person.actor, now=now)
        return None
    body = {"name": name, "before": before.value, "role": role.value}
    return second_person.ask(ROLE, f"user:{name}", body, reason, actor=person.actor, now=now)


def reset_factors(name: str, reason: str, *, person: Identity, now: datetime) -> int | None:
    """Take every second factor of user *name*, or ask for it; as :func:`change_role`.

    Somebody who guarded something within the last week still counts as who does: else one
    person takes the role, then the factors, and the other one gives the role back to
    whoever enters by then.
    """
    db.session.rollback()
    role = Role(service.find_user(name).role)
    held = {role, *_held_until(name, now)}
    if held.isdisjoint(GUARDED) or not needs_second(person, now):
        factors.reset(name, actor=person.actor, now=now)
        return None
    return second_person.ask(
        RESET, f"user:{name}", {"name": name}, reason, actor=person.actor, now=now
    )


def needs_second(person: Identity, now: datetime, about: str = "") -> bool:
    """Return whether somebody else has to confirm that *person* gives rights.

    *about* is who gets them: nobody confirms what they get themselves.
    """
    if person.is_local or config.current().two_persons == TwoPersons.OFF:
        return False
    return bool(_others(person.name, now) - {about})


def do_confirmed(deed: AskedDeed, actor: str, now: datetime) -> None:
    """Do what was asked, in the caller's transaction.

    Raises:
        ConflictError: Somebody has changed the role since.
        NotYoursError: It is about who confirms, or who asked may not ask for it any more.
        UserNotFoundError: There is no such user any more.
    """
    name = deed.body["name"]
    found = service.find_user(name)
    asker = service.identity_of(service.find_user(deed.asked_by.removeprefix("user:")))
    wanted = Role(deed.body["role"]) if deed.action == ROLE else None
    verb = Deed.CHANGE_ROLE if deed.action == ROLE else Deed.RESET_FACTORS
    demand_on(asker, verb, OfUser(name, Role(found.role), wanted))
    if deed.action == RESET:
        factors.record_reset(name, actor=actor, now=now, asked_by=deed.asked_by)
        return
    if actor == f"user:{name}":
        raise NotYoursError("It is about you; another person has to confirm.")
    if Role(found.role) != deed.body["before"] or found.disabled_at is not None:
        db.session.rollback()
        raise ConflictError(f"{name} is not {deed.body['before']} any more. Decline it, ask anew.")
    role = Role(deed.body["role"])
    service.record_role(found, role, actor=actor, now=now, asked_by=deed.asked_by)


def _held_until(name: str, now: datetime) -> set[str]:
    """Return the roles that user *name* has had within the last week, and has no more."""
    lost = select(AuditEvent).where(
        AuditEvent.action == ROLE,
        AuditEvent.object_ref == f"user:{name}",
        AuditEvent.at > now - REMEMBERED,
    )
    return {(event.before or {}).get("role", "") for event in db.session.scalars(lost)}


def _others(name: str, now: datetime) -> set[str]:
    """Return who else could confirm, or could have within the last week."""
    able = [role for role in Role if includes(role, NEEDS)]
    no_person = select(ApiToken.user_id).where(ApiToken.is_local)  # the command line
    people = select(User.name).where(
        User.name != name, User.role.in_(able), User.id.not_in(no_person)
    )
    recently = now - REMEMBERED
    there = people.where(User.disabled_at.is_(None) | (User.disabled_at > recently))
    found = set(db.session.scalars(there))
    lost = select(AuditEvent).where(AuditEvent.action == ROLE, AuditEvent.at > recently)
    for event in db.session.scalars(lost):
        was = (event.before or {}).get("role")
        about = event.object_ref.removeprefix("user:")
        if was in able and about != name:
            found.add(about)
    return found
