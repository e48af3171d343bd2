"""What the tick does for the evidence of one rollout: looks, the room, and the deny list."""

from dataclasses import replace
from datetime import datetime

from oleada_server.db import db
from oleada_server.rollouts.evidence import beside, halting, judge, ledger, looks
from oleada_server.rollouts.evidence.eprocess import NoSuchCountError
from oleada_server.rollouts.models import Rollout
from oleada_server.rollouts.states import RolloutState

GOING = (RolloutState.RUNNING, RolloutState.PAUSED)


def is_due(rollout: Rollout, now: datetime) -> bool:
    """Return whether something of it would be written; reads only."""
    if halting.is_denial_due(rollout):
        return True
    terms = ledger.terms_of(rollout.id)
    if terms is None or rollout.state not in GOING:
        return False
    return (
        looks.is_due(terms, now)
        or beside.is_due(terms, rollout, now)
        or terms.room != _room(rollout)
    )


def look(rollout: Rollout, now: datetime) -> bool:
    """Look at the boxes beside, now and hour by hour; return whether silence counts; commits."""
    terms = ledger.terms_of(rollout.id)
    if terms is None or rollout.state not in GOING:
        return True
    may_count = looks.look(terms, now)
    beside.gather(terms, rollout, now)
    db.session.commit()
    return may_count


def set_room(rollout: Rollout) -> None:
    """Note how many boxes may be at work from now on; part of the caller's transaction."""
    terms = ledger.terms_of(rollout.id)
    if terms is not None and rollout.state in GOING and terms.room != (room := _room(rollout)):
        terms.room = room


def settle(rollout: Rollout, now: datetime) -> None:
    """Put the release on the deny list, or off it, if that is due; commits."""
    if halting.is_denial_due(rollout):
        halting.settle_denial(rollout, now)
        db.session.commit()


def _room(rollout: Rollout) -> int:
    """Return the room before what bad ends keep, which each lease counts anew."""
    try:
        evidence = ledger.evidence(rollout.id, rollout.in_flight_max)
    except NoSuchCountError:
        return 0
    if evidence is None:
        return 0
    return judge.judge(replace(evidence, kept_by_bad=0)).room
