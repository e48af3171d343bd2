"""What pages read of telemetry: the health samples of one box over a time."""

from datetime import datetime

from sqlalchemy import select

from oleada_server.db import db
from oleada_server.telemetry.models import HealthSample

SAMPLES_MAX = 3000
"""Of one box on one page: a week of samples every few minutes fits."""


def samples_of(device_id: str, since: datetime, limit: int = SAMPLES_MAX) -> list[HealthSample]:
    """Return the health samples of a box received after *since*, oldest first.

    At most *limit*, the newest: a box that talks far too much does not slow a page.
    """
    query = select(HealthSample).where(
        HealthSample.device_id == device_id, HealthSample.received_at > since
    )
    newest = query.order_by(HealthSample.received_at.desc(), HealthSample.id.desc())
    return list(db.session.scalars(newest.limit(limit)))[::-1]
