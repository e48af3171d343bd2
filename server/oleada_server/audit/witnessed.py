"""Heads of the audit trail that boxes say back, compared with those that were issued here.

Every head that this server signs is a row of its own. A head under its signature that is
none of them was signed by somebody else with its key, or by a copy of it: boxes were shown
another trail, in which a release or a wave may stand that is not in this one (a *split
view*). What was signed between a backup and its restore is known to be lost, and is told
as that. A box can invent nothing: what the director's key has not signed is not looked at.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

from flask import current_app
from oleada_store import sealing
from oleada_store.errors import StoreError
from oleada_wire import messages
from oleada_wire.errors import WireError
from oleada_wire.messages import KINDS, AuditHead
from sqlalchemy import ColumnElement, and_, case, func, select

from oleada_server.audit import heads, service
from oleada_server.audit.models import AuditEvent, AuditSighting
from oleada_server.audit.models import AuditHead as Issued
from oleada_server.clock import to_ms
from oleada_server.db import db
from oleada_server.errors import BadInputError, ConflictError, NotFoundError

NAMED_MAX: Final = 20
"""Boxes are named up to so many; a split view of the whole fleet needs no longer list."""
ISSUED_MAX: Final = 256
OPEN_MAX: Final = 1000
"""So many that nobody has settled are kept; a thief who signs one for each box fills no disk."""
REASON_CHARS_MAX: Final = 500
ROOT_CHARS: Final = 64
SIZE_MAX: Final = 2**31 - 1
"""No trail of this server has more entries (``AuditHead.size`` has 31 bits)."""
SPLIT_ACTION: Final = "audit.split-view"
LOST_ACTION: Final = "audit.lost-head"
SETTLE_ACTION: Final = "audit.settle"
_CACHE: Final = "oleada_issued_heads"


class NoSuchSightingError(NotFoundError):
    """No head that was not issued here has this number."""

    code = "no-such-sighting"

    def __init__(self, number: int) -> None:
        super().__init__(f"There is no foreign head {number}; see: oleada audit sightings")


class SightingSettledError(ConflictError):
    """Somebody has settled it already."""

    code = "sighting-settled"

    def __init__(self, number: int) -> None:
        super().__init__(f"Foreign head {number} was settled already.")


class Kind(StrEnum):
    """What a head that was not issued here means."""

    SPLIT = "split"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Restore:
    """One restore of this server from a backup; times in milliseconds since 1970.

    Attributes:
        made_ms: When the backup was made.
        at_ms: When it was restored: the epoch from then on.
        entries: Of the trail, as the backup had it.
    """

    made_ms: int
    at_ms: int
    entries: int


def judge(head: AuditHead, restores: Sequence[Restore]) -> Kind:
    """Return what it means that *head*, under this server's signature, is none of its heads."""
    for one in restores:
        was_then = one.made_ms <= head.signed_ms <= one.at_ms
        if was_then and head.epoch < one.at_ms and head.size >= one.entries:
            return Kind.LOST
    return Kind.SPLIT


def record_seen(device_id: str, sealed: str, now: datetime) -> None:
    """Compare the head in envelope *sealed*, which box *device_id* was shown, with ours.

    Takes part in the caller's transaction. What is no head, or not signed by the
    director's key of this server, says nothing and is left alone.
    """
    issued: set[str] = current_app.extensions.setdefault(_CACHE, set())
    if sealed in issued:
        return
    if _is_issued(sealed):
        if len(issued) >= ISSUED_MAX:
            issued.clear()
        issued.add(sealed)
    elif (head := _signed(sealed)) is not None:
        _note(device_id, head, sealed, now)


def unsettled() -> list[AuditSighting]:
    """Return the split views that nobody has settled, oldest first."""
    return list(
        db.session.scalars(select(AuditSighting).where(_is_open()).order_by(AuditSighting.id))
    )


def list_all() -> list[AuditSighting]:
    """Return every head that was seen and not issued here, newest first."""
    return list(db.session.scalars(select(AuditSighting).order_by(AuditSighting.id.desc())))


def first(count_max: int) -> list[AuditSighting]:
    """Return up to *count_max* of them: split views that nobody has settled, then the newest."""
    open_first = case((_is_open(), 0), else_=1)
    query = select(AuditSighting).order_by(open_first, AuditSighting.id.desc())
    return list(db.session.scalars(query.limit(count_max)))


def count() -> int:
    """Return how many there are."""
    return db.session.scalar(select(func.count(AuditSighting.id))) or 0


def settle(number: int, actor: str, reason: str, now: datetime) -> AuditSighting:
    """Take note that a person has cleared up foreign head *number*; one transaction.

    Raises:
        NoSuchSightingError: there is none of that number.
        SightingSettledError: it was settled before.
        BadInputError: no reason is given.
    """
    if not reason.strip():
        raise BadInputError("Say how it was cleared up: a reason is needed.", "reason")
    service.one_at_a_time()
    found = db.session.get(AuditSighting, number, with_for_update=True)
    if found is None:
        raise NoSuchSightingError(number)
    if found.settled_at is not None:
        raise SightingSettledError(number)
    found.settled_at, found.settled_reason = now, reason.strip()
    service.record(actor, SETTLE_ACTION, _ref(found.size), now=now, reason=found.settled_reason)
    db.session.commit()
    return found


def settled_by(one: AuditSighting) -> str:
    """Return the actor who has settled *one*, as the trail says; empty if nobody has."""
    if one.settled_at is None:
        return ""
    entry = select(AuditEvent.actor).where(
        AuditEvent.action == SETTLE_ACTION,
        AuditEvent.object_ref == _ref(one.size),
        AuditEvent.at == one.settled_at,
    )
    return db.session.scalar(entry.limit(1)) or ""


