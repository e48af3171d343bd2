"""Numbers that tell a box which of two messages is newer; raised, never read and written."""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import update

from oleada_server.db import chunks, db
from oleada_server.devices.models import Device

ASSIGNMENT_SEQ_MAX: Final = 2**63 - 1
"""What the wire and both databases hold; an honest box never comes near it."""


def raise_assignment_seqs(device_ids: Iterable[str]) -> dict[str, int]:
    """Raise the assignment number of each box by one and return it by device id.

    Part of the caller's transaction; one statement for each 500 boxes. A device that
    does not exist is not in the answer, nor is one whose number has no next: a box that
    lies about its number must not stop everybody's assignments.
    """
    raised: dict[str, int] = {}
    for chunk in chunks(sorted(set(device_ids))):
        rows = db.session.execute(
            update(Device)
            .where(Device.id.in_(chunk), Device.assignment_seq < ASSIGNMENT_SEQ_MAX)
            .values(assignment_seq=Device.assignment_seq + 1)
            .returning(Device.id, Device.assignment_seq),
            execution_options={"synchronize_session": False},
        )
        raised.update((row.id, row.assignment_seq) for row in rows)
    return raised
