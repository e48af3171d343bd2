"""What one box should run, why, and how that went: its places in waves, with every report."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from oleada_server.db import db
from oleada_server.rollouts.models import BoxInWave, ReportRow, Rollout, Wave
from oleada_server.rollouts.states import OPEN_ROLLOUTS, PENDING, BoxState, RolloutState

PLACES_MAX = 20


@dataclass(frozen=True, slots=True)
class Place:
    """A box in one wave of one rollout, with the reports that counted, oldest first."""

    box: BoxInWave
    wave: Wave
    rollout: Rollout
    reports: Sequence[ReportRow]

    @property
    def is_open(self) -> bool:
        """Return whether the rollout still holds the box and no outcome is there yet."""
        still = RolloutState(self.rollout.state) in OPEN_ROLLOUTS
        return still and BoxState(self.box.state) in PENDING


def places(device_id: str, limit: int = PLACES_MAX) -> list[Place]:
    """Return the places of a box, newest rollout first, at most *limit*."""
    rows = db.session.execute(
        select(BoxInWave, Wave, Rollout)
        .join(Wave, Wave.id == BoxInWave.wave_id)
        .join(Rollout, Rollout.id == BoxInWave.rollout_id)
        .options(joinedload(Rollout.release))
        .where(BoxInWave.device_id == device_id)
        .order_by(BoxInWave.rollout_id.desc())
        .limit(limit)
    )
    found: list[tuple[BoxInWave, Wave, Rollout]] = [(row[0], row[1], row[2]) for row in rows]
    reports = _reports([box.id for box, _, _ in found])
    return [Place(box, wave, rollout, reports.get(box.id, [])) for box, wave, rollout in found]


def _reports(box_ids: Sequence[int]) -> dict[int, list[ReportRow]]:
    query = select(ReportRow).where(ReportRow.box_id.in_(box_ids)).order_by(ReportRow.id)
    found: dict[int, list[ReportRow]] = {}
    for row in db.session.scalars(query):
        found.setdefault(row.box_id, []).append(row)
    return found
