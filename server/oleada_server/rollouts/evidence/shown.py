"""The evidence and the incidents of rollouts as REST shows them."""

import math
from typing import Any

from oleada_server.rollouts.evidence import beside, control, history, judge, ledger
from oleada_server.rollouts.evidence.history import Moment, Now
from oleada_server.rollouts.evidence.judge import Stratum
from oleada_server.rollouts.evidence.models import Incident
from oleada_server.rollouts.evidence.spec import evidence_json
from oleada_server.rollouts.models import Rollout


def summary(rollout: Rollout) -> dict[str, Any] | None:
    """Return what the evidence of *rollout* says now; None where limits alone count."""
    terms = evidence_json(ledger.spec_of(rollout.id))
    if terms is None:
        return None
    found = history.now(rollout)
    return {
        "terms": terms,
        "now": None if found is None else now_json(found),
        "hours": None if found is None else hours_json(found, beside.late(rollout.id)),
    }


def now_json(found: Now) -> dict[str, Any]:
    """Return the counts, E and what follows from it."""
    logs = found.verdict.by_stratum
    return {
        **counts_json(found.evidence.total),
        "log_e": round(found.verdict.log_e, 6),
        "e": e_of(found.verdict.log_e),
        "halts_at": round(math.exp(found.evidence.wall), 6),
        "room": found.verdict.room,
        "is_proven": found.is_proven,
        "sample_needed": found.sample_needed,
        "asks_a_person": found.verdict.asks,
        "strata": [
            {
                "version": one.name,
                "boxes": one.boxes,
                **counts_json(one),
                "log_e": round(logs[one.name], 6),
                "halted": found.halted.get(one.name),
            }
            for one in found.evidence.strata
        ],
    }


def hours_json(found: Now, late: int) -> dict[str, Any] | None:
    """Return the hours of updated boxes beside those that wait; None where nobody watches.

    Args:
        found: What the evidence says now.
        late: Troubles of which was heard too late to count.
    """
    hours = found.evidence.hours
    if hours is None:
        return None
    return {
        "log_e": round(found.verdict.log_e_beside, 6),
        "e": e_of(found.verdict.log_e_beside),
        "late": late,
        "kinds": [
            {
                "kind": one.hour.kind,
                "updated_hours": one.hour.updated,
                "updated_bad": one.hour.updated_bad,
                "waiting_hours": one.hour.control,
                "waiting_bad": one.hour.control_bad,
                "log_e": round(one.log_e, 6),
            }
            for one in control.by_kind(hours, judge.TOLERATED)
        ],
    }


def counts_json(stratum: Stratum) -> dict[str, int]:
    """Return the whole numbers that decide."""
    return {
        "begun": stratum.begun,
        "bad": stratum.bad,
        "silent": stratum.silent,
        "good": stratum.good,
    }


def moment_json(moment: Moment) -> dict[str, Any]:
    """Return one moment of the curve."""
    return {
        "at": moment.at.isoformat(),
        "begun": moment.begun,
        "bad": moment.bad,
        "silent": moment.silent,
        "good": moment.good,
        "log_e": round(moment.log_e, 6),
    }


def incident_json(incident: Incident) -> dict[str, Any]:
    """Return an incident with its numbers."""
    return {
        "id": f"I-{incident.id}",
        "rollout": f"R-{incident.rollout_id}",
        "opened_at": incident.opened_at.isoformat(),
        "reason": incident.reason,
        "begun": incident.begun,
        "bad": incident.bad,
        "silent": incident.silent,
        "good": incident.good,
        "log_e": round(incident.log_e, 6),
        "top_fault": incident.top_fault,
        "top_fault_boxes": incident.top_fault_boxes,
        "closed_at": incident.closed_at and incident.closed_at.isoformat(),
        "closed_by": incident.closed_by,
        "finding": incident.finding,
    }


def e_of(log_e: float) -> float:
    """Return E for people: four digits, and no more than a million."""
    return float(f"{math.exp(min(log_e, history.LOG_E_SHOWN_MAX)):.4g}")
