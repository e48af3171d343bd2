"""Deeds that need two persons: one asks, another one confirms, and only then it is done.

What is asked for is kept as it was asked; the feature whose deed it is looks once more
whether it still fits when it is confirmed. Who asked may take it back and never confirm
it, by whatever session or token: the rule looks at the person. Nothing waits for ever, and
what was asked by somebody who may not ask any more is not done.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from importlib import import_module
from typing import Final, Protocol, cast

from sqlalchemy import select

from oleada_server.accounts.errors import (
    AskedDeedExpiredError,
    AskedDeedNotFoundError,
    RoleMissingError,
    ScopeMissingError,
)
from oleada_server.accounts.models import AskedDeed, Role, User
from oleada_server.accounts.objects import Asked, Deed, demand_on
from oleada_server.accounts.rights import Identity, includes
from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.errors import BadInputError, ConflictError

LIVES: Final = timedelta(days=3)
"""So long a request waits: over a weekend, and not until nobody knows why any more."""
REASON_CHARS_MAX: Final = 500
KINDS: Final[Mapping[str, str]] = {
    "key.owner": "oleada_server.releases.owners",
    "user.role": "oleada_server.accounts.rights_given",
    "factor.reset": "oleada_server.accounts.rights_given",
    "device.act": "oleada_server.actions.service",
    "device.revoke-many": "oleada_server.enrolment.mass_revocation",
}
"""By action: the module that does it, imported when it is done."""


class Doer(Protocol):
    """What such a module has: who may ask and confirm, and how it is done."""

    NEEDS: Role
    SCOPE: str

    def do_confirmed(self, deed: AskedDeed, actor: str, now: datetime) -> None:
        """Do what *deed* says in the caller's transaction; raises if it does not fit any more."""


def ask(
    action: str,
    object_ref: str,
    body: Mapping[str, str],
    reason: str,
    *,
    actor: str,
    now: datetime,
    shown: Mapping[str, object] | None = None,
) -> int:
    """Keep what *actor* asks for until another person decides; return its number. Commits.

    Args:
        action: One of :data:`KINDS`.
        object_ref: What it is about, as the audit trail says it.
        body: What the feature needs to do it.
        reason: For the second person to read.
        actor: Who asks.
        now: Aware time.
        shown: What the audit trail keeps of *body*; all of it without that.

    Raises:
        BadInputError: There is no reason.
    """
    if not reason.strip():
        raise BadInputError("Say why; the second person reads it.", "reason")
    deed = AskedDeed(
        action=action, object_ref=object_ref, body=dict(body), asked_by=actor, asked_at=now,
        reason=reason.strip()[:REASON_CHARS_MAX],
    )  # fmt: skip
    db.session.add(deed)
    db.session.flush()
    audit.record(actor, f"{action}-ask", object_ref, now=now, reason=deed.reason,
                 after=dict(body if shown is None else shown))  # fmt: skip
    number = deed.id
    db.session.commit()
    return number


def waiting(now: datetime, *actions: str) -> Sequence[AskedDeed]:
    """Return what waits for a second person, oldest first; of *actions* alone if given."""
    query = select(AskedDeed).where(AskedDeed.outcome == "", AskedDeed.asked_at > now - LIVES)
    if actions:
        query = query.where(AskedDeed.action.in_(actions))
    return db.session.scalars(query.order_by(AskedDeed.id)).all()


def decide(deed_id: int, person: Identity, *, confirm: bool, now: datetime) -> None:
    """Confirm what somebody else asked for and do it, or decline it; commits.

    Who asked may take it back.

    Raises:
        AskedDeedNotFoundError: Nothing of this number waits.
        AskedDeedExpiredError: It waited for too long; it is closed now.
        RoleMissingError, ScopeMissingError: *person* may not do such a deed.
        NotYoursError: *person* asked for it.
        ConflictError: It does not fit any more, or who asked may not ask any more.
    """
    db.session.rollback()
    deed = db.session.get(AskedDeed, deed_id, with_for_update=True)
    if deed is None or deed.outcome:
        db.session.rollback()
        raise AskedDeedNotFoundError(deed_id)
    doer = doer_of(deed.action)
    _demand_right(person, doer)
    if abs(now - deed.asked_at) >= LIVES:
        _close(deed, "expired", "system:server", now)
        raise AskedDeedExpiredError(deed_id)
    if not confirm:
        _close(deed, "declined", person.actor, now)
        return
    demand_on(person, Deed.CONFIRM, Asked(deed.asked_by))
    _demand_asker(deed, doer)
    doer.do_confirmed(deed, person.actor, now)
    deed.decided_by, deed.decided_at, deed.outcome = person.actor, now, "confirmed"
    db.session.commit()


def doer_of(action: str) -> Doer:
    """Return the module that does *action*."""
    return cast(Doer, import_module(KINDS[action]))


def tick(now: datetime) -> int:
    """Close what has waited for too long; return how much there was."""
    query = select(AskedDeed.id).where(AskedDeed.outcome == "", AskedDeed.asked_at <= now - LIVES)
    found = list(db.session.scalars(query))
    db.session.rollback()
    for deed_id in found:
        deed = db.session.get(AskedDeed, deed_id, with_for_update=True)
        if deed is not None and not deed.outcome:
            _close(deed, "expired", "system:server", now)
    return len(found)


def _demand_right(person: Identity, doer: Doer) -> None:
    if not person.may(doer.NEEDS):
        db.session.rollback()
        raise RoleMissingError(doer.NEEDS, person.role)
    if not person.may_scope(doer.SCOPE):
        db.session.rollback()
        raise ScopeMissingError(doer.SCOPE)


def _demand_asker(deed: AskedDeed, doer: Doer) -> None:
    """Let a deed pass whose asker could ask for it today."""
    name = deed.asked_by.removeprefix("user:")
    user = db.session.scalar(select(User).where(User.name == name))
    able = user is not None and user.disabled_at is None and includes(Role(user.role), doer.NEEDS)
    if not able:
        db.session.rollback()
        raise ConflictError(f"{name} asked for it and may not ask for it any more. Decline it.")


def _close(deed: AskedDeed, outcome: str, actor: str, now: datetime) -> None:
    deed.decided_by, deed.decided_at, deed.outcome = actor, now, outcome
    verb = {"declined": "decline", "expired": "expire"}[outcome]
    audit.record(actor, f"{deed.action}-{verb}", deed.object_ref, now=now,
                 after={"asked_by": deed.asked_by})  # fmt: skip
    db.session.commit()
