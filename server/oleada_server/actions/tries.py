"""How often the PIN of a box may be guessed: the box alone knows it, the server counts.

The PIN lies on the box as salt and scrypt (``data/customer-pin``) and passes through the
server once, in a signed command, which waits in the outbox and with the broker until it is
sent or too old; no order, log or audit entry has it. A try counts when the box
said that it was wrong, and as long as the box has said nothing, so that many at once are no
way around.
"""

from datetime import datetime, timedelta
from typing import Final

from oleada_wire.words import Refusal
from sqlalchemy import func, or_, select

from oleada_server.actions.errors import PinTriesError
from oleada_server.actions.models import ActionOrder
from oleada_server.actions.rules import Given
from oleada_server.db import db
from oleada_server.devices.models import Device

TRIES_MAX: Final = 3
WITHIN: Final = timedelta(days=1)


def demand_left(device_id: str, now: datetime) -> None:
    """Let one more PIN be tried on a box; part of the caller's transaction.

    The row of the box is locked until that ends, so that tries at once are counted one after
    the other.

    Raises:
        PinTriesError: :data:`TRIES_MAX` were tried within a day.
    """
    db.session.execute(select(Device.id).where(Device.id == device_id).with_for_update())
    query = select(func.count(ActionOrder.id)).where(
        ActionOrder.device_id == device_id,
        ActionOrder.consent == str(Given.PIN),
        ActionOrder.asked_at > now - WITHIN,
        or_(ActionOrder.error == str(Refusal.WRONG_PIN), ActionOrder.status.is_(None)),
    )
    tried = db.session.scalar(query) or 0
    if tried >= TRIES_MAX:
        raise PinTriesError(tried)
