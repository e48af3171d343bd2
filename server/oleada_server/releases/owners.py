"""Who holds which signing key, so that who signs a release does not also approve it.

The server never sees a signing key; it knows its id from the metadata. Naming its owner
needs two persons: one asks, another one confirms. The command line of the server's own
machine names one alone, which the audit trail says: who can read the server's files is
stopped by no page. The box keeps the same rule by itself: two keys have to sign.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import select

from oleada_server.accounts import second_person
from oleada_server.accounts.models import AskedDeed, Role, User
from oleada_server.accounts.rights import includes
from oleada_server.accounts.service import find_user
from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.devices.models import HardwareModel
from oleada_server.errors import BadInputError
from oleada_server.releases import keys
from oleada_server.releases.errors import OneSignerError
from oleada_server.releases.models import SigningKeyOwner

OWNER: Final = "key.owner"
NEEDS: Final = Role.USER_ADMIN
SCOPE: Final = "accounts:write"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs releases: for which models, and whose it is, by name and in full."""

    key_id: str
    models: tuple[str, ...]
    owner: str | None = None
    owner_name: str | None = None


def list_keys() -> list[SigningKey]:
    """Return every key that the published metadata lets sign releases, with its owner."""
    models: dict[str, list[str]] = {}
    for model in db.session.scalars(select(HardwareModel.name).order_by(HardwareModel.name)):
        rule = keys.rule_of(model)
        for key_id in rule.key_ids if rule is not None else ():
            models.setdefault(key_id, []).append(model)
    held = _owners(models)
    return [
        SigningKey(key_id, tuple(of), *held.get(key_id, (None, None)))
        for key_id, of in sorted(models.items(), key=lambda item: (item[1], item[0]))
    ]


def actors_of(key_ids: Iterable[str]) -> frozenset[str]:
    """Return the actors who own one of *key_ids*."""
    return frozenset(f"user:{name}" for name, _ in _owners(key_ids).values())


def demand_two_owners(key_ids: Sequence[str]) -> None:
    """Accept the keys that signed a release unless one person owns two of them.

    Raises:
        OneSignerError: One does.
    """
    names = [name for name, _ in _owners(key_ids).values()]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise OneSignerError(min(twice))


def waiting(now: datetime) -> Sequence[AskedDeed]:
    """Return what waits for a second person, oldest first."""
    return second_person.waiting(now, OWNER)


def ask(key_id: str, user_name: str, reason: str, *, actor: str, now: datetime) -> int:
    """Ask that the owner of *key_id* be *user_name*, nobody if that is empty; return its number.

    Raises:
        BadInputError: No such key, no reason, or a person who may not sign.
        UserNotFoundError: There is no such user.
    """
    db.session.rollback()
    _check(key_id, user_name)
    body = {"key_id": key_id, "user": user_name}
    return second_person.ask(
        OWNER, _ref(key_id), body, reason, actor=actor, now=now, shown={"owner": user_name}
    )


def do_confirmed(deed: AskedDeed, actor: str, now: datetime) -> None:
    """Name the owner that was asked for, in the caller's transaction.

    Raises:
        BadInputError: The key signs nothing any more, or its owner-to-be may not sign.
        UserNotFoundError: There is no such user any more.
    """
    _check(deed.body["key_id"], deed.body["user"])
    _set(deed.body["key_id"], deed.body["user"], actor, now, deed.asked_by)


def set_owner(key_id: str, user_name: str, *, actor: str, now: datetime) -> None:
    """Name the owner of *key_id* alone, as the server's own machine may; nobody if empty.

    Raises:
        BadInputError: No such key, or a person who may not sign.
        UserNotFoundError: There is no such user.
    """
    db.session.rollback()
    _check(key_id, user_name)
    _set(key_id, user_name, actor, now, None)
    db.session.commit()


def _check(key_id: str, user_name: str) -> None:
    if key_id not in {key.key_id for key in list_keys()}:
        raise BadInputError(f"No key {key_id[:80]!r} signs releases here.", "key_id")
    if user_name and not includes(Role(find_user(user_name).role), Role.RELEASE_SIGNER):
        raise BadInputError(
            f"{user_name} may not sign releases; their role has to include release signer.", "user"
        )


def _set(key_id: str, user_name: str, actor: str, now: datetime, asked_by: str | None) -> None:
    row = db.session.get(SigningKeyOwner, key_id)
    before = db.session.get_one(User, row.user_id).name if row is not None else ""
    if row is not None:
        db.session.delete(row)
        db.session.flush()
    if user_name:
        user_id = find_user(user_name).id
        db.session.add(SigningKeyOwner(key_id=key_id, user_id=user_id, since=now))
    after = {"owner": user_name} | ({"asked_by": asked_by} if asked_by else {})
    audit.record(actor, OWNER, _ref(key_id), now=now, before={"owner": before}, after=after)


def _ref(key_id: str) -> str:
    return f"key:{key_id[:16]}"


def _owners(key_ids: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return name and full name of the owner of each of *key_ids* that has one."""
    query = select(SigningKeyOwner.key_id, User.name, User.full_name).join(
        User, User.id == SigningKeyOwner.user_id
    )
    found = db.session.execute(query.where(SigningKeyOwner.key_id.in_(list(key_ids))))
    return {key_id: (name, full_name) for key_id, name, full_name in found}
