"""Boxes that are revoked: no plan takes them, and a rollout that has them waits for none.

A revoked box can not report any more. Would it stay in its wave, it would count as silent
in the end and could halt a release that is good; so it is left out at once, for a reason
of its own that says nothing about the release.
"""

from datetime import datetime

from sqlalchemy import select, update

from oleada_server.db import db
from oleada_server.rollouts import rows
from oleada_server.rollouts.evidence import ledger
from oleada_server.rollouts.evidence.counts import Counted
from oleada_server.rollouts.models import BoxInWave, Rollout
from oleada_server.rollouts.states import OPEN_ROLLOUTS, PENDING, REVOKED, BoxState


def leave_out(device_id: str, now: datetime) -> None:
    """Leave box *device_id* out of every rollout that still waits for it; never commits.

    Call it before the device is locked: boxes of waves are locked first (``rows.py``).
    """
    query = (
        select(BoxInWave.id, BoxInWave.rollout_id, BoxInWave.state)
        .join(Rollout, Rollout.id == BoxInWave.rollout_id)
        .where(BoxInWave.device_id == device_id)
        .where(Rollout.state.in_(OPEN_ROLLOUTS))
        .where(BoxInWave.state.in_(PENDING | {BoxState.SILENT}))
        .order_by(BoxInWave.id)
    )
    for row in db.session.execute(query.with_for_update(of=BoxInWave)).all():
        was = f"last state: {row.state}"
        mark([row.id], was, now)
        rows.touch(row.rollout_id, now)


def mark(box_ids: list[int], detail: str, now: datetime) -> None:
    """Note that boxes of waves are left out because they are revoked; never commits."""
    ledger.record_many(box_ids, Counted.VOID, now)
    db.session.execute(
        update(BoxInWave)
        .where(BoxInWave.id.in_(box_ids))
        .values(
            state=BoxState.DECLINED,
            reason=REVOKED,
            detail=detail,
            deadline_at=None,
            lease_expires_at=None,
            ended_at=now,
            changed_at=now,
        ),
        execution_options={"synchronize_session": False},
    )
