"""A person forces a rollout: it goes over boxes that are left alone, and over nothing else.

They type how many boxes it reaches and say why; where a plan needs a second person, it is
one. Windows, limits, signatures, evidence and halts stay as they are. Whether somebody watches
a box knows alone, so it is told in its assignment that this counts no more: the tick issues
each again, a chunk at a time, and as well when the force is taken back.
"""

from datetime import datetime, timedelta
from typing import Final

from oleada_server.audit import service as audit
from oleada_server.errors import BadInputError
from oleada_server.rollouts import deeds
from oleada_server.rollouts.approvals import demand_second_where_wanted
from oleada_server.rollouts.authorise import ASSIGNMENT_VALID
from oleada_server.rollouts.errors import MiscountedError
from oleada_server.rollouts.models import Rollout
from oleada_server.rollouts.states import OPEN_ROLLOUTS, RolloutState

UNSEEN: Final = timedelta(minutes=1)
"""So much later at most is the clock of who issues assignments without having seen a deed."""
SOONEST: Final = timedelta(milliseconds=1)


def force(rollout_id: int, reason: str, *, boxes: int, actor: str, now: datetime) -> RolloutState:
    """Let it begin on boxes that record, are watched, or whose case is critical.

    Returns its state.

    Raises:
        RolloutNotFoundError: There is none.
        RolloutStateError: It is not open.
        SecondPersonError: The rollout needs a second person and *actor* is none.
        MiscountedError: *boxes* is another number than it reaches.
        BadInputError: There is no reason.
    """
    if not reason.strip():
        raise BadInputError("Say why it is forced; the reason is kept.", "reason")
    rollout = deeds.in_state(rollout_id, "force", OPEN_ROLLOUTS)
    demand_second_where_wanted(rollout, actor)
    there = sum(wave.boxes for wave in rollout.waves)
    if boxes != there:
        raise MiscountedError(rollout_id, there, boxes)
    was = rollout.is_forced
    _set(rollout, True, now)
    audit.record(
        actor,
        "rollout.force",
        f"R-{rollout_id}",
        now=now,
        reason=reason.strip(),
        before={"is_forced": was},
        after={"is_forced": True, "boxes": boxes},
    )
    return deeds.settled(rollout, now)


def unforce(
    rollout_id: int, *, actor: str, now: datetime, reason: str | None = None
) -> RolloutState:
    """Leave boxes alone again; those at work go on. Return its state.

    Raises:
        RolloutNotFoundError: There is none.
        RolloutStateError: It is not open.
    """
    rollout = deeds.in_state(rollout_id, "force", OPEN_ROLLOUTS)
    was = rollout.is_forced
    _set(rollout, False, now)
    audit.record(
        actor,
        "rollout.unforce",
        f"R-{rollout_id}",
        now=now,
        reason=reason,
        before={"is_forced": was},
        after={"is_forced": False},
    )
    return deeds.settled(rollout, now)


def _set(rollout: Rollout, is_forced: bool, now: datetime) -> None:
    if rollout.is_forced != is_forced:
        rollout.is_forced = is_forced
        # What was issued until now, or is in a transaction that does not see this deed yet,
        # expires by then at the latest, and is issued again; also what the last deed caused.
        before = now + ASSIGNMENT_VALID + UNSEEN
        if rollout.reissue_before is not None:
            before = max(before, rollout.reissue_before + SOONEST)
        rollout.reissue_before = before
