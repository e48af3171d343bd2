"""Boxes that another rollout has taken over: their newest assignment is not ours to take back."""

from collections.abc import Iterable

from sqlalchemy import func, select
from sqlalchemy.orm import aliased

from oleada_server.db import chunks, db
from oleada_server.rollouts.models import BoxInWave


def assigned(rollout_id: int, device_ids: Iterable[str]) -> set[str]:
    """Return which boxes were assigned by another rollout after this one had them."""
    here, there = aliased(BoxInWave), aliased(BoxInWave)
    found: set[str] = set()
    for chunk in chunks(device_ids):
        query = (
            select(there.device_id)
            .join(here, here.device_id == there.device_id)
            .where(
                here.rollout_id == rollout_id,
                there.rollout_id != rollout_id,
                there.device_id.in_(chunk),
                there.assignment_expires_at.is_not(None),
                func.coalesce(there.assigned_at >= here.assigned_at, False),
            )
        )
        found.update(db.session.scalars(query))
    return found
