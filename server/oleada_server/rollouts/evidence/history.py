"""How the evidence of a rollout came to be: the log folded step by step, and what it shows now."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select

from oleada_server.db import db
from oleada_server.rollouts.evidence import folding, judge, ledger
from oleada_server.rollouts.evidence.counts import Counts
from oleada_server.rollouts.evidence.eprocess import NoSuchCountError
from oleada_server.rollouts.evidence.folding import Change
from oleada_server.rollouts.evidence.judge import Evidence, Stratum, Verdict
from oleada_server.rollouts.evidence.models import BoxOutcome, Incident, StratumRow
from oleada_server.rollouts.models import Rollout

STEPS: Final = 48
LOG_E_SHOWN_MAX: Final = math.log(1e6)
"""Beyond a million to one nobody needs the difference."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The counts of all strata at *at*, and ln E against the release."""

    at: datetime
    begun: int
    bad: int
    silent: int
    good: int
    log_e: float


@dataclass(frozen=True, slots=True)
class Now:
    """What the evidence says now; *halted* are strata with the reason of their halt."""

    evidence: Evidence
    verdict: Verdict
    is_proven: bool
    sample_needed: int
    halted: dict[str, str]


def now(rollout: Rollout) -> Now | None:
    """Return what the evidence of *rollout* says; None where a plan has limits alone.

    None as well before it has begun, and where the rows contradict each other: the
    rollout has halted then and says so.
    """
    try:
        found = ledger.evidence(rollout.id, rollout.in_flight_max)
    except NoSuchCountError:
        return None
    if found is None:
        return None
    query = select(StratumRow.version, StratumRow.reason).where(
        StratumRow.rollout_id == rollout.id, StratumRow.halted_at.is_not(None)
    )
    return Now(
        found,
        judge.judge(found),
        judge.is_proven(found),
        judge.sample_needed(found.terms),
        {version: reason or "" for version, reason in db.session.execute(query)},
    )


def moments(rollout: Rollout, until: datetime, steps: int = STEPS) -> list[Moment]:
    """Return the evidence at *steps* + 1 moments, evenly apart, from its first box on.

    Empty before a box has begun. The boxes beside count as they are known now. What is
    read is the log's sum by time and its newest rows, however long the log is.
    """
    found_now = ledger.evidence(rollout.id, rollout.in_flight_max)
    # Hours beside are not in this E, and each of a hundred looks would read them all again.
    whole = None if found_now is None else replace(found_now, hours=None)
    first = db.session.scalar(
        select(BoxOutcome.at)
        .where(BoxOutcome.rollout_id == rollout.id)
        .order_by(BoxOutcome.id)
        .limit(1)
    )
    if whole is None or first is None:
        return []
    width_s = max(-(-int((until - first).total_seconds()) // steps), 1)
    by_step: dict[int, list[Change]] = defaultdict(list)
    for at, change in folding.timed_changes(rollout.id):
        step = int((at - first).total_seconds()) // width_s
        by_step[min(max(step + 1, 0), steps)].append(change)
    parts = ledger.parts(rollout.id)
    counted = Counts(ledger.known_darkness(rollout.id))
    found = []
    for step in range(steps + 1):
        for change in by_step.get(step, ()):
            counted.add(*change)
        strata = tuple(_going(one) for one in counted.strata(parts))
        total = replace(whole, strata=strata).total
        found.append(
            Moment(
                first + timedelta(seconds=width_s * step),
                total.begun,
                total.bad,
                total.silent,
                total.good,
                judge.judge(replace(whole, strata=strata)).log_e,
            )
        )
    return found


def incidents(rollout_id: int | None = None, limit: int = 100) -> Sequence[Incident]:
    """Return incidents, newest first; of one rollout, or of all."""
    query = select(Incident).order_by(Incident.id.desc()).limit(limit)
    if rollout_id is not None:
        query = query.where(Incident.rollout_id == rollout_id)
    return db.session.scalars(query).all()


def _going(stratum: Stratum) -> Stratum:
    """Return *stratum* as it was before it halted: the curve shows what led to that."""
    return replace(stratum, is_halted=False)
