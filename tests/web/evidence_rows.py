"""Rows of evidence for whoever looks at the page of a rollout."""

from datetime import datetime, timedelta

from oleada_server.db import db
from oleada_server.rollouts.evidence import ledger
from oleada_server.rollouts.evidence.counts import Counted
from oleada_server.rollouts.evidence.models import EvidenceTerms, Incident
from oleada_server.rollouts.models import BoxInWave
from sqlalchemy import select


def add_evidence(rollout_id: int, now: datetime) -> None:
    """Let 30 boxes of a rollout have begun by *now*, 25 proved good, 2 failed, 1 be silent."""
    db.session.add(
        EvidenceTerms(
            rollout_id=rollout_id, accepted_share=0.005, alpha=0.01, bad_share_max=0.05,
            doubt=0.05, start_boxes=20, ripe_after_s=900, rolls_back_trials=True, room=20,
        )
    )  # fmt: skip
    db.session.flush()
    ledger.begin(rollout_id)
    query = select(BoxInWave.id).where(BoxInWave.rollout_id == rollout_id).order_by(BoxInWave.id)
    ids = list(db.session.scalars(query.limit(30)))
    ledger.record_many(ids, Counted.OPEN, now)
    ledger.record_many(ids[:25], Counted.GOOD, now + timedelta(minutes=30))
    ledger.record_many(ids[25:27], Counted.BAD, now + timedelta(minutes=40))
    ledger.record_many(ids[27:28], Counted.SILENT, now + timedelta(minutes=50))
    db.session.add(
        Incident(
            rollout_id=rollout_id, opened_at=now, reason="it was too much", begun=30, bad=2,
            silent=1, good=25, log_e=5.0, top_fault="health-check", top_fault_boxes=2,
        )
    )  # fmt: skip
    db.session.commit()
