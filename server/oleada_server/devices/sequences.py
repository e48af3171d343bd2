"""Numbers that tell a box which of two messages is newer; raised, never read and written."""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, case, update
from sqlalchemy.orm import InstrumentedAttribute

from oleada_server.db import chunks, db
from oleada_server.devices.models import Device

ASSIGNMENT_SEQ_MAX: Final = 2**63 - 1
"""What the wire and both databases hold; an honest box never comes near it."""


class Raised(NamedTuple):
    """The next number of a box, and whether it may stand in a message of a batch."""

    number: int
    reads_batches: bool


def record_restore(at_ms: int) -> int:
    """Raise every number above all that was given before *at_ms*; return how many boxes.

    Part of the caller's transaction. Whatever a box says next is news: it may have been
    enrolled anew since the backup, and count its starts from one again.
    """
    changed: Any = db.session.execute(
        update(Device).values(
            assignment_seq=_at_least(Device.assignment_seq, at_ms),
            cmd_seq=_at_least(Device.cmd_seq, at_ms),
            boot_count=0,
            boot_nonce="",
            seq=0,
            hello_boot="",
            health_boot="",
            connected=False,
        ),
        execution_options={"synchronize_session": False},
    )
    return int(changed.rowcount)


def _at_least(column: InstrumentedAttribute[int], value: int) -> ColumnElement[int]:
    return case((column < value, value), else_=column)


def raise_assignment_seqs(device_ids: Iterable[str]) -> dict[str, Raised]:
    """Raise the assignment number of each box by one and return it by device id.

    Part of the caller's transaction; one statement for each 500 boxes. A device that
    does not exist or is revoked is not in the answer, nor is one whose number has no next:
    a box that lies about its number must not stop everybody's assignments.
    """
    raised: dict[str, Raised] = {}
    for chunk in chunks(sorted(set(device_ids))):
        rows = db.session.execute(
            update(Device)
            .where(
                Device.id.in_(chunk),
                Device.assignment_seq < ASSIGNMENT_SEQ_MAX,
                Device.revoked_at.is_(None),
            )
            .values(assignment_seq=Device.assignment_seq + 1)
            .returning(Device.id, Device.assignment_seq, Device.reads_batches),
            execution_options={"synchronize_session": False},
        )
        raised.update((box, Raised(number, reads)) for box, number, reads in rows)
    return raised
