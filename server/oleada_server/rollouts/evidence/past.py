"""What past rollouts teach the next one: how many boxes usually fail, and how fast they report."""

from datetime import timedelta
from typing import Final

from sqlalchemy import case, func, select

from oleada_server.db import db
from oleada_server.releases.models import Release
from oleada_server.rollouts.evidence import maturity
from oleada_server.rollouts.evidence.counts import Counted
from oleada_server.rollouts.evidence.models import BoxOutcome, EvidenceTerms
from oleada_server.rollouts.evidence.spec import EvidenceSpec
from oleada_server.rollouts.models import BoxInWave, Rollout
from oleada_server.rollouts.states import BoxState

DELAYS_MAX: Final = 5000
"""So many of the newest verdicts: the quantile then rests on 25 boxes."""
SHARE_MIN: Final = 0.005
SHARE_MAX: Final = 0.04
"""What usually fails may be accepted up to here; more needs a person who types it."""
TIMES_USUAL: Final = 1.5


def terms(rollout_id: int, hardware_model: str, spec: EvidenceSpec) -> EvidenceTerms:
    """Return the terms of a new rollout: as planned, and learned where that is open."""
    accepted = spec.accepted_share
    if accepted is None:
        accepted = min(usual_share(hardware_model), spec.bad_share_max * 0.9)
    ripe_after_s = spec.ripe_after_s
    if ripe_after_s is None:
        ripe_after_s = int(age_of(hardware_model).total_seconds())
    return EvidenceTerms(
        rollout_id=rollout_id,
        accepted_share=accepted,
        alpha=spec.alpha,
        bad_share_max=spec.bad_share_max,
        doubt=spec.doubt,
        start_boxes=spec.start_boxes,
        ripe_after_s=ripe_after_s,
        rolls_back_trials=spec.rolls_back_trials,
        room=spec.start_boxes,
        watches_hours=spec.watches_hours,
    )


def usual_share(hardware_model: str) -> float:
    """Return 1.5 times the failures of the newest rollout that has ended, 0.5 % to 4 %."""
    newest = (
        select(Rollout.id)
        .join(Release, Release.id == Rollout.release_id)
        .where(Release.hardware_model == hardware_model, Rollout.ended_at.is_not(None))
        .where(select(BoxOutcome.id).where(BoxOutcome.rollout_id == Rollout.id).exists())
        .order_by(Rollout.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    ended = (Counted.GOOD, Counted.BAD, Counted.SILENT)
    query = select(
        func.count(), func.coalesce(func.sum(case((BoxOutcome.now == Counted.BAD, 1), else_=0)), 0)
    ).where(BoxOutcome.rollout_id == newest, BoxOutcome.now.in_(ended))
    boxes, bad = db.session.execute(query).one()
    return min(max(TIMES_USUAL * bad / boxes if boxes else 0.0, SHARE_MIN), SHARE_MAX)


def age_of(hardware_model: str) -> timedelta:
    """Return how old a trial is when it counts, from what past boxes of the model took."""
    query = (
        select(BoxInWave.armed_at, BoxInWave.ended_at)
        .join(Rollout, Rollout.id == BoxInWave.rollout_id)
        .join(Release, Release.id == Rollout.release_id)
        .where(
            Release.hardware_model == hardware_model,
            BoxInWave.state == BoxState.UPDATED,
            BoxInWave.armed_at.is_not(None),
            BoxInWave.ended_at.is_not(None),
        )
        .order_by(BoxInWave.id.desc())
        .limit(DELAYS_MAX)
    )
    rows = db.session.execute(query).all()
    return maturity.age(
        [int((ended - armed).total_seconds()) for armed, ended in rows if armed and ended]
    )
