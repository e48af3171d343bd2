"""What others did to a rollout while somebody looked at a form of it.

A form carries the number of the newest entry of the audit trail about its rollout; every
change of state is an entry there, whoever made it. So "what has changed since you opened
this" is read, not guessed.
"""

from dataclasses import dataclass
from datetime import datetime

from oleada_server.audit import service as audit
from oleada_server.web import activity, words

CHANGES_MAX = 5


@dataclass(frozen=True, slots=True)
class Changed:
    """One change that somebody made meanwhile: *who* did *what*, and why."""

    who: str
    what: str
    reason: str
    at: datetime
    age: str


def newest(rollout_id: int) -> int:
    """Return the number of the newest entry about a rollout; 0 when there is none."""
    found = audit.events_about(f"R-{rollout_id}", 1)
    return found[0].id if found else 0


def since(rollout_id: int, seen: int, now: datetime) -> list[Changed]:
    """Return what was done to a rollout after entry *seen*, newest first."""
    return [
        Changed(
            who=activity.actor(event.actor),
            what=activity.deed_word(event.action),
            reason=event.reason or "",
            at=event.at,
            age=words.age(event.at, now),
        )
        for event in audit.events_about(f"R-{rollout_id}", CHANGES_MAX)
        if event.id > seen
    ]
