"""A second person approves a rollout before it begins (ADR 0011).

Whether one is needed is decided when a rollout is planned and kept in its row, so that a
setting that is loosened later frees no plan that was made under the stricter one.
"""

from datetime import datetime

from oleada_server import config
from oleada_server.accounts.objects import OfRollout, is_first_person
from oleada_server.config import Approval
from oleada_server.db import db
from oleada_server.errors import BadInputError
from oleada_server.releases import owners
from oleada_server.rollouts import deeds, rows
from oleada_server.rollouts.errors import SecondPersonError, SignerApprovesError
from oleada_server.rollouts.models import Rollout
from oleada_server.rollouts.states import RolloutState


def is_wanted(*, in_console: bool) -> bool:
    """Return whether a rollout that is planned now needs a second person."""
    match Approval(config.current().rollout_approval):
        case Approval.ALWAYS:
            return True
        case Approval.CONSOLE:
            return in_console
        case Approval.NEVER:
            return False


def is_needed(rollout: Rollout) -> bool:
    """Return whether *rollout* may begin only with an approval: by its row or by the setting."""
    return rollout.needs_approval or config.current().rollout_approval == Approval.ALWAYS


def may_decide(rollout: Rollout, actor: str) -> bool:
    """Return whether *actor* is a second person: neither planned *rollout*, asked nor signed."""
    return not is_first_person(actor, _thing(rollout)) and actor not in _signers(rollout)


def ask_approval(rollout_id: int, remark: str, *, actor: str, now: datetime) -> RolloutState:
    """Ask a second person to let the draft begin; *remark* says what they should know.

    Raises:
        RolloutNotFoundError: There is none.
        RolloutStateError: It is not a draft.
        BadInputError: There is no remark.
        ReleaseWithdrawnError: The release was withdrawn in the meantime.
    """
    if not remark.strip():
        raise BadInputError("Say in a remark what the approver should know.", "reason")
    rollout = deeds.in_state(rollout_id, "ask for approval of", (RolloutState.DRAFT,))
    deeds.demand_published(rollout.release)
    rollout.state, rollout.state_reason = RolloutState.AWAITING_APPROVAL, None
    rollout.asked_at, rollout.asked_by, rollout.ask_remark = now, actor, remark.strip()
    was = RolloutState.DRAFT
    return _stored(rollout, "rollout.ask", actor=actor, reason=remark.strip(), was=was, now=now)


def approve(
    rollout_id: int, *, actor: str, now: datetime, reason: str | None = None
) -> RolloutState:
    """Let a rollout begin as its planner's second person; return its state.

    Raises:
        RolloutNotFoundError: There is none.
        RolloutStateError: Nobody has asked, or it was decided already.
        SecondPersonError: *actor* planned it or asked.
        SignerApprovesError: *actor* owns a key that signed its release.
        ReleaseWithdrawnError: The release was withdrawn in the meantime.
        EmptyWaveError: A wave covers no box now.
    """
    rollout = deeds.in_state(rollout_id, "approve", (RolloutState.AWAITING_APPROVAL,))
    _demand_second(rollout, actor)
    rollout.approved_at, rollout.approved_by = now, actor
    return deeds.begin(rollout, "rollout.approve", actor=actor, reason=reason, now=now)


def send_back(rollout_id: int, reason: str, *, actor: str, now: datetime) -> RolloutState:
    """Give the plan back to whoever asked, with the reason, as a draft.

    Who asked may take it back too: that grants nothing.

    Raises:
        RolloutNotFoundError: There is none.
        RolloutStateError: Nobody has asked, or it was decided already.
        BadInputError: There is no reason.
    """
    if not reason.strip():
        raise BadInputError("Say why it is sent back; the planner reads it.", "reason")
    waits = RolloutState.AWAITING_APPROVAL
    rollout = deeds.in_state(rollout_id, "send back", (waits,))
    rollout.state, rollout.state_reason = RolloutState.DRAFT, reason.strip()
    rollout.asked_at = None
    action, why = "rollout.send_back", reason.strip()
    return _stored(rollout, action, actor=actor, reason=why, was=waits, now=now)


def demand_second_where_wanted(rollout: Rollout, actor: str) -> None:
    """Let *actor* decide about *rollout* unless it needs a second person and they are none.

    Raises:
        SecondPersonError: They planned it or asked.
        SignerApprovesError: They own a key that signed its release.
    """
    if is_needed(rollout):
        _demand_second(rollout, actor)


def _demand_second(rollout: Rollout, actor: str) -> None:
    rollout_id = rollout.id
    if is_first_person(actor, _thing(rollout)):
        db.session.rollback()
        raise SecondPersonError(rollout_id)
    if actor in _signers(rollout):
        db.session.rollback()
        raise SignerApprovesError(rollout_id)


def _thing(rollout: Rollout) -> OfRollout:
    return OfRollout(rollout.created_by, rollout.asked_by)


def _signers(rollout: Rollout) -> frozenset[str]:
    return owners.actors_of(rollout.release.signed_by)


def _stored(
    rollout: Rollout, action: str, *, actor: str, reason: str, was: RolloutState, now: datetime
) -> RolloutState:
    deeds.record(rollout, action, actor=actor, reason=reason, was=was, now=now)
    rows.touch(rollout.id, now)
    state = RolloutState(rollout.state)
    db.session.commit()
    return state
