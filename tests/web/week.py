"""A week of counts of the fleet, for its chart."""

import math
from datetime import datetime, timedelta
from random import Random

from oleada_server.db import db
from oleada_server.devices.models import FleetCount
from sqlalchemy import insert


def count_a_week(boxes: int, now: datetime, seed: int = 5) -> None:
    """Store what the scheduler would have counted in eight days; one night it was off."""
    dice = Random(seed)
    rows = []
    for quarter in range(8 * 96):
        at = now - timedelta(minutes=15 * quarter)
        if 30 < quarter < 37:
            continue
        evening = math.exp(-(((at.hour + at.minute / 60 - 3.5) / 2.5) ** 2))
        silent = int(boxes * (0.05 + 0.04 * evening)) + dice.randint(0, max(1, boxes // 300))
        never = boxes // 41
        rows.append(
            {
                "at": at,
                "boxes": boxes,
                "heard": boxes - silent - never,
                "never": never,
                "updating": int(boxes * 0.014 * evening),
            }
        )
    db.session.execute(insert(FleetCount), rows)