def shown(one: AuditSighting) -> dict[str, Any]:
    """Return *one* as REST and ``--json`` spell it."""
    return {
        "number": one.id,
        "kind": one.kind,
        "first_seen": one.at.isoformat(),
        "size": one.size,
        "root_sha256": one.root_sha256,
        "epoch": one.epoch,
        "signed_ms": one.signed_ms,
        "boxes": one.boxes,
        "envelope": one.envelope,
        "settled_at": one.settled_at.isoformat() if one.settled_at else None,
        "settled_reason": one.settled_reason,
    }


def lines(one: dict[str, Any]) -> Iterator[str]:
    """Yield what ``shown`` has found, in words."""
    what = {
        Kind.SPLIT: "SPLIT VIEW: this server's key has signed a head that it never issued",
        Kind.LOST: "lost in a restore: signed after the backup that was restored",
    }[Kind(one["kind"])]
    yield f"{one['number']}  {what}"
    yield f"   {one['size']} entries, root {one['root_sha256'][:16]}…, signed at {one['signed_ms']}"
    maybe = " and maybe more" if len(one["boxes"]) >= NAMED_MAX else ""
    yield f"   seen by {', '.join(one['boxes'])}{maybe}, first on {one['first_seen']}"
    if one["settled_at"]:
        yield f"   settled on {one['settled_at']}: {one['settled_reason']}"


def restores() -> list[Restore]:
    """Return every restore that the trail knows of, oldest first."""
    query = select(AuditEvent.id, AuditEvent.at, AuditEvent.after)
    rows = db.session.execute(
        query.where(AuditEvent.action == heads.RESTORED).order_by(AuditEvent.id)
    ).all()
    found = []
    for row in rows:
        made_at = _made_at(row.after, row.at)
        found.append(Restore(to_ms(made_at), to_ms(row.at), _entries_in(row.id, made_at)))
    return found


def _made_at(after: dict[str, Any] | None, at: datetime) -> datetime:
    try:
        return datetime.fromisoformat((after or {})["made_at"])
    except (KeyError, TypeError, ValueError):
        return at  # nothing is known to be lost


def _entries_in(restore_id: int, made_at: datetime) -> int:
    """Return how many entries the backup had; the restore's own deeds come before its entry."""
    query = select(func.count(AuditEvent.id)).where(AuditEvent.id < restore_id)
    return db.session.scalar(query.where(AuditEvent.at <= made_at)) or 0


def _is_open() -> ColumnElement[bool]:
    return and_(AuditSighting.kind == Kind.SPLIT, AuditSighting.settled_at.is_(None))


def _is_issued(sealed: str) -> bool:
    """Return whether *sealed* is, letter by letter, a head of this server."""
    try:
        size = sealing.payload_of(KINDS[AuditHead], sealed).get("size")
    except StoreError:
        return False
    if type(size) is not int or not 0 <= size <= SIZE_MAX:
        return False
    wanted = select(Issued.id).where(Issued.size == size, Issued.envelope == sealed)
    return db.session.scalar(wanted.limit(1)) is not None


def _signed(sealed: str) -> AuditHead | None:
    """Return the head in *sealed* if the director's key of this server has signed it."""
    try:
        return messages.open_message(AuditHead, sealed.encode(), heads.director_role())
    except (WireError, BadInputError):
        return None


def _note(device_id: str, head: AuditHead, sealed: str, now: datetime) -> None:
    digest = _digest(sealed)
    service.one_at_a_time()
    known = select(AuditSighting).where(AuditSighting.envelope_sha256 == digest)
    found = db.session.scalar(known.with_for_update())
    if found is None:
        kind = judge(head, restores())
        if _is_full(kind):
            return
        found = _first(device_id, kind, head, sealed, now)
    if device_id not in found.boxes and len(found.boxes) < NAMED_MAX:
        found.boxes = [*found.boxes, device_id]
        db.session.flush()


def _digest(sealed: str) -> str:
    return sha256(sealed.encode()).hexdigest()


def _is_full(kind: Kind) -> bool:
    """Return whether so many of *kind* are there that one more says nothing new.

    Each kind by itself: who has heads called lost does not keep a split view from ringing.
    """
    found = select(func.count(AuditSighting.id)).where(
        AuditSighting.kind == kind, AuditSighting.settled_at.is_(None)
    )
    return (db.session.scalar(found) or 0) >= OPEN_MAX


def _first(
    device_id: str, kind: Kind, head: AuditHead, sealed: str, now: datetime
) -> AuditSighting:
    root = _legible(head.root_sha256)
    found = AuditSighting(
        at=now,
        kind=kind,
        size=head.size,
        root_sha256=root,
        epoch=head.epoch,
        signed_ms=head.signed_ms,
        envelope_sha256=_digest(sealed),
        envelope=sealed,
        boxes=[],
    )
    db.session.add(found)
    action = SPLIT_ACTION if kind is Kind.SPLIT else LOST_ACTION
    after = {"root_sha256": root, "epoch": head.epoch, "signed_ms": head.signed_ms}
    service.record(f"device:{device_id}", action, _ref(head.size), now=now, after=after)
    return found


def _legible(root: str) -> str:
    """Return *root*, 64 characters of it at most, with a question mark for what is no hex digit.

    Its signer may be a thief: what fits in no column would have the box's message refused
    and nobody warned, and terminals obey some characters. The envelope is kept as it is.
    """
    return re.sub("[^0-9a-f]", "?", root[:ROOT_CHARS])


def _ref(size: int) -> str:
    return f"head:{size}"
