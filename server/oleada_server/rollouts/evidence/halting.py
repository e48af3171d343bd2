"""What a halt does beside ending the rollout: the deny list, and an incident with its numbers.

Takes part in its caller's transaction. Both need the online key alone: they make boxes safer.
"""

from datetime import datetime

from sqlalchemy import func, select

from oleada_server.db import db
from oleada_server.releases import denying
from oleada_server.rollouts.evidence import judge, ledger
from oleada_server.rollouts.evidence.judge import Evidence
from oleada_server.rollouts.evidence.models import Incident, StratumRow
from oleada_server.rollouts.models import BoxInWave, Rollout, Wave
from oleada_server.rollouts.states import OPEN_ROLLOUTS, BoxState

IN_TRIAL = (BoxState.RESTARTING, BoxState.CHECKING)
ENDED_BADLY = (BoxState.FAILED, BoxState.ROLLED_BACK, BoxState.SILENT)


def record_halt(rollout: Rollout, evidence: Evidence | None, reason: str, now: datetime) -> None:
    """Open an incident, and owe boxes that the release of *rollout* is denied."""
    terms = ledger.terms_of(rollout.id)
    if terms is None or evidence is None:
        return
    terms.owes_denial = True
    _open_incident(rollout, evidence, None, reason, now)


def record_strata_halt(
    rollout: Rollout, evidence: Evidence, names: tuple[str, ...], reason: str, now: datetime
) -> None:
    """Let no box of the strata *names* begin any more, and open an incident for each."""
    ledger.halt_strata(rollout.id, names, reason, now)
    for name in names:
        _open_incident(rollout, evidence, name, reason, now)


def is_denial_due(rollout: Rollout) -> bool:
    """Return whether :func:`settle_denial` would write something."""
    return _is_owed(rollout) or _is_to_be_allowed(rollout)


def settle_denial(rollout: Rollout, now: datetime) -> None:
    """Put the release of *rollout* on the deny list, or off it, if that is due.

    On it after a halt, once trials have ended that the plan does not roll back; off it
    when a person has started a rollout of it since. Call it while no rollout is locked:
    who withdraws a release locks that first, and its rollouts then.
    """
    if _is_owed(rollout) and (terms := ledger.terms_of(rollout.id)) is not None:
        terms.owes_denial = False
        denying.queue_denial(rollout.release_id, now)
    elif _is_to_be_allowed(rollout):
        denying.queue_allowance(rollout.release_id, now)


def _is_owed(rollout: Rollout) -> bool:
    terms = ledger.terms_of(rollout.id)
    if terms is None or not terms.owes_denial:
        return False
    return terms.rolls_back_trials or not _in_trial(rollout.id)


def _is_to_be_allowed(rollout: Rollout) -> bool:
    denied_at, started_at = rollout.release.denied_at, rollout.started_at
    if denied_at is None or started_at is None or rollout.state not in OPEN_ROLLOUTS:
        return False
    return started_at > denied_at


def _in_trial(rollout_id: int) -> bool:
    query = select(BoxInWave.id).where(
        BoxInWave.rollout_id == rollout_id, BoxInWave.state.in_(IN_TRIAL)
    )
    return db.session.scalar(query.limit(1)) is not None


def _open_incident(
    rollout: Rollout, evidence: Evidence, name: str | None, reason: str, now: datetime
) -> None:
    found = judge.judge(evidence)
    counts = next((one for one in evidence.strata if one.name == name), evidence.total)
    fault, boxes = _top_fault(rollout.id, name)
    stratum = select(StratumRow.id).where(
        StratumRow.rollout_id == rollout.id, StratumRow.version == name
    )
    db.session.add(
        Incident(
            rollout_id=rollout.id,
            stratum_id=None if name is None else db.session.scalar(stratum),
            opened_at=now,
            reason=reason,
            begun=counts.begun,
            bad=counts.bad,
            silent=counts.silent,
            good=counts.good,
            log_e=found.log_e if name is None else found.by_stratum[name],
            top_fault=fault,
            top_fault_boxes=boxes,
        )
    )


def _top_fault(rollout_id: int, version: str | None) -> tuple[str | None, int]:
    """Return why most boxes ended badly, and how many did for that."""
    why = func.coalesce(BoxInWave.reason, "silent")
    waves = select(Wave.id).where(Wave.rollout_id == rollout_id)
    query = (
        select(why, func.count())
        # by wave, since an index has the boxes of a wave by their states
        .where(BoxInWave.wave_id.in_(waves), BoxInWave.state.in_(ENDED_BADLY))
        .group_by(why)
        .order_by(func.count().desc(), why)
        .limit(1)
    )
    if version is not None:
        query = query.where(func.coalesce(BoxInWave.version_before, "") == version)
    found = db.session.execute(query).one_or_none()
    return (None, 0) if found is None else (found[0], found[1])
