"""A person closes an incident: the cause was found, or there was none."""

from datetime import datetime

from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.rollouts import rows
from oleada_server.rollouts.errors import IncidentNotFoundError
from oleada_server.rollouts.evidence.models import Incident


def close(incident_ref: str, finding: str, *, actor: str, now: datetime) -> Incident:
    """Close ``I-<number>`` with *finding*; one that is closed keeps its first finding.

    Raises:
        IncidentNotFoundError: There is none of that name.
    """
    digits = incident_ref.upper().removeprefix("I-")
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= 9
    found = db.session.get(Incident, int(digits), with_for_update=True) if is_number else None
    if found is None:
        raise IncidentNotFoundError(incident_ref)
    if found.closed_at is None:
        found.closed_at, found.closed_by, found.finding = now, actor, finding
        after = {"incident": f"I-{found.id}"}
        audit.record(
            actor, "incident.close", f"R-{found.rollout_id}", now=now, reason=finding, after=after
        )
        rows.touch(found.rollout_id, now)
    db.session.commit()
    return found
