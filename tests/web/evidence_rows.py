"""Rows of evidence for whoever looks at the page of a rollout: they say what its boxes say."""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Final

from oleada_server.db import db
from oleada_server.rollouts.evidence import ledger
from oleada_server.rollouts.evidence.counts import Counted
from oleada_server.rollouts.evidence.models import (
    EvidenceTerms,
    HoursBeside,
    Incident,
    StratumRow,
)
from oleada_server.rollouts.models import BoxInWave
from oleada_server.rollouts.states import IN_FLIGHT, BoxState
from oleada_server.telemetry.troubles import hour_of
from sqlalchemy import select

STANDS_FOR: Final = {
    BoxState.UPDATED: Counted.GOOD,
    BoxState.FAILED: Counted.BAD,
    BoxState.ROLLED_BACK: Counted.BAD,
    BoxState.SILENT: Counted.SILENT,
}
TROUBLES: Final = {"crash": (1, 2), "dark": (2, 5), "restart": (0, 1)}
"""Bad hours of updated boxes, and of those that wait."""


def add_evidence(rollout_id: int, now: datetime) -> dict[Counted, int]:
    """Let the boxes of a rollout have begun by *now* and stand for their state since.

    Return how many stand for what.
    """
    db.session.add(
        EvidenceTerms(
            rollout_id=rollout_id, accepted_share=0.005, alpha=0.01, bad_share_max=0.05,
            doubt=0.05, start_boxes=20, ripe_after_s=900, rolls_back_trials=True, room=20,
            watches_hours=True, hours_to=hour_of(now) + timedelta(hours=1),
        )
    )  # fmt: skip
    db.session.flush()
    ledger.begin(rollout_id)
    query = select(BoxInWave).where(BoxInWave.rollout_id == rollout_id).order_by(BoxInWave.id)
    stand: defaultdict[Counted, list[int]] = defaultdict(list)
    for box in db.session.scalars(query):
        stands_for = STANDS_FOR.get(BoxState(box.state))
        if stands_for is not None or box.state in IN_FLIGHT:
            stand[stands_for or Counted.OPEN].append(box.id)
    ledger.record_many([one for ids in stand.values() for one in ids], Counted.OPEN, now)
    for minutes, counted in ((30, Counted.GOOD), (40, Counted.BAD), (50, Counted.SILENT)):
        ledger.record_many(stand[counted], counted, now + timedelta(minutes=minutes))
    found = {counted: len(ids) for counted, ids in stand.items()}
    _add_hour(rollout_id, now, found)
    _add_incident(rollout_id, now, found)
    db.session.commit()
    return found


def _add_hour(rollout_id: int, now: datetime, found: dict[Counted, int]) -> None:
    strata = select(StratumRow.id).where(StratumRow.rollout_id == rollout_id)
    for kind, (updated_bad, control_bad) in TROUBLES.items():
        db.session.add(
            HoursBeside(
                rollout_id=rollout_id, at=hour_of(now), kind=kind, late=kind == "crash",
                stratum_id=db.session.scalars(strata.order_by(StratumRow.id)).first(),
                updated=found[Counted.GOOD], updated_bad=updated_bad, control=40,
                control_bad=control_bad,
            )
        )  # fmt: skip


def _add_incident(rollout_id: int, now: datetime, found: dict[Counted, int]) -> None:
    bad, silent, good = (found.get(one, 0) for one in (Counted.BAD, Counted.SILENT, Counted.GOOD))
    db.session.add(
        Incident(
            rollout_id=rollout_id, opened_at=now, reason="it was too much",
            begun=sum(found.values()), bad=bad, silent=silent, good=good, log_e=5.0,
            top_fault="health-check", top_fault_boxes=bad,
        )
    )  # fmt: skip
