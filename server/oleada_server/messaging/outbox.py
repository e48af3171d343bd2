"""The outbox's other end: what the broker does not have yet, and that it has it now.

No MQTT here. A *canary*, a number kept in the database and retained in the broker, is
raised after each batch of retained messages: a broker that lost any of them (killed,
or its store was wiped) has lost the newest canary too, and gets everything again.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from oleada_wire.topics import PREFIX
from sqlalchemy import Table, bindparam, delete, exists, or_, select, update

from oleada_server.db import chunks, db, read_only
from oleada_server.messaging.models import Counter, OutboxMessage, RetainedMessage
from oleada_server.messaging.service import CANARY, next_number

CANARY_TOPIC: Final = f"{PREFIX}/s/canary"
ECHO_TOPIC: Final = f"{PREFIX}/s/echo"
"""What a publisher says to itself: what the broker had for it before has come (memory.py)."""


_IS_UNSENT: Final = RetainedMessage.sent_revision < RetainedMessage.revision
_ANYTHING_WAITS: Final = select(
    or_(exists(select(OutboxMessage.id)), exists(select(RetainedMessage.id).where(_IS_UNSENT)))
)


@dataclass(frozen=True, slots=True)
class Sending:
    """One message to publish.

    Attributes:
        row_id: Of its row.
        revision: Of a retained message; None for one that is sent once.
        expiry_s: MQTT message expiry; None for none. A retained message that has expired
            is sent empty, which clears its topic.
    """

    row_id: int
    revision: int | None
    topic: str
    payload: bytes
    expiry_s: int | None

    @property
    def retain(self) -> bool:
        """Whether the broker must hold it."""
        return self.revision is not None


def unsent(now: datetime, limit: int, on_their_way: Collection[Sending] = ()) -> list[Sending]:
    """Return at most *limit* messages that the broker does not have, oldest first.

    What has expired and need not be sent is deleted on the way.

    Args:
        now: Aware time.
        limit: Most messages to return.
        on_their_way: Published, but not confirmed yet: left out.
    """
    if not _anything_waits():
        return []
    once = {one.row_id for one in on_their_way if not one.retain}
    held = {(one.row_id, one.revision) for one in on_their_way if one.retain}
    read_only()
    query = select(OutboxMessage).order_by(OutboxMessage.id).limit(limit + len(once))
    rows = [row for row in db.session.scalars(query) if row.id not in once]
    dead = [row.id for row in rows if row.expires_at is not None and row.expires_at <= now]
    found = [
        Sending(row.id, None, row.topic, row.payload, _left_s(row.expires_at, now))
        for row in rows
        if row.id not in dead
    ]
    retained = select(RetainedMessage).where(_IS_UNSENT)
    for row in db.session.scalars(retained.order_by(RetainedMessage.id).limit(limit + len(held))):
        if (row.id, row.revision) not in held:
            found.append(_retained(row, now))
    db.session.rollback()
    _delete(dead)
    return found[:limit]


def _anything_waits() -> bool:
    """Return whether there is a message that the broker may not have.

    Asked twenty times a second, mostly in vain: below the session, an eighth of the cost.
    """
    db.session.rollback()
    with db.engine.connect().execution_options(oleada_read_only=True) as connection:
        return bool(connection.scalar(_ANYTHING_WAITS))


def mark_sent(sent: Iterable[Sending]) -> int | None:
    """Write that the broker has *sent*; return the new canary if any of them is retained."""
    done = list(sent)
    for chunk in chunks([one.row_id for one in done if not one.retain]):
        db.session.execute(delete(OutboxMessage).where(OutboxMessage.id.in_(chunk)))
    retained = [{"b_id": one.row_id, "b_sent": one.revision} for one in done if one.retain]
    if retained:
        db.session.connection().execute(_MARK, retained)
    canary = next_number(CANARY) if retained else None
    db.session.commit()
    return canary


def canary() -> int:
    """Return the number that a broker with a whole memory holds; 0 if none was set yet."""
    read_only()
    found = db.session.scalar(select(Counter.value).where(Counter.name == CANARY))
    db.session.rollback()
    return found or 0


def send_all_again() -> int:
    """Mark every retained message as unsent; return how many there are."""
    found: Any = db.session.execute(
        update(RetainedMessage).where(RetainedMessage.sent_revision > 0).values(sent_revision=0)
    )
    db.session.commit()
    return int(found.rowcount)


_table = cast(Table, RetainedMessage.__table__)
_MARK: Final = (
    update(_table)
    .where(_table.c.id == bindparam("b_id"), _table.c.sent_revision < bindparam("b_sent"))
    .values(sent_revision=bindparam("b_sent"))
)


def _retained(row: RetainedMessage, now: datetime) -> Sending:
    left_s = _left_s(row.expires_at, now)
    if left_s is not None and left_s <= 0:
        return Sending(row.id, row.revision, row.topic, b"", None)
    return Sending(row.id, row.revision, row.topic, row.payload, left_s)


def _left_s(expires_at: datetime | None, now: datetime) -> int | None:
    return None if expires_at is None else math.ceil((expires_at - now).total_seconds())


def _delete(row_ids: list[int]) -> None:
    if not row_ids:
        return
    for chunk in chunks(row_ids):
        db.session.execute(delete(OutboxMessage).where(OutboxMessage.id.in_(chunk)))
    db.session.commit()
